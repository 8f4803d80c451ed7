"""The frames of a DICOM SEG object: pixels of one bit, packed without gaps, or of whole bytes."""

import zlib
from collections.abc import Iterator

import numpy as np

from unpaired.data.formats.dicom_file import DicomFile, one_line
from unpaired.data.formats.dicom_pixels import UNCOMPRESSED, stored_frames
from unpaired.data.formats.payload import require_length
from unpaired.data.image import ImageError

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
"""Deflated Image Frame Compression, made for segmentations."""


def frames_of(file: DicomFile) -> Iterator[tuple[int, np.ndarray]]:
    """(number, pixels (columns, rows)) of every frame."""
    content, bits = file.elements.get("PixelData"), file.whole("BitsAllocated")
    if file.whole("SamplesPerPixel", 1) != 1 or not isinstance(content, bytes):
        raise ImageError(f"{file.path}: unreadable or truncated DICOM: no pixels; export it again")
    columns, rows = file.size
    if bits == 1 and file.syntax in UNCOMPRESSED:
        size = -(-columns * rows * file.frames // 8)
        require_length(len(content) - (len(content) - size == 1), size, file.path)
        packed = np.frombuffer(content, np.uint8)
        for frame in range(file.frames):
            yield frame, _unpacked(packed, frame * columns * rows, columns, rows)
    elif file.syntax == DEFLATED_FRAMES and bits in (1, 8, 16):
        yield from enumerate(_inflated(file, content, bits))
    elif bits == 1:
        text = f"single bits in transfer syntax {file.syntax} aren't read"
        raise ImageError(f"{file.path}: {text}; export it uncompressed")
    else:
        yield from stored_frames(file, range(file.frames))


def _unpacked(packed: np.ndarray, start: int, columns: int, rows: int) -> np.ndarray:
    """Pixels (columns, rows) of one bit each, from the bit `start` on."""
    first, skip = divmod(start, 8)
    bits = np.unpackbits(packed[first : first + -(-(skip + columns * rows) // 8)], bitorder="little")
    return bits[skip : skip + columns * rows].reshape(rows, columns).T


def _inflated(file: DicomFile, content: bytes, bits: int) -> Iterator[np.ndarray]:
    from pydicom.encaps import generate_frames

    columns, rows = file.size
    size = -(-columns * rows * bits // 8)
    with one_line(file.path):
        for packed in generate_frames(content, number_of_frames=file.frames):
            raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 2)
            require_length(len(raw[:size]), size, file.path)
            if bits == 1:
                yield _unpacked(np.frombuffer(raw, np.uint8), 0, columns, rows)
            else:
                yield np.frombuffer(raw[:size], f"<u{bits // 8}").reshape(rows, columns).T
