"""GIN (Ouyang et al., TMI 2022) for one image, as plain loops over voxels and taps."""

from collections.abc import Sequence
from itertools import product

import numpy as np


def convolve(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Cross-correlation of (in, *spatial) with (out, in, *size), zeros outside the image; as large as the image."""
    size = kernel.shape[2:]
    result = np.zeros((len(kernel), *image.shape[1:]))
    for out in range(len(kernel)):
        for place in np.ndindex(*image.shape[1:]):
            total = float(bias[out])
            for channel, offset in product(range(len(image)), np.ndindex(*size)):
                at = tuple(p + o - s // 2 for p, o, s in zip(place, offset, size, strict=True))
                if all(0 <= a < n for a, n in zip(at, image.shape[1:], strict=True)):
                    total += float(image[(channel, *at)]) * float(kernel[(out, channel, *offset)])
            result[(out, *place)] = total
    return result


def random_convolutions(
    image: np.ndarray, kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray], alpha: float, slope: float
) -> np.ndarray:
    """alpha x + (1 - alpha) g(x), before it is brought back to the scale of x."""
    x = image
    for number, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        x = convolve(x, kernel, bias)
        if number < len(kernels) - 1:
            x = np.where(x < 0, slope * x, x)
    return alpha * image + (1 - alpha) * x


def with_moments_of(image: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Each channel shifted and scaled to the mean and deviation of the original's."""
    channels = []
    for values, wanted in zip(image, original, strict=True):
        channels.append((values - values.mean()) / values.std() * wanted.std() + wanted.mean())
    return np.stack(channels)
