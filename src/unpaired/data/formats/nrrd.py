"""Read NRRD, in one file (.nrrd) or two (.nhdr), as its definition has it (teem.sourceforge.net/nrrd/format.html).

Everything is checked before it is believed: fields are known and stand there once, sizes fit the bytes, checksums hold,
data files lie in the header's folder. A grid without a space (whose left is left?) is refused.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from unpaired.data.formats.detached import data_file, numbered_files
from unpaired.data.formats.header_text import LONGEST, NO_PLACE, real_numbers, text_voxels, unit_mm, whole_numbers
from unpaired.data.formats.payload import (
    Inflater,
    as_voxels,
    read_file,
    require_affordable,
    require_length,
    voxel_bytes,
)
from unpaired.data.image import Image, ImageError

TYPES = {
    "int8": "signed char, int8, int8_t",
    "uint8": "uchar, unsigned char, uint8, uint8_t",
    "int16": "short, short int, signed short, signed short int, int16, int16_t",
    "uint16": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "int32": "int, signed int, int32, int32_t",
    "uint32": "uint, unsigned int, uint32, uint32_t",
    "int64": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "uint64": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "float32": "float",
    "float64": "double",
}
DTYPES = {name: np.dtype(kind) for kind, names in TYPES.items() for name in names.split(", ")}
ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "hex": "hex"} | dict.fromkeys(("ascii", "text", "txt"), "text")
SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
} | {"ras": (1, 1, 1), "las": (-1, 1, 1), "lps": (-1, -1, 1)}
"""Signs that turn a space's axes into RAS."""
TIME = re.compile(r"(.*)-time|(ra|la|lp)st")
"""A space with time as its last axis, which a single volume may have too."""
FIELDS = """dimension type encoding endian content min max oldmin oldmax datafile lineskip byteskip number sampleunits
sizes spacings thicknesses axismins axismaxs centers centerings labels units kinds space spacedimension spaceunits
spaceorigin spacedirections measurementframe"""
"""By their names without blanks."""
VECTOR = re.compile(r"none|\(([^()]*)\)")
SPATIAL_KINDS = ("domain", "space", "none", "???")


@dataclass(frozen=True)
class Header:
    """The fields by their names without blanks, the lines of a list of data files, and what follows the header."""

    path: Path
    fields: dict[str, str]
    listed: list[str]
    rest: memoryview

    def get(self, name: str, default: str | None = None) -> str:
        """A field's text. Raises ImageError if it is missing without a default."""
        text = self.fields.get(name, default)
        if text is None:
            raise ImageError(f"{self.path}: NRRD header without {name!r}; export it again")
        return text


def read_nrrd(path: Path) -> Image:
    """The image, of any number of axes. Raises ImageError for damage, contradictions and several channels."""
    header = _header(path)
    dimension = whole_numbers(header.get("dimension"), "dimension", path, 1)[0]
    if not 1 <= dimension <= 16:
        raise ImageError(f"{path}: expected 1 to 16 dimensions, got {dimension}; repair the header")
    sizes = whole_numbers(header.get("sizes"), "sizes", path, dimension)
    dtype = _dtype(header)
    size = voxel_bytes(sizes, dtype, path)
    axes, affine, notes = _geometry(header, sizes)
    array = as_voxels(_content(header, sizes, dtype, size), dtype, sizes, path)
    return Image(array.reshape([sizes[axis] for axis in axes], order="F"), affine, notes)


def _header(path: Path) -> Header:
    content = read_file(path)
    if not re.match(rb"NRRD000[1-5]\r?\n", content):
        raise ImageError(f"{path}: unreadable: expected NRRD0001 to NRRD0005 in the first line; check the name")
    end = re.compile(rb"\n\r?\n").search(content, 0, LONGEST)
    text, rest = (content[:LONGEST], b"") if end is None else (content[: end.start()], memoryview(content)[end.end() :])
    if end is None and len(content) > LONGEST:
        raise ImageError(f"{path}: unreadable: a header without end; export it again")
    fields: dict[str, str] = {}
    lines = text.decode("utf-8", "replace").splitlines()[1:]
    for number, line in enumerate(lines):
        if line.startswith("#") or ":=" in line.split(": ")[0]:
            continue
        name, separator, value = line.partition(": ")
        name = name.strip().lower().replace(" ", "")
        if not separator or name not in FIELDS.split():
            raise ImageError(f"{path}: unreadable NRRD header line {line[:60]!r}; export it again")
        if name in fields:
            raise ImageError(f"{path}: the header has {name!r} twice; repair it")
        fields[name] = value.strip()
        if name == "datafile" and value.strip().upper().startswith("LIST"):
            return Header(path, fields, [listed for listed in lines[number + 1 :] if listed], memoryview(rest))
    return Header(path, fields, [], memoryview(rest))


def _dtype(header: Header) -> np.dtype:
    name = header.get("type").lower()
    if name not in DTYPES:
        raise ImageError(f"{header.path}: expected one number per voxel, got type {name[:40]!r}; export one channel")
    dtype = DTYPES[name]
    if dtype.itemsize == 1 or ENCODINGS.get(header.get("encoding").lower()) == "text":
        return dtype
    orders: dict[str, Literal["<", ">"]] = {"little": "<", "big": ">"}
    endian = header.get("endian").lower()
    if endian not in orders:
        raise ImageError(f"{header.path}: expected endian little or big, got {endian[:20]!r}; repair the header")
    return dtype.newbyteorder(orders[endian])


def _content(header: Header, sizes: list[int], dtype: np.dtype, size: int) -> bytes | memoryview:
    """The bytes of all voxels, from the header's own file or from those it names, each holding an equal part."""
    path = header.path
    if "datafile" not in header.fields:
        return _decoded(header, header.rest, size, dtype, path)
    if len(header.rest):
        raise ImageError(f"{path}: has voxels of its own, and names a data file; export it again")
    files = _data_files(header, sizes)
    parts = [_decoded(header, memoryview(read_file(file)), size // len(files), dtype, file) for file in files]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _data_files(header: Header, sizes: list[int]) -> list[Path]:
    text, path = header.get("datafile"), header.path
    words = text.split()
    if words and words[0].upper() == "LIST":
        files = [data_file(path, name) for name in header.listed[: max(sizes) + 1]]
        last = words[1:]
    elif len(words) >= 4 and "%" in words[0]:
        first, final, step = whole_numbers(" ".join(words[1:4]), "data file numbers", path, 3)
        files = numbered_files(path, words[0], first, final, step, math.prod(sizes))
        last = words[4:]
    else:
        return [data_file(path, text)]
    axes = whole_numbers(" ".join(last), "axes of a data file", path, 1)[0] if last else len(sizes) - 1
    together = sizes[-1] if axes == len(sizes) else math.prod(sizes[axes:])
    fits = together % len(files) == 0 if axes == len(sizes) and files else together == len(files)
    if not 1 <= axes <= len(sizes) or not fits:
        raise ImageError(f"{path}: names {len(files)} data files for sizes {sizes}; copy all of them, or repair it")
    return files


def _decoded(header: Header, content: memoryview, size: int, dtype: np.dtype, path: Path) -> bytes | memoryview:
    """`size` bytes of voxels out of one file's content, past the lines and bytes to skip."""
    encoding = ENCODINGS.get(header.get("encoding").lower())
    if encoding is None:
        name = header.get("encoding")[:20]
        raise ImageError(f"{path}: encoding {name!r} isn't read; save it as gzip or raw")
    lines, skip = (whole_numbers(header.get(name, "0"), name, header.path, 1)[0] for name in ("lineskip", "byteskip"))
    if skip < -1 or lines < 0 or (skip == -1 and encoding != "raw"):
        raise ImageError(f"{path}: can't skip {lines} lines and {skip} bytes; repair the header")
    if lines:
        content = content[_end_of_line(bytes(content[:LONGEST]), lines, path) :]
    require_affordable(skip, path)
    if encoding == "gzip":
        inflater = Inflater(content, path)
        inflater.read(skip)
        return inflater.read_voxels(size)
    content = content[max(len(content) - size, 0) if skip == -1 else skip :]
    if encoding == "text":
        return text_voxels(bytes(content), size // dtype.itemsize, dtype, path)
    if encoding == "hex":
        try:
            content = memoryview(bytes.fromhex(bytes(content).decode("ascii")))
        except ValueError as error:  # of which UnicodeDecodeError is one
            raise ImageError(f"{path}: expected hexadecimal digits as voxels; export it again") from error
    require_length(len(content), size, path)
    return content


def _end_of_line(text: bytes, lines: int, path: Path) -> int:
    """The place behind so many lines."""
    end = 0
    for _ in range(lines):
        end = text.find(b"\n", end) + 1
        if end == 0:
            raise ImageError(f"{path}: truncated: fewer than the {lines} lines to skip; copy it again")
    return end


def _geometry(header: Header, sizes: list[int]) -> tuple[list[int], np.ndarray, tuple[str, ...]]:
    """The spatial axes, the voxel -> RAS+ mm affine, and what had to be decided."""
    path = header.path
    signs, dimension, notes = _space(header)
    vectors = list(VECTOR.finditer(header.get("spacedirections", "")))
    if len(vectors) != len(sizes) or VECTOR.sub("", header.get("spacedirections")).strip():
        raise ImageError(f"{path}: expected a direction in space for each of {len(sizes)} axes; repair it", "affine")
    axes = [axis for axis, vector in enumerate(vectors) if vector.group(1) is not None]
    others = [axis for axis in range(len(sizes)) if axis not in axes]
    kinds = [kind.lower() for kind in header.get("kinds", " ".join(["???"] * len(sizes))).split()]
    if len(axes) != dimension or len(kinds) != len(sizes):
        raise ImageError(f"{path}: directions, kinds and space don't fit {len(sizes)} axes; repair it", "affine")
    if any(sizes[axis] > 1 for axis in others):
        raise ImageError(f"{path}: expected one number per voxel, got {sizes} with {kinds}; export one channel")
    for axis in axes:
        if kinds[axis] not in SPATIAL_KINDS:
            raise ImageError(f"{path}: axis {axis} has a direction in space, and is {kinds[axis]!r}; repair it")
    for name in ("spacings", "units", "axismins", "axismaxs"):
        if name in header.fields and len(axes) == len(sizes):
            raise ImageError(
                f"{path}: the header gives {name} and space directions, which exclude each other; keep one"
            )
    factor, unit_note = unit_mm(_units(header, dimension), path)
    if {"oldmin", "oldmax"} & header.fields.keys():
        notes = (*notes, "the header says that values were quantized (old min, old max): read as stored, as ITK does")
    if "spaceorigin" not in header.fields:
        notes = (*notes, "the header has no origin: read as 0, 0, 0, as ITK does")
    origin = _vector(VECTOR.fullmatch(header.get("spaceorigin", f"({','.join('0' * dimension)})")), dimension, path)
    affine, used = np.eye(4), min(dimension, 3)
    columns = [_vector(vectors[axis], dimension, path) for axis in axes]
    affine[:used, :used] = np.array(columns).T[:used, :used] * factor
    affine[:used, 3] = origin[:used] * factor
    return axes, np.diag([*signs, 1]) @ affine, (*notes, *unit_note)


def _units(header: Header, dimension: int) -> list[str]:
    """The units of the axes in space, without that of time; none where the header says nothing."""
    text = header.get("spaceunits", "")
    names = re.findall(r'"([^"]*)"', text)
    if re.sub(r'"[^"]*"', "", text).strip() or len(names) not in (0, dimension):
        raise ImageError(
            f"{header.path}: expected {dimension} quoted units as space units, got {text[:80]!r}; repair the header",
            "affine",
        )
    return names[:3]


def _space(header: Header) -> tuple[tuple[int, int, int], int, tuple[str, ...]]:
    """Signs to RAS, the number of spatial axes, and a note. ITK has no name for LPS in 2D, nor for a fourth axis."""
    if "space" in header.fields and "spacedimension" not in header.fields:
        name = header.get("space").lower()
        if name in SPACES:
            return SPACES[name], 3, ()
        timed = TIME.fullmatch(name)
        if timed and (plain := timed[1] or f"{timed[2]}s") in SPACES:
            return SPACES[plain], 4, ()
        given = f"space {name[:40]!r}"
    else:
        dimension = whole_numbers(header.get("spacedimension", "0"), "space dimension", header.path, 1)[0]
        if dimension in (2, 4) and "space" not in header.fields:
            return (-1, -1, 1), dimension, (NO_PLACE,) if dimension == 2 else ()
        given = f"a space of {dimension} unnamed axes" if dimension else "no space"
    raise ImageError(
        f"{header.path}: {given}: nothing says where the patient's left is; write space: left-posterior-superior (or "
        "right-anterior-superior) with space directions that you know",
        "affine",
    )


def _vector(match: re.Match[str] | None, dimension: int, path: Path) -> np.ndarray:
    text = "" if match is None or match.group(1) is None else match.group(1)
    return real_numbers(text.replace(",", " "), "a direction or origin", path, dimension)
