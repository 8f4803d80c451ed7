"""Read and write image files with their geometry. An array's axes are the file's own; the affine says where they point."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Image:
    """A 3D array in the file's own axis order and its voxel -> RAS+ millimetre affine (4, 4), as nibabel defines it.

    2D files get a third axis of length one.
    """

    array: np.ndarray
    affine: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each array axis, from the affine's columns."""
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(sizes[0]), float(sizes[1]), float(sizes[2])
