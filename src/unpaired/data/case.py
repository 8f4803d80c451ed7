"""What one patient's scan in one modality is once it is prepared: a volume, a label map, and the way back."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Geometry:
    """All that is needed to put a prepared array back on the grid of the file it came from.

    A prepared array is (depth, height, width): the file's axes permuted and flipped, cropped, then resampled.

    shape, affine: of the file (axes as in the file; affine voxel -> RAS+ mm).
    axes: for depth, height, width: which file axis.  flips: whether that axis runs backwards.
    crop: (start, stop) per prepared axis, in file voxels after permuting and flipping, before resampling; may
        reach outside the file (padding).
    grid: (depth, height, width) after resampling; equal to the crop's size where nothing was resampled.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    crop: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    grid: tuple[int, int, int]

    def transposed(self, order: tuple[int, int, int]) -> "Geometry":
        """The geometry of the prepared array whose axes are in another order, as of `array.transpose(order)`."""
        axes, flips, crop, grid = (
            tuple(values[axis] for axis in order) for values in (self.axes, self.flips, self.crop, self.grid)
        )
        return replace(self, axes=axes, flips=flips, crop=crop, grid=grid)

    @property
    def source_spacing_mm(self) -> tuple[float, float, float]:
        """(depth, height, width) spacing of the file."""
        sizes = np.linalg.norm(np.asarray(self.affine)[:3, :3], axis=0)
        return tuple(float(sizes[axis]) for axis in self.axes)  # type: ignore[return-value]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """(depth, height, width) spacing of the prepared array."""
        return tuple(  # type: ignore[return-value]
            size * (stop - start) / count
            for size, (start, stop), count in zip(self.source_spacing_mm, self.crop, self.grid, strict=True)
        )

    @property
    def prepared_affine(self) -> np.ndarray:
        """(4, 4): prepared voxel (depth, height, width) -> RAS+ mm."""
        to_file = np.zeros((4, 4))
        to_file[3, 3] = 1
        for axis, (file_axis, flip, (start, stop), count) in enumerate(
            zip(self.axes, self.flips, self.crop, self.grid, strict=True)
        ):
            step = (stop - start) / count
            first = start + step / 2 - 0.5  # voxel centers, in file voxels after flipping
            to_file[file_axis, axis] = -step if flip else step
            to_file[file_axis, 3] = self.shape[file_axis] - 1 - first if flip else first
        return np.asarray(self.affine) @ to_file

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in ("shape", "affine", "axes", "flips", "crop", "grid")}


@dataclass(frozen=True)
class Case:
    """One labeled scan, ready for a network: `volume` (depth, height, width) float, `label_map` the same shape.

    `label_map` holds indices into the dataset's `label_sets`.
    """

    id: str
    patient: str
    modality: str
    volume: np.ndarray
    label_map: np.ndarray
    geometry: Geometry


@dataclass(frozen=True)
class UnlabeledCase:
    """One scan without a label map, ready for a network."""

    id: str
    patient: str
    modality: str
    volume: np.ndarray
    geometry: Geometry
