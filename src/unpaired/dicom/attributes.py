"""Single attributes of DICOM elements as plain values: what is missing, damaged or absurd is None, "" or a default."""

import hashlib
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from unpaired.errors import printable

LONGEST_TEXT = 64


@cache
def tag_of(word: str | int) -> Any:
    """The tag of a keyword, or of a number (private attributes have no keyword)."""
    from pydicom.datadict import tag_for_keyword
    from pydicom.tag import Tag

    return Tag(word if isinstance(word, int) else tag_for_keyword(word) or 0)


def value(elements: Any, word: str | int) -> Any:
    """An attribute by keyword or tag; None where it is missing, empty or can't be read."""
    try:
        tag = tag_of(word)
        content = elements[tag].value if tag in elements else None
    except (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OverflowError):
        return None
    return None if content is None or content == "" else content


def text(elements: Any, word: str) -> str:
    """An attribute as a short text that a terminal may show, several ones with "/" between; "" where it is missing.

    It holds no backslash, which no text of one value may: damage, or another character set than the file says.
    """
    content = value(elements, word)
    if content is None:
        return ""
    parts = [content] if isinstance(content, str | bytes) or not isinstance(content, Iterable) else content
    return printable("/".join(str(part).strip() for part in parts)).replace("\\", "/")[:LONGEST_TEXT]


def numbers(content: Any, count: int) -> tuple[float, ...] | None:
    """`count` finite numbers, or None."""
    try:
        parts = tuple(float(part) for part in content)
    except (TypeError, ValueError, OverflowError):
        return None
    return parts if len(parts) == count and all(abs(part) < 1e9 for part in parts) else None


def pseudonym(elements: Any) -> str:
    """Twelve hexadecimal digits for a patient, the same wherever the Patient ID is; "" where nothing says who it is.

    Where Patient ID and name were taken out a study stands for its patient: all of its series are of one.
    """
    who = [text(elements, word) for word in ("PatientID", "IssuerOfPatientID")]
    who = who if who[0] else [text(elements, "PatientName") or text(elements, "StudyInstanceUID")]
    return hashlib.sha256("\n".join(who).encode()).hexdigest()[:12] if any(who) else ""


def plain(content: Any) -> Any:
    """A number, a text, or several of them, that can be compared and pickled."""
    if isinstance(content, str | bytes):
        content = content.decode("latin-1") if isinstance(content, bytes) else content
        try:
            number = float(content)
        except ValueError:
            return printable(content)[:LONGEST_TEXT]
        return number if math.isfinite(number) else printable(content)
    if isinstance(content, int | float):
        return float(content)
    try:
        return tuple(plain(part) for part in content)[:9]
    except TypeError:
        return printable(str(content))[:LONGEST_TEXT]


def image_type(elements: Any) -> tuple[str, ...]:
    """The parts of Image Type: ("ORIGINAL", "PRIMARY", "AXIAL")."""
    content = value(elements, "ImageType")
    if content is None:
        return ()
    return tuple(printable(str(part))[:LONGEST_TEXT] for part in ([content] if isinstance(content, str) else content))


def whole(elements: Any, word: str, default: int) -> int:
    """A whole number, or the default where there is none."""
    content = value(elements, word)
    try:
        return default if content is None else int(content)
    except (TypeError, ValueError, OverflowError):
        return default
