"""Sliding windows over one prepared volume: slices and 3D patches on one path.

Windows have the training patch's size; in 2D every slice is one window deep. Where windows overlap, probabilities are
averaged with Gaussian weights (sigma = an eighth of the window, nnU-Net's choice), so seams don't show.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.data.sampling import cut
from unpaired.errors import InputError
from unpaired.shapes import Images, Logits


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Evenly spaced starts that cover `length` voxels; one centered (negative) start if the window is larger.

    Neighbors share at least the share `overlap` of a window.
    """
    if length <= window:
        return [length // 2 - window // 2]
    stride = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // stride) + 1
    return [round(index * (length - window) / (count - 1)) for index in range(count)]


def window_weights(size: Sequence[int], blended: Sequence[bool]) -> np.ndarray:
    """Gaussian weights of one window, 1 along axes where windows don't overlap; never below a thousandth."""
    weights = np.ones(tuple(size), dtype=np.float32)
    for axis, (length, active) in enumerate(zip(size, blended, strict=True)):
        if active and length > 1:
            offsets = np.arange(length) - (length - 1) / 2
            profile = np.exp(-0.5 * (offsets / (length / 8)) ** 2).astype(np.float32)
            weights *= profile.reshape([-1 if other == axis else 1 for other in range(3)])
    return np.maximum(weights, 1e-3 * weights.max())


@torch.inference_mode()
def segment_volume(
    segment: Callable[..., Logits],
    volume: np.ndarray,
    *,
    patch_size: tuple[int, ...],
    context_slices: int = 1,
    overlap: float = 0.5,
    windows_at_once: int | None = None,
    device: torch.device | str = "cpu",
    partners: Mapping[str, np.ndarray] | None = None,
) -> Float[Tensor, "class depth height width"]:
    """Class probabilities of a prepared (depth, height, width) volume, on the CPU.

    `segment` turns (batch, channel, *patch_size) images on `device` into logits of the same size. `partners` are
    volumes of the same shape by name: the windows at the same places of them are `segment`'s second argument, by the
    same names. Memory: one float32 volume per class. `windows_at_once` defaults to 16 slices or 2 patches. Raises
    InputError for logits that are NaN or infinite, ValueError for a volume without voxels or a partner of another
    shape.
    """
    if other := [name for name, one in (partners or {}).items() if one.shape != volume.shape]:
        raise ValueError(f"partner {other[0]} is not on the grid {volume.shape} of the volume")
    flat = len(patch_size) == 2
    size = np.array([1, *patch_size] if flat else patch_size)
    axes = [window_starts(length, int(window), overlap) for length, window in zip(volume.shape, size, strict=True)]
    weights = torch.from_numpy(window_weights(size.tolist(), [len(starts) > 1 for starts in axes]))
    starts = [np.array(start) for start in product(*axes)]
    chunk = windows_at_once or (16 if flat else 2)
    total: Tensor | None = None
    weight_sum = torch.zeros(volume.shape)
    for first in range(0, len(starts), chunk):
        group = starts[first : first + chunk]

        def windows(source: np.ndarray, group: Sequence[np.ndarray] = group) -> Images:
            images = torch.from_numpy(np.stack([cut(source, start, size, context_slices) for start in group])).float()
            return (images[:, :, 0] if flat else images).to(device)

        beside = () if partners is None else ({name: windows(one) for name, one in partners.items()},)
        logits = segment(windows(volume), *beside)
        _require_finite(logits)
        probabilities = logits.float().softmax(1).cpu()
        probabilities = probabilities[:, :, None] if flat else probabilities
        if total is None:
            total = torch.zeros(probabilities.shape[1], *volume.shape)
        for start, window in zip(group, probabilities, strict=True):
            inside, part = _overlap(start, size, volume.shape)
            total[:, *inside] += window[:, *part] * weights[*part]
            weight_sum[*inside] += weights[*part]
    if total is None:
        raise ValueError("the volume has no voxels")
    return total.div_(weight_sum)


def _require_finite(logits: Logits) -> None:
    """Softmax would turn infinity into NaN, and the likeliest class of NaN is background without a word."""
    finite = torch.isfinite(logits)
    if not finite.all():
        count = int((~finite).sum())
        raise InputError(
            f"the network's logits are NaN or infinite in {count} of {logits.numel()} places, so there is no answer; "
            "look at the scan's values (unpaired verify), and at whether training has diverged"
        )


def _overlap(start: np.ndarray, size: np.ndarray, shape: tuple[int, ...]) -> tuple[list[slice], list[slice]]:
    """Where a window lies in the volume, and which part of the window that is."""
    low, high = np.maximum(start, 0), np.minimum(start + size, shape)
    inside = [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]
    part = [slice(int(a - s), int(b - s)) for a, b, s in zip(low, high, start, strict=True)]
    return inside, part
