"""One DICOM file, with one slice or several frames: what its header says.

pydicom reads the elements: it nests in Python, so that hostile nesting ends in an error, not in a crash.
"""

import io
import warnings
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.data.formats.payload import read_file
from unpaired.data.image import ImageError
from unpaired.errors import printable

TAGS = [
    "TransferSyntaxUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelData",
]
GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
}
"""Where an enhanced file keeps, for each frame or for all, what a classic one has at its top."""
DEFLATED = "1.2.840.10008.1.2.1.99"
PREAMBLE = 132
"""So many bytes come before the first element, in files that have a preamble."""
LARGEST_INFLATED = 2**28
"""A deflated file holds one slice: 256 MB are more than any has."""


@dataclass(frozen=True)
class DicomFile:
    """The elements of one file and its transfer syntax. `size` counts (columns, rows)."""

    path: Path
    elements: Any
    syntax: str

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.whole("Columns"), self.whole("Rows")

    @property
    def frames(self) -> int:
        """How many slices the file holds."""
        return self.whole("NumberOfFrames", 1)

    def numbers(self, name: str, title: str, count: int, frame: int = 0) -> np.ndarray:
        """`count` finite numbers of an element, as a frame has them. Raises ImageError, with `title`, otherwise."""
        from pydicom.datadict import tag_for_keyword

        tag = tag_for_keyword(name) or 0
        with one_line(self.path):
            value = self._value(name, frame)
            parts = [] if value is None else [value] if isinstance(value, str | float | int) else list(value)
        try:
            values = np.array([float(part) for part in parts])
        except (TypeError, ValueError):
            values = np.array([])
        if len(values) != count or not np.isfinite(values).all():
            given = "\\".join(map(str, parts))[:80]
            where = f"{tag >> 16:04x},{tag & 0xFFFF:04x}"
            raise ImageError(f"{self.path}: expected {count} numbers as {title} ({where}), got {given!r}", "affine")
        return values

    def number(self, name: str, title: str, default: float, frame: int = 0) -> float:
        """A finite number, or the default of an element that is missing. Raises ImageError for anything else."""
        with one_line(self.path):
            missing = self._value(name, frame) is None
        return default if missing else float(self.numbers(name, title, 1, frame)[0])

    def whole(self, name: str, default: int | None = None) -> int:
        """An integer element. Raises ImageError if it is none, or missing without a default."""
        with one_line(self.path):
            value = self.elements.get(name, default)
            if value is None or int(value) != value or int(value) < 0:
                raise ImageError(f"{self.path}: unreadable or truncated DICOM: no {name}; export it again")
            return int(value)

    def has(self, name: str, frame: int = 0) -> bool:
        """Whether a file, or its frame, has an element."""
        with one_line(self.path):
            return self._value(name, frame) is not None

    def _value(self, name: str, frame: int) -> Any:
        """An element at the file's top, else in the functional groups of a frame, or of all; None if it is missing."""
        value = self.elements.get(name)
        of_frames = self.elements.get("PerFrameFunctionalGroupsSequence") or ()
        shared = self.elements.get("SharedFunctionalGroupsSequence") or ()
        for group in (*([of_frames[frame]] if frame < len(of_frames) else []), *shared):
            for macro in group.get(GROUPS[name]) or ():
                value = macro.get(name) if value is None else value
        return value


def read_elements(path: Path, tags: Sequence[int] | None = None, pixels: bool = True) -> DicomFile:
    """The elements of a file that are named, by default those that its pixels need; without `pixels` all before them.

    Raises ImageError for what is no DICOM, or damaged.
    """
    from pydicom.filereader import read_file_meta_info

    wanted = list(tags or _tags())
    if _may_be_deflated(path):
        with one_line(path):
            meta = read_file_meta_info(path)
        if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:  # pydicom would inflate whatever a bomb holds
            return _deflated(path, meta, wanted)
    if pixels:
        content = read_file(path)
        with one_line(path):
            # From memory: a length of gigabytes is cut to what is there.
            elements = _dcmread(io.BytesIO(content), wanted)
    else:
        with one_line(path), _Bounded(path) as stream:
            elements = _dcmread(stream, wanted, stop_before_pixels=True)
    return DicomFile(path, elements, str(elements.file_meta.get("TransferSyntaxUID", "")))


def _dcmread(stream: Any, tags: list[int], stop_before_pixels: bool = False) -> Any:
    from pydicom import dcmread

    return dcmread(stream, force=True, specific_tags=list(tags), stop_before_pixels=stop_before_pixels)


def _may_be_deflated(path: Path) -> bool:
    """Whether a file's own group, which is short, names the deflated transfer syntax."""
    with path.open("rb") as file:
        start = file.read(4096)
    return start[128:132] == b"DICM" and DEFLATED.encode() in start


def _deflated(path: Path, meta: Any, tags: list[int]) -> DicomFile:
    from pydicom.filereader import read_dataset

    content = read_file(path)
    with one_line(path):
        start = 144 + int(meta["FileMetaInformationGroupLength"].value)
        inflated = io.BytesIO(_inflated(content[start:], path))
        return DicomFile(path, read_dataset(inflated, False, True, specific_tags=list(tags)), DEFLATED)


class _Bounded(io.BufferedReader):
    """A file that is never asked for more than it holds, whatever lengths stand in it.

    Where an element is longer than what is left of the file, ImageError is raised: pydicom takes what is there for all.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._path = path
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        place = self.tell()
        if size is None or size <= self._size - place:
            return super().read(size)
        if place > PREAMBLE and place != self._size:
            text = f"it breaks off in the element at byte {place}"
            raise ImageError(f"{self._path}: unreadable or truncated DICOM: {text}; export it again")
        return b"" if place >= self._size else super().read(self._size - place)


@cache
def _tags() -> tuple[int, ...]:
    from pydicom.datadict import tag_for_keyword

    return tuple(tag for tag in map(tag_for_keyword, TAGS) if tag is not None)


def _inflated(packed: bytes, path: Path) -> bytes:
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    content = decoder.decompress(packed, LARGEST_INFLATED)
    if not decoder.eof:
        text = f"deflated data break off, or hold more than {LARGEST_INFLATED} bytes"
        raise ImageError(f"{path}: unreadable or truncated DICOM: {text}; export it again")
    return content


@contextmanager
def one_line(path: Path) -> Generator[None]:
    """Turn whatever pydicom raises about damaged elements into one line, and keep its warnings to itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Exception as error:  # of elements that anybody may have written, pydicom raises whatever its parts do
        reason = printable((str(error).splitlines() or [""])[0])[:100] or type(error).__name__
        raise ImageError(f"{path}: unreadable or truncated DICOM ({reason}); export it again") from error
