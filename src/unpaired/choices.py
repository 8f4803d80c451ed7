"""What a caller from Python names: one thing or several, one of a few words (where the parser asks people), a seed."""

from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from unpaired.errors import InputError


def several(given: Any) -> list[Any]:
    """What was given as a list; a lone text, path or number is a list of itself, and never one of its letters."""
    if isinstance(given, str | Path) or not isinstance(given, Iterable):
        return [given]
    return list(given)


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
