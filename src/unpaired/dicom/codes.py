"""From a class's name to its coded terms in DICOM and back; the table of names is in `structures`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

from unpaired.data.class_codes import ClassCode, Code
from unpaired.data.file_names import same_file_key
from unpaired.dicom.structures import LEFT, RIGHT, STRUCTURES, TISSUE, Structure
from unpaired.errors import InputError, nearest

LOCAL_SCHEME = "99UNPAIRED"
"""The coding scheme of classes that the table doesn't know: DICOM reserves names that begin with 99 for such."""
SIDES = {"left": LEFT, "right": RIGHT, "l": LEFT, "r": RIGHT, "lt": LEFT, "rt": RIGHT}
OTHER_COLORS = (
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (67, 99, 216),
    (245, 130, 49),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
)
"""Of classes that the table doesn't know, by their letters."""


def code_of(name: str, codes: Mapping[str, ClassCode | str] | None = None) -> ClassCode:
    """The coded terms of a class, by its name in a data set: "LV", "kidney_left", "right adrenal gland".

    `codes` are a manifest's own, {class: terms, or the name of a structure of the table}; they win. A class that
    neither knows gets a local code of the scheme `LOCAL_SCHEME` whose meaning is its name, category tissue, so that
    what is written stays valid. Always with a color. Raises InputError for a manifest's structure that the
    table lacks.
    """
    own = (codes or {}).get(name)
    if isinstance(own, ClassCode):
        return own if own.color is not None else replace(own, color=_other_color(name))
    code = _listed(name if own is None else own)
    if code is None and own is not None:
        raise InputError(
            f"codes.{name}: {own!r} is no structure of the table of codes; {nearest(own, [*structure_names()])}"
        )
    return _local(name) if code is None else code


def display_color(code: ClassCode) -> tuple[int, int, int]:
    """Recommended Display CIELab Value: L*, a*, b* as DICOM's three numbers of 16 bits (PS3.3 C.10.7.1.1)."""
    from highdicom.color import CIELabColor

    red, green, blue = code.color or _other_color(code.type.meaning)
    lightness, a, b = CIELabColor.from_rgb(red, green, blue).value
    return lightness, a, b


def name_of(type_: Code, modifiers: tuple[Code, ...] = (), region: Code | None = None) -> str | None:
    """The table's name of what a segment's coded terms say: "left kidney". None for what the table lacks.

    `modifiers` are those of the type and of the region: a side is looked for in them. Terms that several structures
    share, such as that of a rib for each rib, give the name that says no more than the term does.
    """
    rows = [row for row in STRUCTURES if (row.code.scheme, row.code.value) == (type_.scheme, type_.value)]
    same_region = [row for row in rows if region is not None and row.region is not None and _same(row.region, region)]
    rows = same_region or [row for row in rows if row.region is None] or (rows if region is None else [])
    row = next((row for row in rows if not row.wider), None)
    if row is None:
        return None
    sides = {_side_name(modifier) for modifier in modifiers} - {None}
    side = sides.pop() if len(sides) == 1 else None
    return f"{side} {row.name}" if row.paired and side else row.name


def structure_names() -> tuple[str, ...]:
    """The names that the table lists, without their synonyms."""
    return tuple(row.name for row in STRUCTURES)


def words_of(name: str) -> tuple[str, ...]:
    """A name's words in lower case: of "Kidney_Left" kidney and left, of "LungUpperLobe" lung, upper and lobe."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[a-z0-9]+", spaced.lower()))


def same_classes(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """{a name: which of `others` is the same class}: the equal one, in whatever letters, or else the only one that the
    table takes for the same structure on the same side ("myo" and "Myocardium"), where no second name is taken for it.
    """
    names, others = list(names), list(others)
    known = {same_file_key(other): other for other in others}
    same = {name: known[key] for name in names if (key := same_file_key(name)) in known}
    rest = _by_structure(name for name in names if name not in same)
    left = _by_structure(other for other in others if other not in same.values())
    return same | {rest[of][0]: left[of][0] for of in rest if len(rest[of]) == 1 and len(left.get(of, ())) == 1}


def _by_structure(names: Iterable[str]) -> dict[tuple[Structure, Code | None], list[str]]:
    """The names that the table knows, by structure and side."""
    known: dict[tuple[Structure, Code | None], list[str]] = {}
    for name in names:
        if (of := _structure(name)) is not None:
            known.setdefault(of, []).append(name)
    return known


def _listed(name: str) -> ClassCode | None:
    """The table's code of a name, in any of its spellings."""
    of = _structure(name)
    return None if of is None else _code(*of)


def _structure(name: str) -> tuple[Structure, Code | None] | None:
    """The table's row of a name, in any of its spellings, and the side that the name says."""
    words = words_of(name)
    table = _by_words()
    if words in table:
        return table[words], None
    for place, word in enumerate(words):
        row = table.get(words[:place] + words[place + 1 :])
        if word in SIDES and row is not None and row.paired:
            return row, SIDES[word]
    return None


@cache
def _by_words() -> dict[tuple[str, ...], Structure]:
    return {words_of(name): row for row in STRUCTURES for name in (row.name, *row.synonyms)}


def _code(row: Structure, side: Code | None) -> ClassCode:
    """A side is that of the place where the structure lies, if it may lie anywhere."""
    if row.region is not None:
        return ClassCode(row.code, row.category, None, row.region, side, row.color)
    return ClassCode(row.code, row.category, side, color=row.color)


def _local(name: str) -> ClassCode:
    """A code of this package's own for a class that nobody lists; DICOM has room for 16 and 64 characters."""
    letters = "-".join(words_of(name)).upper()
    value = letters if letters and len(letters) <= 16 else f"{letters[:7]}-{_checksum(name):08X}"
    meaning = re.sub(r"[\\\x00-\x1f\x7f]", " ", name)[:64].strip() or "class"
    return ClassCode(Code(value.strip("-"), meaning, LOCAL_SCHEME), TISSUE, color=_other_color(name))


def _other_color(name: str) -> tuple[int, int, int]:
    return OTHER_COLORS[_checksum(name) % len(OTHER_COLORS)]


def _checksum(name: str) -> int:
    from zlib import crc32

    return crc32(name.encode())


def _same(first: Code, second: Code) -> bool:
    return (first.scheme, first.value) == (second.scheme, second.value)


def _side_name(modifier: Code) -> str | None:
    return "left" if _same(modifier, LEFT) else "right" if _same(modifier, RIGHT) else None
