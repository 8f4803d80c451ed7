"""Sliding windows over one prepared volume: slices and 3D patches on one path.

Windows have the training patch's size; in 2D every slice is one window deep. Where windows overlap, probabilities are
averaged with Gaussian weights (sigma = an eighth of the window, nnU-Net's choice), so seams don't show.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.data.restore import Box
from unpaired.data.sampling import cut
from unpaired.errors import InputError
from unpaired.inference.blending import Sums, blended
from unpaired.shapes import Images, Logits

DEFAULT_AT_ONCE = {2: 16, 3: 2}
"""How many windows go through the network together: slices of 2D networks, patches of 3D ones."""


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


def whole(boxes: Iterable[Box], shape: Sequence[int]) -> Float[Tensor, "class depth height width"]:
    """The boxes of a volume of `shape` in one piece. Raises ValueError if they don't fill it."""
    total: Tensor | None = None
    missing = math.prod(shape)
    for box in boxes:
        if total is None:
            total = torch.empty(len(box.probabilities), *shape)
        total[:, *box.place] = torch.from_numpy(box.probabilities)
        missing -= box.probabilities[0].size
    if total is None or missing:
        raise ValueError(f"expected boxes that fill {tuple(shape)}, {missing} voxels are missing")
    return total


def leanest_order(shape: Sequence[int], patch_size: Sequence[int]) -> tuple[int, int, int]:
    """The order of the volume's axes in which the least has to be held: see `blending`.

    A function of the sizes alone: along the first axis windows share up to all but one of their voxels, in full planes.
    """
    size = (1, *patch_size)[-3:]
    held = [math.prod(shape) // length * min(window, length) for length, window in zip(shape, size, strict=True)]
    first = held.index(min(held))
    return (first, *(axis for axis in range(3) if axis != first))  # type: ignore[return-value]


def probability_boxes(
    segment: Callable[..., Logits],
    volume: np.ndarray,
    *,
    patch_size: tuple[int, ...],
    context_slices: int = 1,
    overlap: float = 0.5,
    windows_at_once: int | Callable[[Images], int] | None = None,
    device: torch.device | str = "cpu",
    partners: Mapping[str, np.ndarray] | None = None,
    order: tuple[int, int, int] = (0, 1, 2),
    each_window: bool = False,
) -> Iterator[Box]:
    """Class probabilities of a prepared (depth, height, width) volume, on the CPU, in boxes from the first voxel on.

    A box is given out as soon as no window to come reaches into it, so that little is held, however large the volume
    is (`blending`). `segment` turns (batch, channel, *patch_size) images on `device` into logits of the same size.
    `partners` are volumes of the same shape by name: the windows at the same places of them are `segment`'s second
    argument, by the same names. `windows_at_once` defaults to 16 slices or 2 patches; a function is shown the first
    so many windows and says it. Boxes run along the axes of `volume.transpose(order)`, and lie in that.

    Windows of one value, such as air that was clipped, are segmented once: an image's answer does not depend on what
    stands beside it. With `each_window` they aren't, for a network that learns from what it sees.

    Raises InputError for logits that are NaN or infinite, ValueError for a partner of another shape.
    """
    if other := [name for name, partner in (partners or {}).items() if partner.shape != volume.shape]:
        raise ValueError(f"partner {other[0]} is not on the grid {volume.shape} of the volume")
    size = (1, *patch_size)[-3:]
    starts = [window_starts(length, window, overlap) for length, window in zip(volume.shape, size, strict=True)]
    windows = _Windows(volume, size, len(patch_size) == 2, context_slices, device, partners)
    places = [np.array(start)[np.argsort(order)] for start in product(*(starts[axis] for axis in order))]
    at_once = DEFAULT_AT_ONCE[len(patch_size)] if windows_at_once is None else windows_at_once
    if callable(at_once):
        at_once = at_once(windows.images(places[: DEFAULT_AT_ONCE[len(patch_size)]]))
    answers = windows.segmented(places, segment, at_once, reuse=not each_window and partners is None)
    weights = torch.from_numpy(window_weights(size, [len(axis) > 1 for axis in starts]))
    sums = (_weighted(start, window, weights, volume.shape, order) for start, window in answers)
    clipped = [[max(start, 0) for start in starts[axis]] for axis in order]
    return blended(sums, clipped, [volume.shape[axis] for axis in order])


@dataclass(frozen=True)
class _Windows:
    """The windows of a volume, and of its partners, as a network takes them."""

    volume: np.ndarray
    size: Sequence[int]
    flat: bool
    context_slices: int
    device: torch.device | str
    partners: Mapping[str, np.ndarray] | None

    def images(self, starts: Sequence[np.ndarray], source: np.ndarray | None = None) -> Images:
        """The windows at some places, one behind the other, on the CPU."""
        given = self.volume if source is None else source
        cuts = [cut(given, start, np.array(self.size), self.context_slices) for start in starts]
        images = torch.from_numpy(np.stack(cuts)).float()
        return images[:, :, 0] if self.flat else images

    def segmented(
        self, starts: Sequence[np.ndarray], segment: Callable[..., Logits], at_once: int, reuse: bool
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(start, probabilities (class, *size)) of every window, in their order; with `reuse` equal ones but once."""
        known: tuple[float, Tensor] | None = None
        for first in range(0, len(starts), at_once):
            group = starts[first : first + at_once]
            images = self.images(group)
            values = [_only_value(image) if reuse else None for image in images]
            new = [index for index, value in enumerate(values) if known is None or value != known[0]]
            answers = iter(self._probabilities(images[new], [group[index] for index in new], segment) if new else ())
            before = known  # what the others are equal to, whatever the group shows in between
            for index, (start, value) in enumerate(zip(group, values, strict=True)):
                answer = next(answers) if index in new else before[1]  # type: ignore[index]
                known = known if value is None else (value, answer)
                yield start, answer

    def _probabilities(self, images: Images, starts: Sequence[np.ndarray], segment: Callable[..., Logits]) -> Tensor:
        beside = {name: self.images(starts, source).to(self.device) for name, source in (self.partners or {}).items()}
        with torch.inference_mode():
            logits = segment(images.to(self.device), *(() if self.partners is None else (beside,)))
            _require_finite(logits)
            said = logits.float().softmax(1).cpu()
        return said[:, :, None] if self.flat else said


def _only_value(image: Tensor) -> float | None:
    """The value of an image that has no other; None for one that has."""
    low, high = torch.aminmax(image)
    return float(low) if bool(low == high) else None


def _weighted(
    start: np.ndarray, window: Tensor, weights: Tensor, shape: Sequence[int], order: tuple[int, int, int]
) -> Sums:
    """A window's probabilities times its weights, and the weights, where it lies in the volume; axes in `order`."""
    inside, part = _overlap(start, weights.shape, shape)
    values = torch.empty(len(window) + 1, *(place.stop - place.start for place in inside))
    torch.mul(window[:, *part], weights[*part], out=values[:-1])
    values[-1] = weights[*part]
    first, second, third = (inside[axis].start for axis in order)
    return Sums((first, second, third), values.permute(0, *(axis + 1 for axis in order)))


def _require_finite(logits: Logits) -> None:
    """Softmax would turn infinity into NaN, and the likeliest class of NaN is background without a word."""
    low, high = torch.aminmax(logits)  # NaN comes through; faster than to look at each, and holds nothing
    if not (torch.isfinite(low) and torch.isfinite(high)):
        count = int((~torch.isfinite(logits)).sum())
        raise InputError(
            f"the network's logits are NaN or infinite in {count} of {logits.numel()} places, so there is no answer; "
            "look at the scan's values (unpaired verify), and at whether training has diverged"
        )


def _overlap(start: np.ndarray, size: Sequence[int], shape: Sequence[int]) -> tuple[list[slice], list[slice]]:
    """Where a window lies in the volume, and which part of the window that is."""
    low, high = np.maximum(start, 0), np.minimum(start + np.array(size), shape)
    inside = [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]
    part = [slice(int(a - s), int(b - s)) for a, b, s in zip(low, high, start, strict=True)]
    return inside, part
