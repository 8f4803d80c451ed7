"""Sliding windows over one prepared volume: slices and 3D patches on one path.

Windows have the training patch's size; in 2D every slice is one window deep. Where windows overlap, probabilities are
averaged with Gaussian weights (sigma = an eighth of the window, nnU-Net's choice), so seams don't show.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


def whole(slabs: Iterable[Tensor], depth: int) -> Float[Tensor, "class depth height width"]:
    """Slabs (class, planes, height, width) of a volume of `depth` planes in one piece. Raises ValueError for none."""
    total: Tensor | None = None
    begin = 0
    for slab in slabs:
        if total is None:
            total = torch.empty(len(slab), depth, *slab.shape[2:])
        total[:, begin : begin + slab.shape[1]] = slab
        begin += slab.shape[1]
    if total is None or begin != depth:
        raise ValueError(f"expected slabs of {depth} planes, got {begin}")
    return total


def probability_slabs(
    segment: Callable[..., Logits],
    volume: np.ndarray,
    *,
    patch_size: tuple[int, ...],
    context_slices: int = 1,
    overlap: float = 0.5,
    windows_at_once: int | None = None,
    device: torch.device | str = "cpu",
    partners: Mapping[str, np.ndarray] | None = None,
) -> Iterator[Float[Tensor, "class planes height width"]]:
    """Class probabilities of a prepared (depth, height, width) volume, on the CPU, in slabs from the first plane on.

    A slab is given out as soon as no window to come reaches into it, so that what is held is one window deep, however
    deep the volume is. `segment` turns (batch, channel, *patch_size) images on `device` into logits of the same size.
    `partners` are volumes of the same shape by name: the windows at the same places of them are `segment`'s second
    argument, by the same names. `windows_at_once` defaults to 16 slices or 2 patches. Raises InputError for logits that
    are NaN or infinite, ValueError for a partner of another shape.
    """
    if other := [name for name, partner in (partners or {}).items() if partner.shape != volume.shape]:
        raise ValueError(f"partner {other[0]} is not on the grid {volume.shape} of the volume")
    flat = len(patch_size) == 2
    size = np.array([1, *patch_size] if flat else patch_size)
    axes = [window_starts(length, int(window), overlap) for length, window in zip(volume.shape, size, strict=True)]
    weights = torch.from_numpy(window_weights(size.tolist(), [len(starts) > 1 for starts in axes]))
    starts = [np.array(start) for start in product(*axes)]
    blend = _Blend(volume.shape, size, weights)
    for group in _groups(starts, windows_at_once or (16 if flat else 2)):

        def windows(source: np.ndarray, group: Sequence[np.ndarray] = group) -> Images:
            images = torch.from_numpy(np.stack([cut(source, start, size, context_slices) for start in group])).float()
            return (images[:, :, 0] if flat else images).to(device)

        beside = () if partners is None else ({name: windows(partner) for name, partner in partners.items()},)
        with torch.inference_mode():
            logits = segment(windows(volume), *beside)
            _require_finite(logits)
            probabilities = logits.float().softmax(1).cpu()
        for start, window in zip(group, probabilities[:, :, None] if flat else probabilities, strict=True):
            yield from blend.finished(int(start[0]))
            blend.add(start, window)
    yield from blend.finished(volume.shape[0])


def _require_finite(logits: Logits) -> None:
    """Softmax would turn infinity into NaN, and the likeliest class of NaN is background without a word."""
    finite = torch.isfinite(logits)
    if not finite.all():
        count = int((~finite).sum())
        raise InputError(
            f"the network's logits are NaN or infinite in {count} of {logits.numel()} places, so there is no answer; "
            "look at the scan's values (unpaired verify), and at whether training has diverged"
        )


class _Blend:
    """The weighted sum of windows over the planes that are not finished yet, as many as a window is deep."""

    def __init__(self, shape: tuple[int, ...], size: np.ndarray, weights: Tensor) -> None:
        self.shape = shape
        self.size = size
        self.weights = weights
        self.begin = 0
        """The volume's plane that the sums begin with."""
        planes = min(int(size[0]), shape[0])
        self.total: Tensor | None = None
        self.weight_sum = torch.zeros(planes, *shape[1:])

    def add(self, start: np.ndarray, window: Tensor) -> None:
        """Add a window's probabilities (class, *size) at its place; earlier planes than its first are finished."""
        if self.total is None:
            self.total = torch.zeros(len(window), *self.weight_sum.shape)
        (depth, *plane), part = _overlap(start, self.size, self.shape)
        inside = (slice(depth.start - self.begin, depth.stop - self.begin), *plane)
        self.total[:, *inside] += window[:, *part] * self.weights[*part]
        self.weight_sum[*inside] += self.weights[*part]

    def finished(self, plane: int) -> Iterator[Tensor]:
        """The averages of the planes before `plane`, if there are any that have not been given out yet."""
        count = min(plane, self.shape[0]) - self.begin
        if self.total is None or count <= 0:
            return
        yield self.total[:, :count] / self.weight_sum[:count]
        for sums in (self.total, self.weight_sum.unsqueeze(0)):
            kept = sums.shape[1] - count
            sums[:, :kept] = sums[:, count:].clone()
            sums[:, kept:] = 0
        self.begin += count


def _overlap(start: np.ndarray, size: np.ndarray, shape: tuple[int, ...]) -> tuple[list[slice], list[slice]]:
    """Where a window lies in the volume, and which part of the window that is."""
    low, high = np.maximum(start, 0), np.minimum(start + size, shape)
    inside = [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]
    part = [slice(int(a - s), int(b - s)) for a, b, s in zip(low, high, start, strict=True)]
    return inside, part


def _groups(starts: Sequence[np.ndarray], size: int) -> Iterator[Sequence[np.ndarray]]:
    for first in range(0, len(starts), size):
        yield starts[first : first + size]
