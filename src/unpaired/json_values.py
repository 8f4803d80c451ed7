"""What the package takes as JSON: finite numbers of a size that others have too, fields once, no half characters."""

import json
import math
from typing import Any

DEEPEST = 50
"""How many levels of lists and objects a JSON file may have; the package's own have less than ten."""
LARGEST = 2**64
"""The largest whole number, in size: beyond it numpy and other programs have none."""


class UnusableJSONError(ValueError):
    """What Python reads as JSON, though no document should hold it; the message says what was expected, and got."""


def parse_json(text: str) -> Any:
    """The JSON value of a text. Raises `json.JSONDecodeError` if it is none.

    Raises `UnusableJSONError` if it nests deeper than `DEEPEST` levels, gives a field twice in one object, or holds a
    whole number of more than 64 bits, a number that isn't finite, or half of a surrogate pair.
    """
    try:
        document = json.loads(
            text, parse_int=_whole_number, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_object
        )
        if _is_deep(document):
            raise RecursionError
        if "\\ud" in text.lower():
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise UnusableJSONError(f"expected JSON of at most {DEEPEST} levels, got deeper ones") from None
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])[1:-1]
        raise UnusableJSONError(f"expected text, got {half}, which is half of a character") from None
    return document


def _whole_number(text: str) -> int:
    number = int(text) if len(text) <= 20 else LARGEST + 1
    if abs(number) > LARGEST:
        digits = len(text.lstrip("-"))
        raise UnusableJSONError(f"expected whole numbers of at most 64 bits, got {text[:12]}... of {digits} digits")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnusableJSONError(f"expected finite numbers, got {text[:24]}")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UnusableJSONError(f"expected each field once in an object, got {twice[:80]!r} twice")
    return document


def _is_deep(document: Any) -> bool:
    """Whether a JSON value nests deeper than anything that reads it has to bear."""
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(DEEPEST):
        items = (item for value in level for item in (value.values() if isinstance(value, dict) else value))
        level = [item for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True
