"""Read MetaImage, in one file (.mha) or two (.mhd), as ITK defines it (itk.org/Wiki/MetaIO/Documentation).

Everything is checked before it is believed: fields stand there once, sizes fit the bytes, checksums hold, data files
lie in the header's folder. Voxels are placed by `TransformMatrix`, `Offset` and `ElementSpacing`, as ITK does.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.data.formats.detached import data_file, numbered_files
from unpaired.data.formats.header_text import LONGEST, NO_PLACE, real_numbers, text_voxels, unit_mm, whole_numbers
from unpaired.data.formats.payload import Inflater, as_voxels, read_file, require_length, voxel_bytes
from unpaired.data.image import TO_RAS, Image, ImageError, column_lengths, millimeters

DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""A MET_LONG has four bytes on all machines."""
ALIASES = {
    "Orientation": "TransformMatrix",
    "Rotation": "TransformMatrix",
    "Position": "Offset",
    "Origin": "Offset",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
CLEARLY = 0.8
"""So much of an axis of length 1 along one of the body's: of a more oblique one programs may name another side."""
LINE = re.compile(r"\s*([^=:]+?)\s*[=:]\s*(.*?)\s*")
"""A name may be anything: ITK writes what it knew of other formats, as in `dim[0] = 3`."""


@dataclass(frozen=True)
class Header:
    """The fields by their names, and the bytes after the last one."""

    path: Path
    fields: dict[str, str]
    rest: memoryview

    @property
    def lines(self) -> list[str]:
        """What follows the last field as lines, without empty ones."""
        lines = bytes(self.rest[:LONGEST]).decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip()]

    def get(self, name: str, default: str | None = None) -> str:
        """A field's text. Raises ImageError if it is missing without a default."""
        text = self.fields.get(name, default)
        if text is None:
            raise ImageError(f"{self.path}: MetaImage header without {name}; export it again")
        return text

    def truth(self, name: str, default: str = "False") -> bool:
        """A field that is True or False (or 1 or 0). Raises ImageError for anything else."""
        text = self.get(name, default)
        if text.lower() not in ("true", "false", "1", "0"):
            raise ImageError(f"{self.path}: expected True or False as {name}, got {text[:20]!r}; repair the header")
        return text.lower() in ("true", "1")


def read_metaimage(path: Path) -> Image:
    """The image, of any number of axes. Raises ImageError for damage, contradictions and several channels."""
    header = _header(path)
    dimension = whole_numbers(header.get("NDims"), "NDims", path, 1)[0]
    if not 1 <= dimension <= 10:
        raise ImageError(f"{path}: expected NDims of 1 to 10, got {dimension}; repair the header")
    sizes = whole_numbers(header.get("DimSize"), "DimSize", path, dimension)
    channels = whole_numbers(header.get("ElementNumberOfChannels", "1"), "ElementNumberOfChannels", path, 1)[0]
    if channels != 1 or header.get("ElementType") not in DTYPES:
        kind = f"{channels} of {header.get('ElementType')[:40]}"
        raise ImageError(f"{path}: expected one number per voxel, got {kind}; export one channel")
    order = ">" if header.truth("BinaryDataByteOrderMSB") else "<"
    dtype = np.dtype(order + DTYPES[header.get("ElementType")])
    size = voxel_bytes(sizes, dtype, path)
    affine, notes = _geometry(header, dimension)
    notes = (*notes, *_scale_notes(header))
    return Image(as_voxels(_content(header, sizes, dtype, size), dtype, sizes, path), affine, notes)


def _header(path: Path) -> Header:
    """The lines up to ElementDataFile, which is the last one by definition."""
    content = read_file(path)
    fields: dict[str, str] = {}
    place = 0
    while place < min(len(content), LONGEST):
        end = content.find(b"\n", place, LONGEST)
        end = min(len(content), LONGEST) if end < 0 else end
        line, place = content[place:end].decode("utf-8", "replace"), end + 1
        match = LINE.fullmatch(line)
        if match is None and line.strip():
            raise ImageError(f"{path}: unreadable MetaImage header line {line[:60]!r}; export it again")
        if match is None:
            continue
        name, value = ALIASES.get(match[1], match[1]), match[2]
        if not _says_the_same(fields.setdefault(name, value), value):
            raise ImageError(f"{path}: the header gives {name} twice, {fields[name][:40]} and {value[:40]}; repair it")
        if name == "ElementDataFile":
            return Header(path, fields, memoryview(content)[place:])
    raise ImageError(f"{path}: unreadable: a MetaImage header without ElementDataFile; export it again")


def _says_the_same(first: str, second: str) -> bool:
    """Whether two texts of one field are equal, as words or as numbers."""
    try:
        return first == second or [*map(float, first.split())] == [*map(float, second.split())]
    except ValueError:
        return False


def _content(header: Header, sizes: list[int], dtype: np.dtype, size: int) -> bytes | memoryview:
    """The bytes of all voxels, from the header's own file or from those it names, each holding an equal part."""
    path = header.path
    if header.get("ElementDataFile").upper() == "LOCAL":
        if header.get("HeaderSize", "0") != "0":
            raise ImageError(f"{path}: HeaderSize has no meaning where voxels follow the header; remove it")
        return _decoded(header, header.rest, size, dtype, path)
    files = _data_files(header, sizes)
    skip = whole_numbers(header.get("HeaderSize", "0"), "HeaderSize", path, 1)[0]
    parts = [_part(header, file, skip, size // len(files), dtype) for file in files]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _part(header: Header, file: Path, skip: int, size: int, dtype: np.dtype) -> bytes | memoryview:
    content = memoryview(read_file(file))
    if skip < -1 or (skip == -1 and (header.truth("CompressedData") or not header.truth("BinaryData", "True"))):
        raise ImageError(f"{header.path}: can't skip a HeaderSize of {skip} bytes; repair the header")
    content = content[max(len(content) - size, 0) if skip == -1 else skip :]
    return _decoded(header, content, size, dtype, file)


def _data_files(header: Header, sizes: list[int]) -> list[Path]:
    text, path = header.get("ElementDataFile"), header.path
    words = text.split()
    if words and words[0].upper() == "LIST":
        files = [data_file(path, name) for name in header.lines[: math.prod(sizes) + 1]]
        axes = whole_numbers(" ".join(words[1:]), "axes of a data file", path, 1)[0] if words[1:] else len(sizes) - 1
    elif len(words) == 4 and "%" in words[0]:
        first, final, step = whole_numbers(" ".join(words[1:]), "data file numbers", path, 3)
        files, axes = numbered_files(path, words[0], first, final, step, math.prod(sizes)), len(sizes) - 1
    else:
        if header.lines:
            raise ImageError(f"{path}: has text or voxels of its own after the name of its data file; export it again")
        return [data_file(path, text)]
    if not 1 <= axes <= len(sizes) or math.prod(sizes[axes:]) != len(files):
        raise ImageError(f"{path}: names {len(files)} data files for sizes {sizes}; copy all of them, or repair it")
    return files


def _decoded(header: Header, content: memoryview, size: int, dtype: np.dtype, path: Path) -> bytes | memoryview:
    if not header.truth("BinaryData", "True"):
        return text_voxels(bytes(content), size // dtype.itemsize, dtype, path)
    if header.truth("CompressedData"):
        length = header.get("CompressedDataSize", str(len(content)))
        promised = whole_numbers(length, "CompressedDataSize", header.path, 1)[0]
        if promised != len(content):
            what = "truncated" if len(content) < promised else "too long"
            text = f"{what}: the header promises {promised} compressed bytes, the file has {len(content)}"
            raise ImageError(f"{path}: {text}; copy or export it again")
        return Inflater(content, path, "gzip" if bytes(content[:2]) == b"\x1f\x8b" else "zlib").read_voxels(size)
    require_length(len(content), size, path)
    return content


def _geometry(header: Header, dimension: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The voxel -> RAS+ mm affine, and what had to be decided."""
    path = header.path
    notes = [NO_PLACE] if dimension == 2 else []
    spacing = _spacing(header, dimension, notes)
    if "TransformMatrix" not in header.fields:
        notes.append("the header has no TransformMatrix: read as axes toward left, posterior, superior, as ITK does")
    identity = " ".join(str(int(number)) for number in np.eye(dimension).ravel())
    rows = real_numbers(header.get("TransformMatrix", identity), "TransformMatrix", path, dimension * dimension)
    direction = rows.reshape(dimension, dimension).T  # a row of the field is the direction of an axis
    if not np.allclose(column_lengths(direction), 1, atol=1e-3):
        text = f"expected directions of length 1 in TransformMatrix, got {rows.tolist()}"
        raise ImageError(f"{path}: {text}; repair the header", "affine")
    if "Offset" not in header.fields:
        notes.append("the header has no Offset: read as 0, 0, 0, as ITK does")
    zeros = " ".join(["0"] * dimension)
    offset = real_numbers(header.get("Offset", zeros), "Offset", path, dimension)
    center = real_numbers(header.get("CenterOfRotation", zeros), "CenterOfRotation", path, dimension)
    if center.any() and not np.array_equal(direction, np.eye(dimension)):
        notes.append(f"CenterOfRotation {center.tolist()} is left out, as ITK does")
    notes += _orientation_notes(header, direction)
    factor, unit_note = unit_mm([header.get("DistanceUnits", "mm")], path)
    affine, used = np.eye(4), min(dimension, 3)
    affine[:used, :used] = (direction * spacing)[:used, :used] * factor
    affine[:used, 3] = offset[:used] * factor
    return TO_RAS @ affine, (*notes, *unit_note)


def _orientation_notes(header: Header, direction: np.ndarray) -> Iterator[str]:
    """A note where AnatomicalOrientation, which ITK leaves out too, contradicts the directions of the axes.

    Some programs write the side that an axis comes from, others the one that it runs toward: both are right.
    """
    said = "".join(header.fields.get("AnatomicalOrientation", "").upper().split())
    main = np.abs(direction).argmax(axis=0)
    parts = np.take_along_axis(direction, main[None], axis=0)[0]
    if len(direction) != 3 or not re.fullmatch("[LRAPSI]{3}", said) or (np.abs(parts) < CLEARLY).any():
        return
    toward = "".join("LPS"[axis] if part > 0 else "RAI"[axis] for axis, part in zip(main, parts, strict=True))
    come_from = "".join("RAILPS"["LPSRAI".index(side)] for side in toward)
    if said not in (toward, come_from):
        yield f"AnatomicalOrientation is {said}, TransformMatrix says {toward}; read by TransformMatrix, as ITK does"


def _scale_notes(header: Header) -> Iterator[str]:
    """A note where the header has a scale of its own for the values, which neither ITK nor anybody known applies."""
    for name, neutral in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        value = real_numbers(header.get(name, str(neutral)), name, header.path, 1)[0]
        if value != neutral:
            yield f"{name} {value:g} is left out: values are read as stored, as ITK does"


def _spacing(header: Header, dimension: int, notes: list[str]) -> np.ndarray:
    """Distances between voxels: ElementSpacing, else the voxels' own sizes."""
    given = {
        name: real_numbers(header.get(name), name, header.path, dimension)
        for name in ("ElementSpacing", "ElementSize")
        if name in header.fields
    }
    if not given:
        raise ImageError(
            f"{header.path}: no ElementSpacing in the header; write the voxel size that you know", "affine"
        )
    for name, sizes in given.items():
        if not (sizes > 0).all():
            text = f"expected sizes above 0 as {name}, got {sizes.tolist()}"
            raise ImageError(f"{header.path}: {text}; repair the header (turn the axis in TransformMatrix)", "affine")
    if len(given) == 2 and not np.allclose(*given.values(), rtol=1e-3):
        spacing, size = (millimeters(sizes) for sizes in given.values())
        notes.append(f"ElementSpacing is {spacing}, ElementSize {size}; read by ElementSpacing, as ITK does")
    return next(iter(given.values()))
