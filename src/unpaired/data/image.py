"""An image in memory: an array, the affine that places it, and what makes either of them unusable."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from unpaired.errors import InputError

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK and DICOM count toward left and posterior (LPS), nibabel toward right and anterior (RAS)."""
SHEAR_COSINE = 0.01
"""Axes further than 0.6 degrees from perpendicular are no header's rounding; scanners with a tilted gantry do it."""
VOXEL_MM = (1e-4, 100.0)
"""Voxel sizes that a scan can have: from a tenth of a micrometer to ten centimeters. Others are a wrong unit."""
FARTHEST_MM = 1e5
"""A first voxel further than a hundred meters from the scanner's center is a damaged header."""


Rule = Literal["missing", "unreadable", "affine", "nan", "modality"]
"""The rules of `verify` that reading a file can break."""


class ImageError(InputError):
    """An image can't be used. `rule` is the rule of `verify` that it breaks."""

    def __init__(self, message: str, rule: Rule = "unreadable") -> None:
        super().__init__(message)
        self.rule: Rule = rule


@dataclass(frozen=True)
class Image:
    """A 3D array in the file's own axis order and its voxel -> RAS+ millimeter affine (4, 4), as nibabel defines it.

    2D files get a third axis of length one. `notes` say, a sentence each, where a file's header contradicts itself or
    leaves something open, and how it was read: `verify` lists them as warnings.
    """

    array: np.ndarray
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each array axis, from the affine's columns."""
        sizes = column_lengths(self.affine[:3, :3])
        return float(sizes[0]), float(sizes[1]), float(sizes[2])


def require_placed(image: Image, where: str | Path) -> None:
    """Raise ImageError unless an image has three axes, at least one voxel, real numbers, and a usable affine."""
    shape = image.array.shape
    if len(shape) != 3:
        raise ImageError(
            f"{where}: expected a 3D image, got {len(shape)}D of shape {shape}; export one volume per file"
        )
    if image.array.size == 0:
        raise ImageError(f"{where}: expected a 3D image, got no voxels (shape {shape}); export it again")
    if image.array.dtype.kind not in "biuf":
        raise ImageError(f"{where}: expected one number per voxel, got {image.array.dtype}; export one channel")
    problem = affine_problem(image.affine)
    if problem is not None:
        raise ImageError(f"{where}: {problem}", "affine")


def require_finite(array: np.ndarray, where: str | Path) -> None:
    """Raise ImageError if an array holds NaN or infinity, which spread over everything that is computed from it, or
    values that would become infinite in float32."""
    if array.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(array.min()) and np.isfinite(array.max())  # NaN passes through both
    if not finite:
        count = int((~np.isfinite(array)).sum())
        text = f"NaN or infinity in {count} of {array.size} voxels; replace them by air's value"
        raise ImageError(f"{where}: {text}", "nan")
    if array.dtype.itemsize > 4:
        require_float32(array, where)


def require_float32(array: np.ndarray, where: str | Path) -> None:
    """Raise ImageError if a float array holds finite values, or infinite ones, that float32 can't hold."""
    beyond = np.abs(array) > np.finfo(np.float32).max
    if beyond.any():
        text = (
            f"values such as {array[beyond][0]:.4g} in {int(beyond.sum())} of {array.size} voxels, expected none "
            "beyond 3.4e+38 (float32); correct the header's slope, or replace them by air's value"
        )
        raise ImageError(f"{where}: {text}", "nan")


def require_image(image: object) -> None:
    """Raise ImageError unless `image` is an `Image` that `read_image` could have returned."""
    if not isinstance(image, Image):
        raise ImageError(
            f"expected an Image(array, affine), got {type(image).__name__}: without an affine nothing says how large "
            "voxels are, nor where the patient's left is (1 mm, axes to right, front and top: numpy.eye(4))"
        )
    require_placed(image, "the image")
    require_finite(image.array, "the image")


def affine_problem(affine: np.ndarray) -> str | None:
    """Why an affine places no scan, and what to do; None if it does.

    Refused are NaN, no inverse, voxel sizes outside `VOXEL_MM`, places beyond `FARTHEST_MM`, and sheared axes.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.array_equal(matrix[3], (0, 0, 0, 1)):
        return f"expected an affine (4, 4) whose last row is 0, 0, 0, 1, got {matrix.tolist()}"
    axes = matrix[:3, :3]
    sizes = column_lengths(axes)
    usable = np.isfinite(matrix).all() and np.isfinite(sizes).all() and (sizes > 0).all()
    if not usable or abs(np.linalg.det(axes / sizes)) < 1e-3:
        return f"expected an invertible affine, got {_rows(matrix[:3])}; repair the header from the original"
    if sizes.min() < VOXEL_MM[0] or sizes.max() > VOXEL_MM[1]:
        text = f"expected voxel sizes of {VOXEL_MM[0]:g} to {VOXEL_MM[1]:g} mm, got {millimeters(sizes)}"
        return f"{text}; repair the header (another unit?)"
    if np.abs(matrix[:3, 3]).max() > FARTHEST_MM:
        return f"the first voxel lies at {_rows(matrix[:3, 3])} mm, beyond {FARTHEST_MM:g} mm; repair the header"
    cosines = np.abs((axes / sizes).T @ (axes / sizes) - np.eye(3))
    if cosines.max() > SHEAR_COSINE:
        angle = 90 - np.degrees(np.arccos(min(cosines.max(), 1.0)))
        return f"the axes are sheared by {angle:.1f} degrees (gantry tilt?); resample the scan to perpendicular axes"
    return None


def column_lengths(matrix: np.ndarray) -> np.ndarray:
    """The length of each column, infinite or NaN where a damaged header's numbers are too large or none."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(matrix, axis=0)


def millimeters(sizes: np.ndarray) -> str:
    """Voxel sizes for a message: "1.3 x 1.3 x 10 mm"."""
    return " x ".join(f"{size:.4g}" for size in sizes) + " mm"


def _rows(matrix: np.ndarray) -> str:
    return str([[float(f"{value:.4g}") for value in row] for row in np.atleast_2d(matrix)])
