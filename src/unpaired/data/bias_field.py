"""A slowly varying gain over the image, as a receive coil of MR gives it; batchgeneratorsv2 has an additive one."""

from itertools import combinations_with_replacement
from math import log, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

ORDER = 2
"""The highest power of the polynomial whose exponential is the gain (Van Leemput et al. 1999). With 3, as in MONAI and
TorchIO, the extremes lie in the corners, and the middle of the image, where the organs are, hardly changes."""


class BiasField:
    """Multiplies an image by a smooth gain whose largest value is up to `largest_ratio` times its smallest.

    The gain is exp(p), with p a polynomial of order 2 in the voxel's place, its coefficients uniform in (-1, 1), scaled
    so that the logarithm of the ratio is uniform in (0, log `largest_ratio`). Values are multiplied as distances from
    the channel's smallest, which is air in a normalized MR scan; the channel's mean and standard deviation stay what
    they were, as after normalization of a scan that came with such a field.

    Draws from numpy's global random state, as batchgeneratorsv2 does.
    """

    def __init__(self, largest_ratio: float) -> None:
        self.largest_ratio = largest_ratio

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """The sample with the gain on its image (channel, *spatial); every channel has the same."""
        image = sample["image"]
        gain = smooth_gain(image.shape[1:], self.largest_ratio)
        sample["image"] = with_gain(image, gain.to(image.dtype))
        return sample


def smooth_gain(shape: tuple[int, ...], largest_ratio: float) -> Tensor:
    """A random gain above 0 for each voxel of `shape`, float64; its logarithm has the middle 0."""
    places = torch.meshgrid(*(torch.linspace(-1, 1, size, dtype=torch.float64) for size in shape), indexing="ij")
    logarithm = torch.zeros(tuple(shape), dtype=torch.float64)
    for order in range(1, ORDER + 1):
        for factors in combinations_with_replacement(places, order):
            logarithm += float(np.random.uniform(-1, 1)) * prod(factors)
    logarithm -= (logarithm.max() + logarithm.min()) / 2
    extent = float(np.random.uniform(0, log(largest_ratio)))
    return torch.exp(logarithm * (extent / max(2 * float(logarithm.max()), 1e-12)))


def with_gain(image: Tensor, gain: Tensor) -> Tensor:
    """`image` (channel, *spatial) times `gain` (*spatial), counted from each channel's smallest value; its mean and
    standard deviation are kept. A channel of one value alone stays as it is."""
    spatial = tuple(range(1, image.ndim))
    lowest = image.amin(spatial, keepdim=True)
    lit = (image - lowest) * gain
    spread, mean = torch.std_mean(lit, spatial, keepdim=True, correction=0)
    old_spread, old_mean = torch.std_mean(image, spatial, keepdim=True, correction=0)
    return (lit - mean) * (old_spread / spread.clamp_min(1e-8)) + old_mean
