"""Trilinear resampling of a crop, voxel-centre to voxel-centre, equal to the linear one of scipy and SimpleITK."""

from collections.abc import Sequence

import numpy as np

Neighbors = tuple[np.ndarray, np.ndarray, np.ndarray]
"""For each sample along an axis: the voxel before it, the one after it, and how much of the latter."""


def neighbors(crop: tuple[int, int], size: int, count: int) -> Neighbors:
    """Sample centers of `count` voxels that fill the crop; beyond the crop or the file the last voxel is repeated.

    Positions are float64: in float32, as torch's interpolation has them, a bone's edge is wrong by 0.02 HU.
    """
    first, last = max(crop[0], 0), min(crop[1], size) - 1
    place = crop[0] + (np.arange(count) + 0.5) * ((crop[1] - crop[0]) / count) - 0.5
    place = place.clip(first, last)
    lower = np.floor(place).astype(np.intp)
    return lower, np.minimum(lower + 1, last), (place - lower).astype(np.float32)


def resample(view: np.ndarray, crop: Sequence[tuple[int, int]], grid: Sequence[int]) -> np.ndarray:
    """The crop of a view, trilinear on `grid`, voxel-centre to voxel-centre, as contiguous float32.

    Plane by plane, so that everything but the result fits the processor's cache: four times as fast as torch's
    trilinear interpolation on one core, and no copy of the crop.
    """
    depth, rows, columns = (neighbors(*axis) for axis in zip(crop, view.shape, grid, strict=True))
    return resample_at(view, depth, rows, columns)


def resample_at(view: np.ndarray, depth: Neighbors, rows: Neighbors, columns: Neighbors) -> np.ndarray:
    """A view at the samples of its three axes, contiguous float32; see `resample`."""
    result = np.empty((len(depth[0]), len(rows[0]), len(columns[0])), np.float32)
    planes: dict[int, np.ndarray] = {}
    for target, before, after, weight in zip(result, depth[0].tolist(), depth[1].tolist(), depth[2], strict=True):
        needed = (before, after) if weight else (before,)
        planes = {
            index: planes[index] if index in planes else resample_plane(view[index], rows, columns) for index in needed
        }
        if weight:
            np.subtract(planes[after], planes[before], out=target)
            target *= weight
            target += planes[before]
        else:
            target[...] = planes[before]
    return result


def resample_plane(plane: np.ndarray, rows: Neighbors, columns: Neighbors) -> np.ndarray:
    before, after, weight = rows
    result = plane[before].astype(np.float32)
    if weight.any():
        result += (plane[after].astype(np.float32) - result) * weight[:, np.newaxis]
    before, after, weight = columns
    if not weight.any():
        return result[:, before]
    left = result[:, before]
    return left + (result[:, after] - left) * weight
