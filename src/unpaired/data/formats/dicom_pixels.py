"""The pixels of a DICOM file, of one slice or of several frames.

Uncompressed ones are taken as they lie there, after their length was compared with Rows, Columns, frames and bits;
compressed ones are decoded in a process of its own.
"""

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np

from unpaired.data.formats.decoder import DECODER
from unpaired.data.formats.dicom_file import DEFLATED, DicomFile, one_line
from unpaired.data.formats.payload import require_affordable, require_length
from unpaired.data.image import ImageError

UNCOMPRESSED = dict.fromkeys(("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED), "<") | {
    "1.2.840.10008.1.2.2": ">"
}
"""Transfer syntaxes whose pixels lie there as numbers, and their byte order."""
RUN_LENGTHS = "1.2.840.10008.1.2.5"
SHORTEST_RUN_LENGTHS = 64
"""GDCM refuses frames in RLE of fewer bytes, so that pydicom decodes these."""


def require_gray(file: DicomFile) -> None:
    """Raise ImageError unless a file has pixels of one number each that pass through no table."""
    path, (columns, rows), samples = file.path, file.size, file.whole("SamplesPerPixel", 1)
    with one_line(path):
        kind = str(file.elements.get("PhotometricInterpretation", "MONOCHROME2")).strip()
        table = "ModalityLUTSequence" in file.elements
    if samples != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(f"{path}: expected one number per pixel, got {samples} ({kind[:20]}); export in gray")
    if table:
        raise ImageError(f"{path}: its values pass through a table (Modality LUT), which isn't read; export it again")
    if not columns or not rows or not file.frames:
        raise ImageError(f"{path}: expected an image, got no pixels ({columns} x {rows}); export it again")
    require_affordable(columns * rows * 4 * file.frames, path)


def rescale_of(file: DicomFile, frame: int) -> tuple[float, float]:
    """Slope and intercept of a frame's values. Raises ImageError for a slope of 0."""
    slope = file.number("RescaleSlope", "Rescale Slope", 1.0, frame)
    if slope == 0:
        raise ImageError(f"{file.path}: a Rescale Slope of 0 makes all pixels equal; export it again")
    return slope, file.number("RescaleIntercept", "Rescale Intercept", 0.0, frame)


def stored_frames(file: DicomFile, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(number, pixels (columns, rows) as they are stored) of the frames that are named, in the file's order.

    Raises ImageError if the file holds more or fewer pixels than it says, or damaged ones.
    """
    with one_line(file.path):
        content = file.elements.get("PixelData")
    if not isinstance(content, bytes):
        raise ImageError(f"{file.path}: unreadable or truncated DICOM: no pixels; export it again")
    if file.syntax in UNCOMPRESSED:
        frames = _stored(file, content)
        yield from ((number, frames[..., number]) for number in sorted(numbers))
        return
    with one_line(file.path):
        packed = list(_packed(file, content))
    few = math.prod(file.size) * file.whole("BitsAllocated") // 8 < SHORTEST_RUN_LENGTHS
    for number in sorted(numbers):
        with one_line(file.path):
            alone = _alone(file, packed[number])
            decoded = _run_lengths(alone) if few and file.syntax == RUN_LENGTHS else None
        yield number, DECODER.decode(alone, file.size, file.path) if decoded is None else decoded


def _packed(file: DicomFile, content: bytes) -> Iterator[bytes]:
    from pydicom.encaps import generate_frames

    return generate_frames(content, number_of_frames=file.frames)


def _alone(file: DicomFile, frame: bytes) -> bytes:
    """A DICOM file of nothing but the compressed pixels and what they need: all that a decoder gets to see."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
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
    alone.PixelRepresentation = file.whole("PixelRepresentation")
    alone.PixelData = encapsulate([frame])
    alone["PixelData"].VR = "OB"
    alone["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    dcmwrite(stream, alone, enforce_file_format=True)
    return stream.getvalue()


def _run_lengths(content: bytes) -> np.ndarray:
    """The pixels (columns, rows) of a DICOM file in RLE, decoded in Python."""
    from pydicom import dcmread

    return dcmread(io.BytesIO(content)).pixel_array.T


def _stored(file: DicomFile, content: bytes) -> np.ndarray:
    """(columns, rows, frames) as stored, without what the bits above High Bit hold (overlays, in old files)."""
    path = file.path
    (columns, rows), allocated, signed = file.size, file.whole("BitsAllocated"), file.whole("PixelRepresentation")
    stored = file.whole("BitsStored", allocated)
    spare = allocated - 1 - file.whole("HighBit", stored - 1)
    if allocated not in (8, 16, 32) or signed > 1 or not 1 <= stored <= allocated - spare or spare < 0:
        bits = f"{stored} of {allocated} bits"
        raise ImageError(f"{path}: pixels of {bits} below bit {allocated - spare} aren't read; export it again")
    size = columns * rows * file.frames * allocated // 8
    if len(content) == size + 1 and size % 2:
        content = content[:-1]  # elements are padded to an even length
    require_length(len(content), size, path)
    order = UNCOMPRESSED[file.syntax]
    raw = np.frombuffer(content, f"{order}{'i' if signed else 'u'}{allocated // 8}")
    raw = raw.reshape(file.frames, rows, columns).T
    if stored == allocated:
        return raw
    shifted = raw.astype(raw.dtype.newbyteorder("=")) << spare  # the sign moves to the top, the rest out of it
    return shifted >> (allocated - stored)
