"""Numbers out of text headers (NRRD, MetaImage), and voxels that are written as text. The unexpected is refused."""

import re
from pathlib import Path

import numpy as np

from unpaired.data.formats.payload import require_affordable
from unpaired.data.image import ImageError

LONGEST = 1 << 20
"""A text header is shorter than a megabyte."""
WHOLE = re.compile(r"[+-]?\d{1,18}")
NO_PLACE = "2D without a place in the body: read as an axial slice of 1 mm, as ITK does"
LONGEST_NUMBER = 40
TEXT_BYTES = 100
"""Roughly what a voxel takes while it is parsed from text."""
UNITS_MM = {"": 1.0, "?": 1.0, "???": 1.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "cm": 10.0, "m": 1000.0} | {
    "millimeter": 1.0,
    "millimeters": 1.0,
    "micrometer": 1e-3,
    "micrometers": 1e-3,
    "meter": 1000.0,
    "meters": 1000.0,
}


def whole_numbers(text: str, name: str, path: Path, count: int | None = None) -> list[int]:
    """The integers of a field, `count` of them where it is given. Raises ImageError for anything else."""
    words = text.split()
    if not words or count not in (None, len(words)) or not all(WHOLE.fullmatch(word) for word in words):
        many = "whole numbers" if count is None else f"{count} whole number{'s' * (count != 1)}"
        raise ImageError(f"{path}: expected {many} as {name}, got {text[:80]!r}; repair the header")
    return [int(word) for word in words]


def real_numbers(text: str, name: str, path: Path, count: int) -> np.ndarray:
    """`count` finite numbers of a field. Raises ImageError for anything else."""
    words = text.split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.array([np.nan])
    if len(words) != count or not np.isfinite(values).all():
        raise ImageError(f"{path}: expected {count} numbers as {name}, got {text[:80]!r}; repair the header", "affine")
    return values


def unit_mm(names: list[str], path: Path) -> tuple[float, tuple[str, ...]]:
    """Millimeters of the unit that all axes share, and a note where it is another one.

    Raises ImageError for what is no length, and for axes of different units.
    """
    factors = {UNITS_MM.get(name.strip().lower()) for name in names} or {1.0}
    factor = factors.pop()
    if factor is None or factors:
        text = f"expected one unit of length for all axes (mm), got {', '.join(map(repr, names))}"
        raise ImageError(f"{path}: {text}; repair the header", "affine")
    if factor == 1:
        return 1.0, ()
    return factor, (f"the header counts in {names[0]}; read as such (ITK takes it for millimeters)",)


def text_voxels(content: bytes, count: int, dtype: np.dtype, path: Path) -> bytes:
    """`count` numbers written as text, as the bytes of `dtype`. Raises ImageError for fewer, more, or others."""
    require_affordable(count * TEXT_BYTES, path)
    require_affordable(len(content) // 2 * TEXT_BYTES, path)
    words = content.split()
    if len(words) != count:
        raise ImageError(f"{path}: the header promises {count} numbers, the file has {len(words)}; export it again")
    problem = f"{path}: expected numbers that {dtype.name} holds; export it again"
    if max(map(len, words)) > LONGEST_NUMBER:
        raise ImageError(problem)
    try:
        values = np.array(words).astype(np.float64 if dtype.kind == "f" else np.dtype(f"{dtype.kind}8"))
    except (ValueError, OverflowError) as error:
        raise ImageError(problem) from error
    with np.errstate(over="ignore"):
        stored = values.astype(dtype)
    if dtype.kind != "f" and (stored != values).any():
        raise ImageError(problem)
    return stored.tobytes()
