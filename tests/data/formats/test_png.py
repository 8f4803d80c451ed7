"""PNG: Pillow as oracle over depths, filters and interlacing; checksums and sizes count before it decodes."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL.PngImagePlugin import PngInfo

from unpaired.data.images import read_image
from unpaired.errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 13)).astype(np.uint8)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, color: int, rows: bytes, interlaced: int = 0, extra: bytes = b"") -> bytes:
    """A whole file; `rows` are the filtered bytes of all rows."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    packed = zlib.compress(rows)
    halves = packed[: len(packed) // 2], packed[len(packed) // 2 :]
    idat = b"".join(chunk(b"IDAT", half) for half in halves)
    return SIGNATURE + chunk(b"IHDR", head) + extra + idat + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["uint8", "uint16", "bool", "palette", "rgb", "rgba", "gray and alpha"])
def test_what_pillow_writes(tmp_path: Path, kind: str) -> None:
    expected = PIXELS.astype(np.uint16) * 250 if kind == "uint16" else PIXELS > 99 if kind == "bool" else PIXELS
    picture = Picture.fromarray(expected)
    if kind == "palette":
        picture.putpalette([gray for gray in range(256) for _ in range(3)])
        picture = picture.convert("P")
    picture = picture.convert({"rgb": "RGB", "rgba": "RGBA", "gray and alpha": "LA"}.get(kind, picture.mode))
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.array[..., 0].T, expected)
    assert image.array.dtype == ("uint16" if kind == "uint16" else "uint8")
    assert image.notes == (
        "PNG holds no voxel size and no place in the body: read as an axial slice with pixels of 1 mm",
    )


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (2, 2), (8, 8), (13, 9)])
def test_interlaced(tmp_path: Path, width: int, height: int) -> None:
    """Seven passes over the pixels, each with rows of its own."""
    pixels = PIXELS[:height, :width]
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for x, y, dx, dy in passes:
        grid = pixels[y::dy, x::dx]
        rows += b"".join(b"\0" + row.tobytes() for row in grid) if grid.size else b""
    (tmp_path / "a.png").write_bytes(png(width, height, 8, 0, rows, interlaced=1))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[..., 0].T, pixels)


GRAY = b"".join(b"\0" + row.tobytes() for row in PIXELS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a PNG file"),
        (SIGNATURE, "truncated PNG"),
        (SIGNATURE + chunk(b"IEND", b""), "expected its head first"),
        (png(13, 9, 8, 0, GRAY)[:-20], "truncated PNG"),
        (png(13, 9, 8, 0, GRAY)[:-1] + b"x", "damaged PNG"),
        (png(13, 8, 8, 0, GRAY), "too long: the header promises 112 bytes of voxels"),
        (png(13, 10, 8, 0, GRAY), "truncated: the header promises 140 bytes of voxels, the compressed data hold 126"),
        (png(14, 9, 8, 0, GRAY), "truncated"),
        (png(0, 9, 8, 0, GRAY), "got no pixels (0 x 9)"),
        (png(30000, 30000, 8, 0, GRAY), "can't hold more than"),
        (png(2**31 - 1, 2**31 - 1, 8, 0, GRAY), "GB of voxels"),
        (png(13, 9, 16, 2, GRAY), "color type 2 with 16 bits isn't read"),
        (png(13, 9, 8, 9, GRAY), "color type 9 with 8 bits isn't read"),
        (png(13, 9, 8, 3, GRAY), "expected a palette"),
        (png(13, 9, 8, 0, GRAY.replace(b"\0", b"\x09", 1)), "unreadable PNG"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png") as caught:
        read_image(tmp_path / "a.png")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_texts_are_never_unpacked(tmp_path: Path) -> None:
    """20 MB of text in 20 kB: Pillow refuses such a file when it looks at it."""
    bomb = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(20_000_000)))
    (tmp_path / "a.png").write_bytes(png(13, 9, 8, 0, GRAY, extra=bomb))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[..., 0].T, PIXELS)
    notes = PngInfo()
    notes.add_text("comment", "a normal one", zip=True)
    Picture.fromarray(PIXELS).save(tmp_path / "b.png", pnginfo=notes)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").array[..., 0].T, PIXELS)
