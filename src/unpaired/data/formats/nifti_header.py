"""A NIfTI header, cross-checked: sizes, type, scaling, and the one geometry that its fields agree on.

A header places its voxels up to three times: `pixdim` (voxel sizes), `qform` (a rotation on top of them) and `sform` (a
matrix of its own). Where they disagree, programs disagree too, so the rule here keeps to what they have in common:

1. The sform, if it has a code and its voxel sizes are those of `pixdim` (nibabel, ITK, MONAI).
2. Else the qform, if it has a code and the sform is no statement about this scan: its voxel sizes are all 1, which
   tools fill in without knowing (ITK and MONAI), or its code names a template (ITK).
3. Else nothing is agreed on, and the file is refused.

Sform and qform that place the same grid differently are noted, and refused where left and right, or the axes, would
change. Without a code for either, nothing says how the patient lies: nibabel and ITK then mirror each other's answer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unpaired.data.formats.payload import voxel_bytes
from unpaired.data.image import ImageError, affine_problem, column_lengths, millimeters

HEADER_BYTES = {348: 352, 540: 544}
"""{`sizeof_hdr`: the first byte where voxels can begin}, of NIfTI-1 and NIfTI-2."""
DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
NO_NUMBERS = {32: "complex", 1792: "complex", 2048: "complex", 128: "color", 2304: "color"}
UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Code of `xyzt_units`: millimeters. Unknown (0) is what nibabel writes; everybody reads millimeters."""
UNIT_NAMES = {1: "meters", 3: "micrometers"}
CODES = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI", 5: "another template"}
TEMPLATES = (3, 4, 5)
SIZE_TOLERANCE = 1e-3
"""ITK's, for voxel sizes of sform and pixdim, here as a share."""
PLACE_VOXELS = 0.1
"""How far corners by sform and by qform may lie apart: a quaternion in float32 rounds."""
ADVICE = "repair the header from the original"


@runtime_checkable
class Fields(Protocol):
    """A header's fields by their names in the standard, as nibabel's headers (which are untyped) give them."""

    @property
    def endianness(self) -> str: ...

    def __getitem__(self, item: str) -> Any: ...


@dataclass(frozen=True)
class NiftiHeader:
    """What is needed to read the voxels: `shape`, stored type, first byte, scaling, voxel -> RAS+ mm affine, notes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    size: int
    slope: float
    intercept: float
    affine: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Placements:
    """Where a header places voxels: affines in mm (None without a code), `pixdim` in mm, its unit, the sform's code."""

    sform: np.ndarray | None
    qform: np.ndarray | None
    sizes: np.ndarray
    unit_mm: float
    code: int


def parse_header(head: bytes, path: Path) -> NiftiHeader:
    """The header in a file's first 544 bytes. Raises ImageError where it promises nonsense or contradicts itself."""
    fields = _fields(head, path)
    dtype = _dtype(fields, path)
    shape = _shape(fields, path)
    size = voxel_bytes(shape, dtype, path)
    slope, intercept = _scaling(fields, path)
    affine, notes = _geometry(fields, shape, path)
    return NiftiHeader(shape, dtype, _offset(fields, path), size, slope, intercept, affine, notes)


def _fields(head: bytes, path: Path) -> Fields:
    """The fields by name. nibabel's own checks stay off: they repair (a negative pixdim, say) without a word."""
    import nibabel as nib

    orders = {int.from_bytes(head[:4], "little"): "<", int.from_bytes(head[:4], "big"): ">"}
    length = next((size for size in HEADER_BYTES if size in orders), None)
    if length is None or len(head) < HEADER_BYTES[length]:
        raise ImageError(f"{path}: not a NIfTI file (no whole NIfTI header); export it again or check the name")
    kind = nib.Nifti1Header if length == 348 else nib.Nifti2Header
    fields = kind(head[:length], endianness=orders[length], check=False)
    magic = bytes(fields["magic"].item())
    if magic in (b"ni1", b"ni2"):
        raise ImageError(f"{path}: its voxels lie in another file (.hdr and .img); convert the pair to .nii.gz")
    if magic.rstrip(b"\0\r\n\x1a") != (b"n+1" if length == 348 else b"n+2"):
        raise ImageError(f"{path}: expected NIfTI's mark in the NIfTI header, got {magic!r}; convert it (Analyze?)")
    return fields


def _dtype(fields: Fields, path: Path) -> np.dtype:
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    if code not in DTYPES:
        kind = f"{NO_NUMBERS[code]} values" if code in NO_NUMBERS else f"data type {code}"
        raise ImageError(f"{path}: expected one number per voxel, got {kind}; export the magnitude or one channel")
    dtype = np.dtype(fields.endianness + DTYPES[code])
    if bits != dtype.itemsize * 8:
        stated = f"{bits} bits per voxel, its type {dtype.name} has {dtype.itemsize * 8}"
        raise ImageError(f"{path}: the header says {stated}; {ADVICE}")
    return dtype


def _shape(fields: Fields, path: Path) -> tuple[int, ...]:
    dim = [int(size) for size in fields["dim"]]
    if not 1 <= dim[0] <= 7:
        raise ImageError(f"{path}: expected 1 to 7 dimensions, got {dim[0]}; {ADVICE}")
    return tuple(dim[1 : dim[0] + 1])


def _offset(fields: Fields, path: Path) -> int:
    offset, first = float(fields["vox_offset"]), HEADER_BYTES[int(fields["sizeof_hdr"])]
    if not (np.isfinite(offset) and offset == int(offset) and offset >= first):
        raise ImageError(f"{path}: voxels can't begin at byte {offset:g} (expected {first} or later); {ADVICE}")
    return int(offset)


def _scaling(fields: Fields, path: Path) -> tuple[float, float]:
    """A slope of 0 means by the standard that values are stored as they are."""
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if (slope, intercept) == (0.0, 0.0):
        return 1.0, 0.0
    if slope == 0 or not np.isfinite((slope, intercept)).all():
        text = f"expected a slope and an intercept, got {slope:g} and {intercept:g}"
        raise ImageError(f"{path}: {text}; set scl_slope to 1 and scl_inter to 0 if values are stored as they are")
    return slope, intercept


def _geometry(fields: Fields, shape: tuple[int, ...], path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    codes = {name: int(fields[f"{name}_code"]) for name in ("sform", "qform")}
    for name, code in codes.items():
        if code != 0 and code not in CODES:
            raise ImageError(f"{path}: {name}_code is {code}, expected 0 to {max(CODES)}; {ADVICE}", "affine")
    unit_mm, notes = _unit(fields, path)
    sform = _sform(fields, unit_mm) if codes["sform"] else None
    sizes = _sizes(fields, shape, sform, unit_mm, path)
    qform = _qform(fields, sizes, unit_mm, path) if codes["qform"] else None
    affine, note = _agreed(Placements(sform, qform, sizes, unit_mm, codes["sform"]), shape, path)
    return affine, (*notes, *note)


def _unit(fields: Fields, path: Path) -> tuple[float, tuple[str, ...]]:
    code = int(fields["xyzt_units"]) & 7
    if code not in UNITS_MM:
        raise ImageError(f"{path}: expected a unit of length (m, mm, micrometer), got code {code}; {ADVICE}", "affine")
    if code not in UNIT_NAMES:
        return 1.0, ()
    text = f"the header counts in {UNIT_NAMES[code]}; read as such, as ITK does (nibabel takes them for millimeters)"
    return UNITS_MM[code], (text,)


def _sizes(fields: Fields, shape: tuple[int, ...], sform: np.ndarray | None, unit_mm: float, path: Path) -> np.ndarray:
    """`pixdim` of three axes, mm. Of axes that the file doesn't have, the sform's; of one voxel's, 0 stands for 1."""
    sizes = np.array(fields["pixdim"][1:4], dtype=np.float64)
    lengths = np.array([*shape, 1, 1, 1][:3])
    sizes[(lengths == 1) & (sizes == 0)] = 1
    if len(shape) < 3:
        sizes[len(shape) :] = 1 if sform is None else column_lengths(sform[:3, len(shape) : 3]) / unit_mm
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ImageError(f"{path}: expected voxel sizes above 0, got pixdim {sizes.tolist()}; {ADVICE}", "affine")
    return sizes * unit_mm


def _sform(fields: Fields, unit_mm: float) -> np.ndarray:
    rows = [np.asarray(fields[f"srow_{axis}"], dtype=np.float64) * unit_mm for axis in "xyz"]
    return np.array([*rows, [0, 0, 0, 1]])


def _qform(fields: Fields, sizes: np.ndarray, unit_mm: float, path: Path) -> np.ndarray:
    """Rotation by the quaternion (Nifti-1's METHOD 2) of axes in `sizes`, the third one turned around by qfac."""
    b, c, d = (float(fields[f"quatern_{name}"]) for name in "bcd")
    qfac = float(fields["pixdim"][0])
    rest = 1 - (b * b + c * c + d * d)
    if not rest > -1e-3 or abs(qfac) not in (0, 1):
        text = f"quaternion ({b:g}, {c:g}, {d:g}) with qfac {qfac:g} is no rotation"
        raise ImageError(f"{path}: {text}; {ADVICE}", "affine")
    from nibabel.quaternions import quat2mat

    rotation = quat2mat((np.sqrt(max(rest, 0)), b, c, d))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * sizes * (1, 1, -1 if qfac < 0 else 1)
    matrix[:3, 3] = [float(fields[f"qoffset_{axis}"]) * unit_mm for axis in "xyz"]
    return matrix


def _agreed(given: Placements, shape: tuple[int, ...], path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The affine by the rule of this module, and a note where it had to decide."""
    sform, qform = given.sform, given.qform
    if sform is None:
        if qform is None:
            raise ImageError(
                f"{path}: neither sform nor qform has a code: nothing says where the patient's left is (programs "
                "guess, and differ); write an affine that you know (nibabel: image.set_sform(affine, code=1))",
                "affine",
            )
        return qform, ()
    problem = affine_problem(sform)
    template = given.code in TEMPLATES and qform is not None
    if problem is not None and not template:
        raise ImageError(f"{path}: sform: {problem}", "affine")
    own = column_lengths(sform[:3, :3])
    if problem is None and np.allclose(own, given.sizes, rtol=SIZE_TOLERANCE):
        return sform, _place_notes(sform, qform, shape, path)
    text = f"the sform says voxels of {millimeters(own)}, pixdim {millimeters(given.sizes)}"
    if qform is not None and (template or np.allclose(own, given.unit_mm, rtol=SIZE_TOLERANCE)):
        why = f"its code is {CODES[given.code]}" if template else "1 is a default"
        return qform, (f"{text}; read by the qform, since the sform is no statement about this scan ({why})",)
    raise ImageError(f"{path}: {text}; {ADVICE}", "affine")


def _place_notes(sform: np.ndarray, qform: np.ndarray | None, shape: tuple[int, ...], path: Path) -> tuple[str, ...]:
    if qform is None:
        return ()
    if not np.isfinite(qform).all():
        return ("the qform places the scan nowhere (its offset is not finite); read by the sform",)
    ends = np.array(np.meshgrid(*([0, size - 1] for size in [*shape, 1, 1, 1][:3]), [1], indexing="ij")).reshape(4, -1)
    apart = column_lengths(((sform - qform) @ ends)[:3]).max()
    if apart <= PLACE_VOXELS * column_lengths(sform[:3, :3]).min():
        return ()
    from nibabel.orientations import aff2axcodes

    axes = ["".join(aff2axcodes(matrix)) for matrix in (sform, qform)]
    if axes[0] != axes[1]:
        text = (
            f"its axes run toward {axes[0]} by the sform, toward {axes[1]} by the qform; which is right can't be known"
        )
        raise ImageError(f"{path}: {text}; {ADVICE}", "affine")
    return (f"sform and qform place the scan up to {apart:.1f} mm apart; read by the sform, as nibabel does",)
