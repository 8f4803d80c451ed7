"""One DICOM series, as a folder or as files, to a volume with the file behind each of its slices.

`dicom.tree` finds the series of any tree of files. Here a person says what one series is: files with series UIDs of
their own, which anonymizers leave, are one too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unpaired.data.image import Image, ImageError
from unpaired.dicom.header import ImageHeader, read_header
from unpaired.dicom.index import Frame
from unpaired.dicom.stack import Stack, require_places, stacked
from unpaired.dicom.tree import looks_like_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError

SAME_DIRECTION = 1e-3
"""How far direction cosines of two slices may differ: more than rounding is another orientation."""


@dataclass(frozen=True)
class SeriesVolume:
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
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and _may_be_a_slice(path)]
    if not files:
        raise InputError(f"{folder}: expected DICOM files, found none; name the folder that holds one series")
    return files


def read_series(files: str | Path | Iterable[str | Path]) -> SeriesVolume:
    """The volume of a DICOM series: of the folder that holds it, or of its files in any order.

    `.image` is what `read_volume` reads, `.files` the file behind each slice. Files of one series need not share a
    series UID (anonymizers change it). Raises InputError unless the slices are two or more of one size, spacing and
    orientation, at equal distances without a gap, not sheared by a tilted gantry.
    """
    paths = dicom_files(files) if isinstance(files, str | Path) else [Path(file) for file in files]
    headers = [_image_header(path) for path in paths]
    where = paths[0].parent if paths else "the series"
    frames = [slice_.frame for header in headers for slice_ in header.slices]
    if len(frames) < 2:
        raise InputError(
            f"{where}: expected a series of two slices or more, found {len(frames)}; name the whole series"
        )
    try:
        stack = _one_stack(frames)
    except ImageError as error:
        raise InputError(f"{where}: {error}") from error
    image = read_volume(replace(headers[0].series, frames=stack.frames))
    return SeriesVolume(image, tuple(frame.file for frame in stack.frames))


def _may_be_a_slice(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.upper() != "DICOMDIR" and looks_like_dicom(path)


def _image_header(path: Path) -> ImageHeader:
    header = read_header(path)
    if not isinstance(header, ImageHeader):
        raise InputError(f"{path}: expected a slice of a scan, found none; keep one series in a folder")
    if header.problem is not None:
        raise InputError(f"{path}: {header.problem}")
    return header


def _one_stack(frames: Sequence[Frame]) -> Stack:
    """The frames as one right-angled stack. Raises ImageError where they are none."""
    require_places(frames)
    _require_alike(frames)
    stack = stacked(frames)
    if stack.tilt_degrees:
        raise ImageError(
            f"a tilted gantry ({stack.tilt_degrees:.1f} degrees) shifted the slices along the stack; `read_volume` "
            "moves the series that `list_dicom` finds to a right-angled grid",
            "affine",
        )
    return stack


def _require_alike(frames: Sequence[Frame]) -> None:
    """Raise ImageError for frames of another size, spacing or direction than the first."""
    first = frames[0]
    name, spacing = first.file.name, first.spacing_mm or (0.0, 0.0)
    for other in frames[1:]:
        has = f"{other.file.name} has"
        if other.size != first.size:
            raise ImageError(f"{has} {other.size} pixels, {name} {first.size}; keep one series in a folder", "affine")
        if not np.allclose(other.spacing_mm or (0.0, 0.0), spacing, rtol=1e-3):
            text = f"{has} pixels of {other.spacing_mm} mm, {name} of {spacing}"
            raise ImageError(f"{text}; keep one series in a folder", "affine")
        directions = [np.array([frame.row, frame.column]) for frame in (first, other)]
        turned = np.abs(directions[1] - directions[0]).max()
        if turned > SAME_DIRECTION:
            raise ImageError(
                f"{other.file.name} lies in another direction than {name} (direction cosines differ by {turned:.3f}); "
                "keep one orientation in a folder",
                "affine",
            )
