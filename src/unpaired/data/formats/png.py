"""Read grayscale PNG: every chunk's checksum counts, and pixels are inflated to exactly the size that was promised.

Pillow decodes what is left of a file after these checks: its head, palette and pixels. Texts, profiles and other
extras, which can be packed to a thousandth of their size, are never unpacked.
"""

import io
import zlib
from pathlib import Path

import numpy as np

from unpaired.data.formats.payload import Inflater, read_file, require_affordable
from unpaired.data.image import TO_RAS, Image, ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""{PNG's color type: numbers per pixel}."""
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8,), 3: (1, 2, 4, 8), 4: (8,), 6: (8,)}
"""Bits that are read, by color type; colors of 16 bits would lose half of them in Pillow."""
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Interlacing (Adam7): first column, first row, columns, rows apart."""
NOTE = "PNG holds no voxel size and no place in the body: read as an axial slice with pixels of 1 mm"


def read_png(path: Path) -> Image:
    """Axes (x, y): columns count toward the patient's left, rows toward posterior, 1 mm, as an axial slice.

    Raises ImageError for damage and for colors.
    """
    chunks = _chunks(read_file(path), path)
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise ImageError(f"{path}: unreadable PNG: expected its head first; export it again")
    if chunks[0][1][9] == 3 and not any(name == b"PLTE" for name, _ in chunks):
        raise ImageError(f"{path}: unreadable PNG: expected a palette; export it again")
    packed = b"".join(content for name, content in chunks if name == b"IDAT")
    size = _size(chunks[0][1], path)
    Inflater(packed, path, "zlib").read_voxels(size)
    pixels = _decoded([(name, content) for name, content in chunks if name in (b"IHDR", b"PLTE")], packed, path)
    if pixels.ndim == 3:
        gray = pixels[..., 0]
        colors = 3 if pixels.shape[-1] >= 3 else 1  # the last channel of two or four is opacity
        if any((pixels[..., channel] != gray).any() for channel in range(1, colors)):
            raise ImageError(f"{path}: expected a grayscale image, got colors; map colors to label values first")
        pixels = gray
    return Image((pixels.astype(np.uint8) if pixels.dtype == bool else pixels).T, TO_RAS.copy(), (NOTE,))


def _chunks(content: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """Names and contents of all chunks up to the end mark, their checksums verified."""
    if not content.startswith(SIGNATURE):
        raise ImageError(f"{path}: not a PNG file; export it again or check the name")
    chunks: list[tuple[bytes, bytes]] = []
    place = len(SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        length = int.from_bytes(content[place : place + 4], "big")
        name, chunk = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        checksum = content[place + 8 + length : place + 12 + length]
        if len(checksum) < 4:
            raise ImageError(f"{path}: truncated PNG; copy it again")
        if zlib.crc32(chunk, zlib.crc32(name)) != int.from_bytes(checksum, "big"):
            raise ImageError(f"{path}: damaged PNG (checksum of {name!r}); copy it again")
        chunks.append((name, chunk))
        place += 12 + length
    return chunks


def _size(head: bytes, path: Path) -> int:
    """How many bytes the pixels are, each row behind a byte that names its filter."""
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    depth, color, *_, interlaced = head[8:13]
    if not width or not height:
        raise ImageError(f"{path}: expected an image, got no pixels ({width} x {height}); export it again")
    if depth not in DEPTHS.get(color, ()):
        raise ImageError(f"{path}: PNG of color type {color} with {depth} bits isn't read; export it in gray")
    bits = depth * CHANNELS[color]
    grids = [(width, height)]
    if interlaced:
        grids = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in PASSES]
    size = sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in grids if columns > 0 and rows > 0)
    require_affordable(size, path)
    return size


def _decoded(kept: list[tuple[bytes, bytes]], packed: bytes, path: Path) -> np.ndarray:
    from PIL import Image as Picture
    from PIL import UnidentifiedImageError
    from PIL.PngImagePlugin import PngImageFile

    parts = [SIGNATURE]
    for name, content in (*kept, (b"IDAT", packed), (b"IEND", b"")):
        checksum = zlib.crc32(content, zlib.crc32(name))
        parts += [len(content).to_bytes(4, "big"), name, content, checksum.to_bytes(4, "big")]
    try:
        with PngImageFile(io.BytesIO(b"".join(parts))) as picture:
            return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    except (UnidentifiedImageError, Picture.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImageError(f"{path}: unreadable PNG ({reason}); export it again") from error
