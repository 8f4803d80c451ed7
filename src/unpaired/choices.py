"""What a caller names: one thing or several, one of a few words (where the parser asks people), a seed, a number that
has to divide another. And how things are counted and named to them."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from unpaired.errors import InputError


def several(given: Any) -> list[Any]:
    """What was given as a list; a lone text, path or number is a list of itself, and never one of its letters."""
    if isinstance(given, str | Path) or not isinstance(given, Iterable):
        return [given]
    return list(given)


def some_of(names: Sequence[object], most: int = 3) -> str:
    """The first of some names for a message, which says how many it leaves out: "a, b, c and 4 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(map(str, names[:most]))}{more}"


def counted(number: int, word: str, many: str = "") -> str:
    """A number with its word: "1 case", "2 cases"; `many` where an s doesn't do."""
    return f"{number} {word if number == 1 else many or word + 's'}"


def in_hours(hours: float, digits: int = 4) -> str:
    """A time in hours, to some digits: "0.25 hours", "1 hour"."""
    number = f"{hours:.{digits}g}"
    return f"{number} hour{'' if number == '1' else 's'}"


def require_choice(given: Any, kind: Any, what: str) -> None:
    """Raise InputError if what was given is none of the words of a `Literal`."""
    choices = get_args(kind)
    if given not in choices:
        expected = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
        raise InputError(f"{what}: expected {expected}, got {given!r}")


def require_seed(seed: Any) -> None:
    """Raise InputError for what seeds no random numbers: anything but a whole number of 0 or more."""
    if not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed: expected a whole number of 0 or more, got {seed!r}")


def nearest_multiple(value: int, of: int) -> int:
    """The multiple of `of`, from `of` itself on, that is nearest to a value."""
    return max((value + of // 2) // of, 1) * of


def nearest_divisor(value: int, of: int) -> int:
    """The divisor of `of` that is nearest to a value, the smaller of two."""
    return min((number for number in range(1, of + 1) if of % number == 0), key=lambda number: abs(number - value))
