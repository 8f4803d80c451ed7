"""One DICOM file with one slice: what its header says, cross-checked, and its pixels.

pydicom reads the elements (it nests in Python, so that hostile nesting ends in an error, not in a crash). Uncompressed
pixels are taken as they lie there, after their length was compared with Rows, Columns and bits; compressed ones are
decoded in a process of its own.
"""

import io
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.data.formats.decoder import DECODER
from unpaired.data.formats.payload import read_file, require_affordable, require_length, scaled
from unpaired.data.image import ImageError

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
UNCOMPRESSED = dict.fromkeys(("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED), "<") | {
    "1.2.840.10008.1.2.2": ">"
}
"""Transfer syntaxes whose pixels lie there as numbers, and their byte order."""
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

    def numbers(self, name: str, title: str, count: int) -> np.ndarray:
        """`count` finite numbers of an element. Raises ImageError, with `title`, for anything else."""
        from pydicom.datadict import tag_for_keyword

        tag = tag_for_keyword(name) or 0
        with _one_line(self.path):
            value = self._value(name)
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

    def number(self, name: str, title: str, default: float) -> float:
        """A finite number, or the default of an element that is missing. Raises ImageError for anything else."""
        with _one_line(self.path):
            missing = self._value(name) is None
        return default if missing else float(self.numbers(name, title, 1)[0])

    def whole(self, name: str, default: int | None = None) -> int:
        """An integer element. Raises ImageError if it is none, or missing without a default."""
        with _one_line(self.path):
            value = self.elements.get(name, default)
            if value is None or int(value) != value or int(value) < 0:
                raise ImageError(f"{self.path}: unreadable or truncated DICOM: no {name}; export it again")
            return int(value)

    def _value(self, name: str) -> Any:
        """An element at the file's top, else in the functional groups of its only frame; None if it is missing."""
        value = self.elements.get(name)
        for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
            for group in self.elements.get(groups) or ():
                for macro in group.get(GROUPS[name]) or ():
                    value = macro.get(name) if value is None else value
        return value


def read_dicom(path: Path) -> DicomFile:
    """The elements of a file with one slice of gray pixels. Raises ImageError for anything else."""
    file = _elements(path)
    columns, rows = file.size
    frames, samples = file.whole("NumberOfFrames", 1), file.whole("SamplesPerPixel", 1)
    if frames != 1:
        raise ImageError(f"{path}: expected one slice per file, found {frames} frames; convert it to NIfTI (dcm2niix)")
    with _one_line(path):
        kind = str(file.elements.get("PhotometricInterpretation", "MONOCHROME2")).strip()
        table = "ModalityLUTSequence" in file.elements
    if kind == "MONOCHROME1":
        raise ImageError(
            f"{path}: is stored for display in reverse (MONOCHROME1); programs differ on whether its values are, too: "
            "export it as MONOCHROME2"
        )
    if samples != 1 or kind != "MONOCHROME2":
        raise ImageError(f"{path}: expected one number per pixel, got {samples} ({kind[:20]}); export in gray")
    if table:
        raise ImageError(f"{path}: its values pass through a table (Modality LUT), which isn't read; export it again")
    if not columns or not rows:
        raise ImageError(f"{path}: expected an image, got no pixels ({columns} x {rows}); export it again")
    require_affordable(columns * rows * 4, path)
    return file


def pixels(file: DicomFile) -> np.ndarray:
    """(columns, rows) of one file, after slope and intercept; floats as float32. Raises ImageError for damage."""
    path = file.path
    with _one_line(path):
        content = file.elements.get("PixelData")
    if not isinstance(content, bytes):
        raise ImageError(f"{path}: unreadable or truncated DICOM: no pixels; export it again")
    slope = file.number("RescaleSlope", "Rescale Slope", 1.0)
    intercept = file.number("RescaleIntercept", "Rescale Intercept", 0.0)
    if slope == 0:
        raise ImageError(f"{path}: a Rescale Slope of 0 makes all pixels equal; export it again")
    if file.syntax in UNCOMPRESSED:
        return scaled(_stored(file, content), slope, intercept)
    with _one_line(path):
        alone = _alone(file, content)
    return scaled(DECODER.decode(alone, file.size, path), slope, intercept)


def _alone(file: DicomFile, content: bytes) -> bytes:
    """A DICOM file of nothing but the compressed pixels and what they need: all that a decoder gets to see."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate, generate_frames
    from pydicom.uid import UID, CTImageStorage

    alone = Dataset()
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = UID(file.syntax)
    alone.SOPClassUID = alone.file_meta.MediaStorageSOPClassUID = CTImageStorage
    alone.SOPInstanceUID = alone.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    alone.Columns, alone.Rows = file.size
    alone.SamplesPerPixel, alone.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = file.whole("BitsAllocated")
    stored = file.whole("BitsStored", bits)
    alone.BitsAllocated, alone.BitsStored, alone.HighBit = bits, stored, file.whole("HighBit", stored - 1)
    alone.PixelRepresentation = file.whole("PixelRepresentation", 0)
    (frame,) = generate_frames(content, number_of_frames=1)
    alone.PixelData = encapsulate([frame])
    alone["PixelData"].VR = "OB"
    alone["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    dcmwrite(stream, alone, enforce_file_format=True)
    return stream.getvalue()


def _stored(file: DicomFile, content: bytes) -> np.ndarray:
    """(columns, rows) as stored, without what the bits above High Bit hold (overlays, in old files)."""
    path = file.path
    (columns, rows), allocated, signed = file.size, file.whole("BitsAllocated"), file.whole("PixelRepresentation", 0)
    stored = file.whole("BitsStored", allocated)
    spare = allocated - 1 - file.whole("HighBit", stored - 1)
    if allocated not in (8, 16, 32) or signed > 1 or not 1 <= stored <= allocated - spare or spare < 0:
        bits = f"{stored} of {allocated} bits"
        raise ImageError(f"{path}: pixels of {bits} below bit {allocated - spare} aren't read; export it again")
    size = columns * rows * allocated // 8
    if len(content) == size + 1 and size % 2:
        content = content[:-1]  # elements are padded to an even length
    require_length(len(content), size, path)
    order = UNCOMPRESSED[file.syntax]
    raw = np.frombuffer(content, f"{order}{'i' if signed else 'u'}{allocated // 8}").reshape(rows, columns).T
    if stored == allocated:
        return raw
    shifted = raw.astype(raw.dtype.newbyteorder("=")) << spare  # the sign moves to the top, the rest out of it
    return shifted >> (allocated - stored)


def _elements(path: Path) -> DicomFile:
    from pydicom import dcmread
    from pydicom.filereader import read_dataset, read_file_meta_info

    content = read_file(path)
    with _one_line(path):
        if DEFLATED.encode() in content and content[128:132] == b"DICM":
            meta = read_file_meta_info(path)
            if meta.get("TransferSyntaxUID") == DEFLATED:  # pydicom would inflate whatever a bomb holds
                start = 144 + int(meta["FileMetaInformationGroupLength"].value)
                inflated = io.BytesIO(_inflated(content[start:], path))
                return DicomFile(path, read_dataset(inflated, False, True, specific_tags=_tags()), DEFLATED)
        # From memory: a length of gigabytes is cut to what is there.
        elements = dcmread(io.BytesIO(content), force=True, specific_tags=_tags())
        return DicomFile(path, elements, str(elements.file_meta.get("TransferSyntaxUID", "")))


@cache
def _tags() -> list[int]:
    from pydicom.datadict import tag_for_keyword

    return [tag for tag in map(tag_for_keyword, TAGS) if tag is not None]


def _inflated(packed: bytes, path: Path) -> bytes:
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    content = decoder.decompress(packed, LARGEST_INFLATED)
    if not decoder.eof:
        text = f"deflated data break off, or hold more than {LARGEST_INFLATED} bytes"
        raise ImageError(f"{path}: unreadable or truncated DICOM: {text}; export it again")
    return content


@contextmanager
def _one_line(path: Path) -> Generator[None]:
    """Turn whatever pydicom raises about damaged elements into one line, and keep its warnings to itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except Exception as error:  # of elements that anybody may have written, pydicom raises whatever its parts do
        reason = (str(error).splitlines() or [""])[0][:100] or type(error).__name__
        raise ImageError(f"{path}: unreadable or truncated DICOM ({reason}); export it again") from error
