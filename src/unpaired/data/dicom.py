"""Read a DICOM series, one file per slice, into a volume with its geometry.

The place of every pixel comes from Image Position and Image Orientation (DICOM PS3.3 C.7.6.2), never from file names,
instance numbers or slice thickness. What is not one volume is refused: missing or doubled slices, several orientations.
SimpleITK decodes (GDCM inside: JPEG, JPEG-LS, JPEG 2000, RLE), so that no further library is needed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.data.images import TO_RAS, Image
from unpaired.data.itk_locale import locale_kept
from unpaired.errors import InputError

POSITION, ORIENTATION, SPACING = "0020|0032", "0020|0037", "0028|0030"
GAP_SHARE = 0.05
"""How far a distance between neighboring slices may be from the others', as a share: more is a missing slice."""
SAME_DIRECTION = 1e-3
"""How far direction cosines of two slices may differ: more than rounding is another orientation."""
SHIFT_PIXELS = 0.5
"""How far the last slice may lie beside the first along the normal: more is a tilted gantry, a sheared grid."""


@dataclass(frozen=True)
class Slice:
    """What one file says of its place: in mm toward left, posterior and superior (LPS), as DICOM counts.

    `row` and `column` are the directions in which column and row numbers grow; `spacing_mm` and `size` count (columns,
    rows), as (x, y).
    """

    path: Path
    position: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing_mm: tuple[float, float]
    size: tuple[int, int]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector on the slice, toward the next one in a right-handed grid."""
        return np.cross(self.row, self.column)


@dataclass(frozen=True)
class Series:
    """A volume (axes: column, row, slice along the normal) and the file behind each of its slices."""

    image: Image
    files: tuple[Path, ...]


def dicom_files(folder: str | Path) -> list[Path]:
    """The DICOM files directly in a folder (by their content), sorted by name. InputError if there are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"expected a folder with a DICOM series, found {'a file' if folder.exists() else 'nothing'} at {folder}"
        )
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and _is_dicom(path)]
    if not found:
        raise InputError(f"{folder}: expected DICOM files, found none; name the folder that holds one series")
    return found


def read_series(files: Iterable[Path]) -> Series:
    """The volume of a series' files, given in any order; values after rescale slope and intercept.

    Files of one series need not share a series UID (anonymizers change it). Raises InputError unless the slices are two
    or more of one size, spacing and orientation, at equal distances without a gap, not sheared by a tilted gantry.
    """
    slices = [read_slice(path) for path in files]
    where = slices[0].path.parent if slices else "the series"
    if len(slices) < 2:
        raise InputError(
            f"{where}: expected a series of two slices or more, found {len(slices)}; name the whole series"
        )
    _require_one_grid(slices)
    normal = slices[0].normal
    slices.sort(key=lambda one: float(one.position @ normal))
    step = _step(slices)
    first = slices[0]
    affine = np.eye(4)
    for axis, direction in enumerate((first.row * first.spacing_mm[0], first.column * first.spacing_mm[1], step)):
        affine[:3, axis] = direction
    affine[:3, 3] = first.position
    pixels = [_pixels(one.path) for one in slices]
    kind = np.result_type(*{array.dtype for array in pixels})
    volume = np.stack([array.astype(kind, copy=False) for array in pixels], axis=-1)
    return Series(Image(volume, TO_RAS @ affine), tuple(one.path for one in slices))


def read_slice(path: Path) -> Slice:
    """The geometry of one file, without its pixels. Raises InputError for what is no slice with a place in space."""
    import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with locale_kept():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: unreadable or truncated DICOM; export it again") from error
    size = reader.GetSize()
    frames = int(np.prod(size[2:]))
    if frames != 1:
        raise InputError(f"{path}: expected one slice per file, found {frames} frames; convert it to NIfTI (dcm2niix)")
    position = _numbers(reader, POSITION, "Image Position", 3, path)
    directions = _numbers(reader, ORIENTATION, "Image Orientation", 6, path)
    between_rows, between_columns = _numbers(reader, SPACING, "Pixel Spacing", 2, path)
    row, column = directions[:3], directions[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01 or min(between_rows, between_columns) <= 0:
        raise InputError(f"{path}: Image Orientation or Pixel Spacing make no right-angled grid; export it again")
    return Slice(
        path,
        position,
        row / lengths[0],
        column / lengths[1],
        (float(between_columns), float(between_rows)),
        (int(size[0]), int(size[1])),
    )


def _require_one_grid(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for one in slices[1:]:
        if one.size != first.size:
            raise InputError(
                f"{one.path}: has {one.size} pixels, {first.path.name} {first.size}; keep one series in a folder"
            )
        if not np.allclose(one.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise InputError(
                f"{one.path}: pixels of {one.spacing_mm} mm, {first.path.name} has {first.spacing_mm}; keep one series "
                "in a folder"
            )
        turned = max(np.abs(one.row - first.row).max(), np.abs(one.column - first.column).max())
        if turned > SAME_DIRECTION:
            raise InputError(
                f"{one.path}: lies in another direction than {first.path.name} (direction cosines differ by "
                f"{turned:.3f}); keep one orientation in a folder"
            )


def _step(slices: Sequence[Slice]) -> np.ndarray:
    """From one slice to the next, in mm; `slices` are sorted along the first one's normal."""
    normal = slices[0].normal
    places = np.array([one.position for one in slices])
    gaps = np.diff(places @ normal)
    usual = float(np.median(gaps))
    for number, gap in enumerate(gaps):
        pair = f"{slices[number].path.name} and {slices[number + 1].path.name}"
        where = slices[0].path.parent
        if gap < max(1e-3, usual / 100):
            raise InputError(
                f"{where}: {pair} lie at one place; keep one series (one echo, one time point) in a folder"
            )
        if abs(gap - usual) > GAP_SHARE * usual:
            raise InputError(
                f"{where}: {gap:.2f} mm between {pair}, {usual:.2f} mm elsewhere: a slice is missing; export all of it"
            )
    whole = places[-1] - places[0]
    beside = whole - (whole @ normal) * normal
    if np.linalg.norm(beside) > SHIFT_PIXELS * min(slices[0].spacing_mm):
        raise InputError(
            f"{slices[0].path.parent}: slices are shifted by {np.linalg.norm(beside):.1f} mm along the stack (tilted "
            "gantry); resample it to a right-angled grid first (dcm2niix)"
        )
    return normal * float(whole @ normal) / (len(slices) - 1)


def _pixels(path: Path) -> np.ndarray:
    """(columns, rows) of one file, after slope and intercept; floats as float32."""
    import SimpleITK as sitk  # noqa: N813

    try:
        with locale_kept():
            image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise InputError(f"{path}: pixels can't be decoded; export it again, uncompressed") from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path}: expected one number per pixel, got {image.GetPixelIDTypeAsString()}; export in gray")
    array = sitk.GetArrayFromImage(image).reshape(image.GetSize()[1], image.GetSize()[0]).T
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _numbers(reader: Any, tag: str, name: str, count: int, path: Path) -> np.ndarray:
    text = reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else ""
    try:
        values = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        values = np.array([])
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(f"{path}: expected {count} numbers as {name} ({tag.replace('|', ',')}), got {text.strip()!r}")
    return values


def _is_dicom(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"
