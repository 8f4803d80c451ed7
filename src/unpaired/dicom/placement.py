"""Where a plane of pixels lies on a volume's grid: exactly on its voxels, in any direction of its axes, or nowhere."""

from dataclasses import dataclass

import numpy as np

from unpaired.dicom.index import Series
from unpaired.errors import InputError

OFF_GRID = 0.1
"""How far, in voxels, a corner may lie beside a voxel's center: the rounding of headers. More is another grid."""


@dataclass(frozen=True)
class Plane:
    """Pixels in a plane, in mm toward left, posterior and superior (LPS).

    `position` is the first pixel's center; `row` and `column` are the directions in which column and row numbers grow;
    `spacing_mm` and `size` count (columns, rows).
    """

    position: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing_mm: tuple[float, float]
    size: tuple[int, int]


@dataclass(frozen=True)
class Place:
    """The voxels under a plane's pixels: pixel (i, j) lies on voxel `first` + i `across` + j `down`."""

    first: np.ndarray
    across: np.ndarray
    down: np.ndarray

    def cut(self, volume: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, tuple[slice, slice]] | None:
        """A view (columns, rows) of the voxels under the plane, and which of its pixels these are; None outside."""
        axes = int(np.flatnonzero(self.across)[0]), int(np.flatnonzero(self.down)[0])
        normal = 3 - sum(axes)
        if not 0 <= self.first[normal] < volume.shape[normal]:
            return None
        index: list[int | slice] = [int(self.first[normal])] * 3
        inside: list[slice] = []
        for axis, step, count in zip(axes, (self.across, self.down), size, strict=True):
            sign, start = int(step[axis]), int(self.first[axis])
            last = volume.shape[axis] - 1
            low, high = (-start, last - start) if sign > 0 else (start - last, start)
            low, high = max(low, 0), min(high, count - 1)
            if low > high:
                return None
            stop = start + sign * (high + 1)
            index[axis] = slice(start + sign * low, None if stop < 0 else stop, sign)
            inside.append(slice(low, high + 1))
        view = volume[tuple(index)]
        return (view if axes[0] < axes[1] else view.T), (inside[0], inside[1])


def place_on(series: Series, plane: Plane) -> Place:
    """The voxels of a series' grid (column, row, slice) under a plane's pixels.

    Raises InputError, naming what differs, where the pixels don't lie on voxels: nothing is resampled.
    """
    inverse = np.linalg.inv(lps_grid(series))
    first = inverse[:3, :3] @ plane.position + inverse[:3, 3]
    across = inverse[:3, :3] @ (plane.row * plane.spacing_mm[0])
    down = inverse[:3, :3] @ (plane.column * plane.spacing_mm[1])
    whole = [np.rint(vector).astype(np.int64) for vector in (first, across, down)]
    columns, rows = (count - 1 for count in plane.size)
    off = max(
        float(np.abs((first + i * across + j * down) - (whole[0] + i * whole[1] + j * whole[2])).max())
        for i in (0, columns)
        for j in (0, rows)
    )
    steps = [sorted(np.abs(step).tolist()) for step in whole[1:]]
    if off > OFF_GRID or any(step != [0, 0, 1] for step in steps) or (whole[1] * whole[2]).any():
        raise InputError(
            f"its pixels don't lie on the voxels of series {series.name} (a corner is {off:.2g} voxels beside one); "
            "nothing is resampled here: export it on the series' own grid"
        )
    return Place(whole[0], whole[1], whole[2])


def lps_grid(series: Series) -> np.ndarray:
    """Voxel (column, row, slice) -> LPS mm, (4, 4), of a series whose frames lie on its voxels.

    Raises InputError for what is no volume, and for frames beside the grid: those of a tilted gantry.
    """
    if series.affine is None:
        raise InputError(f"series {series.name} is no volume: {series.problem}")
    affine = np.array(series.affine, dtype=np.float64)
    for number in (0, len(series.frames) - 1):
        position = series.frames[number].position
        beside = np.linalg.inv(affine[:3, :3]) @ (np.array(position) - (affine @ (0, 0, number, 1))[:3])
        if np.abs(beside).max() > OFF_GRID:
            raise InputError(
                f"series {series.name} was taken with a tilted gantry, so that its volume is resampled; segmentations "
                "of it aren't read: straighten the series first (dcm2niix) and segment that"
            )
    return affine
