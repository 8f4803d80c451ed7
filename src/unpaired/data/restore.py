"""From the network's grid exactly back to the file's: what `data.preprocess` did to a scan, undone for its answer."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from unpaired.data.case import Geometry
from unpaired.data.orientation import oriented
from unpaired.data.resample import neighbors, resample, resample_plane
from unpaired.errors import InputError


def restore_label_map(label_map: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A label map on the prepared grid, back on the file's own grid by nearest neighbor; outside the crop 0."""
    check_shape(label_map.shape, geometry.grid, "prepared label map")
    indices = [
        ((2 * np.arange(stop - start) + 1) * count) // (2 * (stop - start))
        for (start, stop), count in zip(geometry.crop, geometry.grid, strict=True)
    ]
    return _uncropped(label_map[np.ix_(*indices)], geometry)


def restore_probabilities(probabilities: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Class probabilities (C, depth, height, width), resampled to the file's grid, then the likeliest class, uint8.

    As `restore_slabs`, which takes them a few planes at a time.
    """
    check_shape(probabilities.shape[1:], geometry.grid, "prepared probabilities")
    return restore_slabs([probabilities], geometry)


def restore_slabs(slabs: Iterable[np.ndarray], geometry: Geometry) -> np.ndarray:
    """The likeliest class, uint8, on the file's grid, of class probabilities that come in slabs (C, planes, h, w).

    The slabs follow each other along the depth and fill the prepared grid; no more of them is held than two planes of
    the file's size per class, so memory doesn't grow with the scan's depth times its classes. Resampled linearly
    class by class. A tie goes to the lower class number, as in numpy's argmax. Outside the crop the result is 0.
    Raises InputError for more than 256 classes or none, and for slabs that don't fill the grid.
    """
    size = tuple(stop - start for start, stop in geometry.crop)
    labels = np.empty(size, np.uint8)
    planes = _planes(slabs, geometry.grid)
    if size == geometry.grid:
        for target, plane in zip(labels, planes, strict=True):
            target[...] = _likeliest(plane)
        return _uncropped(labels, geometry)
    depth, rows, columns = (
        neighbors((0, count), count, length) for count, length in zip(geometry.grid, size, strict=True)
    )
    held: dict[int, np.ndarray] = {}
    numbered = enumerate(planes)
    for target, before, after, weight in zip(
        labels, depth[0].tolist(), depth[1].tolist(), depth[2].tolist(), strict=True
    ):
        while max(before, after) not in held:
            number, plane = next(numbered)
            if number >= before:
                held[number] = np.stack([resample_plane(probability, rows, columns) for probability in plane])
        for number in [number for number in held if number < before]:
            del held[number]
        target[...] = _likeliest(held[before], held[after], weight)
    deque(numbered, maxlen=0)  # what lies below the last voxel's center still has to be there
    return _uncropped(labels, geometry)


def _planes(slabs: Iterable[np.ndarray], grid: Sequence[int]) -> Iterator[np.ndarray]:
    """One plane (C, height, width) after the other. InputError if they don't fill the grid."""
    count = 0
    for slab in slabs:
        if not 1 <= len(slab) <= 256:
            raise InputError(f"expected 1 to 256 classes, got {len(slab)}")
        count += slab.shape[1]
        check_shape((min(count, grid[0]), *slab.shape[2:]), (count, *grid[1:]), "prepared slab")
        yield from np.moveaxis(slab, 1, 0)
    check_shape((count, *grid[1:]), tuple(grid), "prepared volume")


def _likeliest(plane: np.ndarray, after: np.ndarray | None = None, weight: float = 0.0) -> np.ndarray:
    """The class (height, width), uint8, with the highest value, `weight` of the way from a plane to the one after it.

    A loop over classes: numpy's argmax over the first axis copies all of them.
    """
    winner = np.zeros(plane.shape[1:], np.uint8)
    best = _between(plane, after, weight, 0)
    for number in range(1, len(plane)):
        score = _between(plane, after, weight, number)
        winner[score > best] = number
        best = np.maximum(best, score)
    return winner


def _between(plane: np.ndarray, after: np.ndarray | None, weight: float, number: int) -> np.ndarray:
    if after is None or not weight:
        return plane[number]
    return plane[number] + (after[number] - plane[number]) * weight


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
