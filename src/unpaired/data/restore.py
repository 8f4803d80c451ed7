"""From the network's grid exactly back to the file's: what `data.preprocess` did to a scan, undone for its answer."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.data.case import Geometry
from unpaired.data.orientation import oriented
from unpaired.data.resample import Neighbors, neighbors, resample, resample_at
from unpaired.errors import InputError

PLANES = 8
"""How many planes of a whole volume are looked at together."""


def restore_label_map(label_map: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A label map on the prepared grid, back on the file's own grid by nearest neighbor; outside the crop 0."""
    check_shape(label_map.shape, geometry.grid, "prepared label map")
    indices = [
        ((2 * np.arange(stop - start) + 1) * count) // (2 * (stop - start))
        for (start, stop), count in zip(geometry.crop, geometry.grid, strict=True)
    ]
    return _uncropped(label_map[np.ix_(*indices)], geometry)


@dataclass(frozen=True)
class Box:
    """Class probabilities (class, depth, height, width) of a part of a prepared volume; `start` is its first voxel."""

    start: tuple[int, int, int]
    probabilities: np.ndarray

    @property
    def place(self) -> tuple[slice, ...]:
        """Where the box lies in the volume."""
        sizes = self.probabilities.shape[1:]
        return tuple(slice(first, first + size) for first, size in zip(self.start, sizes, strict=True))


def restore_probabilities(probabilities: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Class probabilities (C, depth, height, width), resampled to the file's grid, then the likeliest class, uint8.

    As `restore_slabs`, which takes them a few planes at a time.
    """
    check_shape(probabilities.shape[1:], geometry.grid, "prepared probabilities")
    return restore_slabs(np.array_split(probabilities, max(1, geometry.grid[0] // PLANES), axis=1), geometry)


def restore_slabs(slabs: Iterable[np.ndarray], geometry: Geometry) -> np.ndarray:
    """As `restore_boxes`, of boxes that are whole planes (C, planes, h, w) and follow each other along the depth."""
    return restore_boxes(_as_boxes(slabs), geometry)


def _as_boxes(slabs: Iterable[np.ndarray]) -> Iterator[Box]:
    depth = 0
    for slab in slabs:
        yield Box((depth, 0, 0), slab)
        depth += slab.shape[1]


def restore_boxes(boxes: Iterable[Box], geometry: Geometry) -> np.ndarray:
    """The likeliest class, uint8, on the file's grid, of class probabilities that come in boxes.

    The boxes lie at every combination of some starts per axis, come with the last axis running fastest, and fill the
    prepared grid. Of each no more is held than its last plane along each axis, so memory doesn't grow with the scan's
    size times its classes. Resampled linearly class by class. A tie goes to the lower class number, as in numpy's
    argmax. Outside the crop the result is 0. Raises InputError for more than 256 classes or none, and for boxes that
    don't fill the grid.
    """
    size = tuple(stop - start for start, stop in geometry.crop)
    if size == geometry.grid:
        return _uncropped(prepared_label_map(boxes, geometry.grid), geometry)
    labels = np.zeros(size, np.uint8)
    boxes = _filling(boxes, geometry.grid)
    axes = [neighbors((0, count), count, length) for count, length in zip(geometry.grid, size, strict=True)]
    for axis in (0, 1, 2):  # from the slowest: what is kept along an axis must not overlap along those behind it
        boxes = _after_the_last_plane(boxes, axis, geometry.grid)
    for box in boxes:
        along = zip(axes, box.place, geometry.grid, strict=True)
        parts = [_samples_within(axis, part, count) for axis, part, count in along]
        samples = [within for _, within in parts]
        labels[tuple(place for place, _ in parts)] = _likeliest(box.probabilities, samples)
    return _uncropped(labels, geometry)


def prepared_label_map(boxes: Iterable[Box], grid: Sequence[int]) -> np.ndarray:
    """The likeliest class, uint8, on the prepared grid. Raises InputError as `restore_boxes` does."""
    labels = np.zeros(tuple(grid), np.uint8)
    for box in _filling(boxes, grid):
        labels[box.place] = _likeliest(box.probabilities)
    return labels


def _filling(boxes: Iterable[Box], grid: Sequence[int]) -> Iterator[Box]:
    """The boxes. InputError if they don't fill the grid."""
    missing = math.prod(grid)
    for box in boxes:
        if not 1 <= len(box.probabilities) <= 256:
            raise InputError(f"expected 1 to 256 classes, got {len(box.probabilities)}")
        if any(place.stop > length for place, length in zip(box.place, grid, strict=True)):
            ends = tuple(place.stop for place in box.place)
            raise InputError(f"expected prepared boxes within {tuple(grid)}, got one that ends at {ends}")
        missing -= box.probabilities[0].size
        yield box
    if missing:
        raise InputError(f"expected prepared boxes that fill {tuple(grid)}, {missing} voxels are missing")


def _after_the_last_plane(boxes: Iterable[Box], axis: int, grid: Sequence[int]) -> Iterator[Box]:
    """Each box with the last plane, along an axis, of the box before it: samples between the two lie in one of them."""
    kept = np.empty(0)
    for box in boxes:
        values, start = box.probabilities, box.start
        places = (slice(None), *[slice(None)] * (axis + 1), *box.place[axis + 1 :])
        first = start[axis] == 0 and not any(start[axis + 1 :])
        if first or kept.shape[: axis + 1] != values.shape[: axis + 1]:  # the latter where the first one is missing
            kept = np.zeros((*values.shape[: axis + 1], 1, *grid[axis + 1 :]), np.float32)
        last = np.take(values, [-1], axis + 1)
        if start[axis] > 0:
            values = np.concatenate([kept[places], values], axis + 1)
            depth, row, column = (place - (number == axis) for number, place in enumerate(start))
            start = (depth, row, column)
        kept[places] = last
        yield Box(start, values)


def _samples_within(axis: Neighbors, part: slice, count: int) -> tuple[slice, Neighbors]:
    """Which of an axis' samples lie behind a part's first voxel, up to its last one, and their neighbors within it."""
    before, after, weight = axis
    first = part.start if count == 1 else part.start + 1  # the first voxel is the box's before, unless there is one
    place = slice(*(int(index) for index in np.searchsorted(after, [first, part.stop])))
    return place, (before[place] - part.start, after[place] - part.start, weight[place])


def _likeliest(probabilities: np.ndarray, samples: Sequence[Neighbors] | None = None) -> np.ndarray:
    """The class with the highest probability, uint8, at each voxel or, resampled, at each sample.

    A loop over classes: numpy's argmax over the first axis copies all of them.
    """
    best: np.ndarray | None = None
    winner = np.zeros(0, np.uint8)
    for number, values in enumerate(probabilities):
        score = values if samples is None else resample_at(values, *samples)
        if best is None:
            best, winner = score.copy(), np.zeros(score.shape, np.uint8)
            continue
        winner[score > best] = number
        np.maximum(best, score, out=best)
    return winner


def restore_probability(probability: np.ndarray, geometry: Geometry, outside: float = 0.0) -> np.ndarray:
    """The probability of one class (depth, height, width), resampled to the file's grid, float32; else `outside`."""
    check_shape(probability.shape, geometry.grid, "prepared probability")
    size = tuple(stop - start for start, stop in geometry.crop)
    if size != geometry.grid:
        probability = resample(probability, tuple((0, count) for count in geometry.grid), size)
    return _uncropped(probability.astype(np.float32, copy=False), geometry, outside)


def _uncropped(part: np.ndarray, geometry: Geometry, outside: float = 0) -> np.ndarray:
    """A crop put back into the file's shape and axes, `outside` elsewhere."""
    result = np.full(geometry.shape, outside, part.dtype)
    view = oriented(result, geometry.axes, geometry.flips)
    to: list[slice] = []
    of: list[slice] = []
    for (start, stop), size in zip(geometry.crop, view.shape, strict=True):
        to.append(slice(max(start, 0), max(min(stop, size), 0)))
        of.append(slice(max(-start, 0), max(min(stop, size) - start, 0)))
    view[tuple(to)] = part[tuple(of)]
    return result


def check_shape(got: tuple[int, ...], expected: tuple[int, ...], what: str) -> None:
    if tuple(got) != tuple(expected):
        raise InputError(f"expected a {what} of shape {tuple(expected)}, got {tuple(got)}; use the image's own grid")
