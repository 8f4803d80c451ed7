"""Read a DICOM series, one file per slice, into a volume with its geometry.

The place of every pixel comes from Image Position and Image Orientation (DICOM PS3.3 C.7.6.2), never from file names,
instance numbers or slice thickness. What is not one volume is refused: missing or doubled slices, several orientations.
Files are read by `dicom_file` and `dicom_pixels`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.data.formats.dicom_file import DicomFile
from unpaired.data.formats.dicom_pixels import pixels, read_dicom
from unpaired.data.formats.payload import require_affordable
from unpaired.data.image import TO_RAS, Image, column_lengths, require_placed
from unpaired.errors import InputError

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
    rows), as (x, y). `stated_gap_mm` is what Spacing Between Slices claims, 0 where it is missing.
    """

    path: Path
    position: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing_mm: tuple[float, float]
    size: tuple[int, int]
    stated_gap_mm: float = 0.0

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
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and _is_dicom(path)]
    if not files:
        raise InputError(f"{folder}: expected DICOM files, found none; name the folder that holds one series")
    return files


def read_series(files: str | Path | Iterable[str | Path]) -> Series:
    """The volume of a DICOM series: of the folder that holds it, or of its files in any order.

    `.image` are the values after rescale slope and intercept, `.files` the file behind each slice.
    Files of one series need not share a series UID (anonymizers change it). Raises InputError unless the slices are two
    or more of one size, spacing and orientation, at equal distances without a gap, not sheared by a tilted gantry.
    """
    paths = dicom_files(files) if isinstance(files, str | Path) else [Path(file) for file in files]
    opened = [read_dicom(path) for path in paths]
    slices = [_slice(file) for file in opened]
    where = slices[0].path.parent if slices else "the series"
    if len(slices) < 2:
        raise InputError(
            f"{where}: expected a series of two slices or more, found {len(slices)}; name the whole series"
        )
    _require_one_grid(slices)
    normal = slices[0].normal
    slices.sort(key=lambda slice_: float(slice_.position @ normal))
    step = _step(slices)
    first = slices[0]
    affine = np.eye(4)
    for axis, direction in enumerate((first.row * first.spacing_mm[0], first.column * first.spacing_mm[1], step)):
        affine[:3, axis] = direction
    affine[:3, 3] = first.position
    require_affordable(first.size[0] * first.size[1] * len(slices) * 4, first.path.parent)
    contents = {file.path: pixels(file) for file in opened}
    kind = np.result_type(*{array.dtype for array in contents.values()})
    volume = np.empty((*first.size, len(slices)), kind, order="F")
    for number, slice_ in enumerate(slices):
        volume[..., number] = contents[slice_.path]
    image = Image(volume, TO_RAS @ affine, tuple(_gap_notes(first, float(np.linalg.norm(step)))))
    require_placed(image, first.path.parent)
    return Series(image, tuple(slice_.path for slice_ in slices))


def _gap_notes(first: Slice, gap: float) -> Iterator[str]:
    """A note where Spacing Between Slices contradicts the positions, which is what programs go by."""
    if first.stated_gap_mm and abs(abs(first.stated_gap_mm) - gap) > GAP_SHARE * gap:
        stated = f"Spacing Between Slices says {first.stated_gap_mm:.4g} mm"
        yield f"slices lie {gap:.4g} mm apart by their positions, {stated}; read by the positions"


def read_slice(path: Path) -> Slice:
    """The geometry of one file, without its pixels. Raises InputError for what is no slice with a place in space."""
    return _slice(read_dicom(path))


def _slice(file: DicomFile) -> Slice:
    path = file.path
    position = file.numbers("ImagePositionPatient", "Image Position", 3)
    directions = file.numbers("ImageOrientationPatient", "Image Orientation", 6)
    between_rows, between_columns = file.numbers("PixelSpacing", "Pixel Spacing", 2)
    row, column = directions[:3], directions[3:]
    lengths = column_lengths(np.array([row, column]).T)
    if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01 or min(between_rows, between_columns) <= 0:
        raise InputError(f"{path}: Image Orientation or Pixel Spacing make no right-angled grid; export it again")
    return Slice(
        path,
        position,
        row / lengths[0],
        column / lengths[1],
        (float(between_columns), float(between_rows)),
        file.size,
        file.number("SpacingBetweenSlices", "Spacing Between Slices", 0.0),
    )


def _require_one_grid(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for other in slices[1:]:
        if other.size != first.size:
            raise InputError(
                f"{other.path}: has {other.size} pixels, {first.path.name} {first.size}; keep one series in a folder"
            )
        if not np.allclose(other.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise InputError(
                f"{other.path}: pixels of {other.spacing_mm} mm, {first.path.name} has {first.spacing_mm}; keep one "
                "series in a folder"
            )
        turned = max(np.abs(other.row - first.row).max(), np.abs(other.column - first.column).max())
        if turned > SAME_DIRECTION:
            raise InputError(
                f"{other.path}: lies in another direction than {first.path.name} (direction cosines differ by "
                f"{turned:.3f}); keep one orientation in a folder"
            )


def _step(slices: Sequence[Slice]) -> np.ndarray:
    """From one slice to the next, in mm; `slices` are sorted along the first one's normal."""
    normal = slices[0].normal
    places = np.array([slice_.position for slice_ in slices])
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


def _is_dicom(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"
