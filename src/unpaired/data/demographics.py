"""Who was scanned, and on what, as far as a manifest says it: age, sex, site, scanner. No network sees any of it."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from unpaired.errors import InputError, require_name

Sex = Literal["F", "M", "O"]
OLDEST = 130
_WORDS: dict[str, Sex] = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}
_UNSTATED = {"", "n/a", "na", "nan", "none", "null", "unknown", "anonymous", "anonymized", "-", "?", "000y"}
"""Also what programs that take names out leave in their place, 000Y as an age among it."""
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(y|m|w|d)?\+?", re.IGNORECASE)
_PER_YEAR = {"y": 1.0, "m": 12.0, "w": 365.25 / 7, "d": 365.25}


@dataclass(frozen=True)
class Demographics:
    """One patient at the time of one scan; None is what nobody said."""

    age: float | None = None
    """Years."""
    sex: Sex | None = None
    site: str | None = None
    scanner: str | None = None


UNSTATED = Demographics()
DEMOGRAPHIC_FIELDS = tuple(field.name for field in fields(Demographics))
"""What a manifest's case and a table of participants may say of a patient."""


def read_demographics(entry: Mapping[str, Any], where: str) -> Demographics:
    """The demographics among the fields of a manifest's case or a table's row.

    An age is years (63, "63.5", "89+") or a number with a unit as in DICOM ("063Y", "018M", "010W", "004D"); a sex is
    F, M or O, or the word. Empty, "n/a" and "unknown" say nothing. Raises InputError, which begins with `where`, for
    anything else.
    """
    given = {name: entry[name] for name in DEMOGRAPHIC_FIELDS if not is_unstated(entry.get(name))}
    return Demographics(
        age=_age(given["age"], where) if "age" in given else None,
        sex=_sex(given["sex"], where) if "sex" in given else None,
        site=_text(given["site"], f"{where}: site") if "site" in given else None,
        scanner=_text(given["scanner"], f"{where}: scanner") if "scanner" in given else None,
    )


def readable_demographics(entry: Mapping[str, Any]) -> tuple[Demographics, list[str]]:
    """What of somebody else's fields can be read, and the names of those that can't."""
    odd: list[str] = []
    said = UNSTATED
    for name in DEMOGRAPHIC_FIELDS:
        try:
            said = replace(said, **demographics_to_json(read_demographics({name: entry.get(name)}, name)))
        except InputError:
            odd.append(name)
    return said, odd


def demographics_to_json(demographics: Demographics) -> dict[str, Any]:
    """The fields that say something, as a manifest's case holds them."""
    return {name: value for name, value in asdict(demographics).items() if value is not None}


def is_unstated(value: Any) -> bool:
    """Whether a value stands for nothing: None, empty, "n/a", "unknown" and the like."""
    return value is None or (isinstance(value, str) and value.strip().lower() in _UNSTATED)


def _age(value: Any, where: str) -> float:
    years = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if isinstance(value, str) and (match := _AGE.fullmatch(value.strip())):
        years = float(match[1]) / _PER_YEAR[(match[2] or "y").lower()]
    if not 0 <= years <= OLDEST:
        raise InputError(
            f"{where}: expected an age in years, such as 63 or 063Y, got {value!r:.60}; correct it, or leave it empty"
        )
    return round(years, 2)


def _sex(value: Any, where: str) -> Sex:
    word = _WORDS.get(value.strip().lower()) if isinstance(value, str) else None
    if word is None:
        raise InputError(
            f"{where}: expected sex to be one of {', '.join(get_args(Sex))}, got {value!r:.60}; correct it, or leave "
            "it empty"
        )
    return word


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{where}: expected a name, got {value!r:.60}; correct it, or leave it empty")
    name = " ".join(str(value).split())
    require_name(name, where)
    return name
