"""Class probabilities as files: one 4-D NIfTI per case on the image's own grid, the class along the last axis.

Probabilities are stored in steps of 1/255 as uint8 with the NIfTI slope 1/255, so any reader (nibabel, ITK-SNAP, FSL,
3D Slicer) sees numbers in [0, 1], off by 0.002 at most, at a sixteenth of float32's size after compression. They are
written class by class: the memory needed is one class, not all of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from unpaired.data.formats.nifti import read_stored
from unpaired.data.image import Image
from unpaired.errors import InputError
from unpaired.files import atomic

STEPS = 255
ROUNDING = 1e-4
"""How far outside of [0, 1] a probability may lie."""


@dataclass(frozen=True)
class ProbabilityMap:
    """Stored class probabilities: `stored` (x, y, z, class) times `slope`; the affine is voxel -> RAS+ mm."""

    stored: np.ndarray
    slope: float
    affine: np.ndarray

    @property
    def classes(self) -> int:
        """The number of classes, with background."""
        return self.stored.shape[-1]

    @property
    def grid(self) -> Image:
        """The grid (x, y, z) as an image without content, to compare it with another."""
        return Image(np.broadcast_to(np.uint8(0), self.stored.shape[:-1]), self.affine)

    def within(self, box: tuple[slice, ...]) -> np.ndarray:
        """Probabilities (class, x, y, z) in a box of the grid, float32."""
        return np.moveaxis(self.stored[box], -1, 0).astype(np.float32) * np.float32(self.slope)

    def label_map(self) -> np.ndarray:
        """The likeliest class of every voxel (the lower one of a tie)."""
        return self.stored.argmax(axis=-1).astype(np.min_scalar_type(self.classes))


def write_probabilities(
    path: Path, probabilities: Iterable[np.ndarray], shape: Sequence[int], affine: np.ndarray, classes: Sequence[str]
) -> None:
    """Write one array (x, y, z) of values in [0, 1] per class, in the order of `classes`, to a `.nii.gz`, atomically.

    `probabilities` may be a generator: one class is held at a time. Raises InputError if there are fewer or more
    arrays than classes, one of another shape, NaN, or a value outside [0, 1]; nothing is left behind then.
    """
    from isal import igzip

    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((*shape, len(classes)))
    header.set_slope_inter(1 / STEPS, 0)
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    header.set_xyzt_units("mm")
    header["descrip"] = f"probability of {', '.join(classes)}".encode("ascii", "replace")[:79]
    header["vox_offset"] = 352
    count = 0
    with (
        atomic(path) as temporary,
        temporary.open("wb") as raw,
        igzip.IGzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as file,  # no name, no time: equal bytes
    ):
        file.write(header.binaryblock + bytes(4))
        for values in probabilities:
            count += 1
            if values.shape != tuple(shape):
                raise InputError(f"{path}: expected probabilities of shape {tuple(shape)}, got {values.shape}")
            low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
            if not (low >= -ROUNDING and high <= 1 + ROUNDING):
                raise InputError(f"{path}: expected probabilities in [0, 1], got {low:g} to {high:g}")
            scaled = values * np.float32(STEPS)
            steps = np.rint(scaled, out=scaled).astype(np.uint8)
            file.write(steps.tobytes(order="F"))
        if count != len(classes):
            raise InputError(f"{path}: expected probabilities of {len(classes)} classes, got {count}")


def read_probabilities(path: Path) -> ProbabilityMap:
    """Read a 4-D NIfTI of class probabilities, ours or anybody's (float types too).

    Raises InputError if it is missing, damaged, not 4-D, or holds values outside [0, 1].
    """
    if not path.is_file():
        raise InputError(
            f"expected class probabilities, found no file at {path}; run `unpaired predict --probabilities`"
        )
    stored, header = read_stored(path)
    if stored.ndim != 4 or stored.shape[-1] < 2 or stored.dtype.kind not in "uif":
        raise InputError(f"{path}: expected probabilities (x, y, z, class), got {stored.dtype} of shape {stored.shape}")
    low, high = (float(end) * header.slope + header.intercept for end in (stored.min(), stored.max()))
    if header.intercept != 0 or not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise InputError(f"{path}: expected probabilities in [0, 1], got {low:g} to {high:g}; save softmax, not logits")
    return ProbabilityMap(stored, header.slope, header.affine)
