"""How label maps are read before they are scored: which values stand for which class, and what all others are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.choices import require_choice
from unpaired.data.file_names import require_distinct
from unpaired.data.images import Image
from unpaired.data.label_values import parse_classes, recorded_values, translate
from unpaired.data.manifest_json import RESERVED
from unpaired.data.prediction_record import Record, doubting_record, read_record, record_path
from unpaired.errors import InputError, nearest
from unpaired.scores.scores import Others

BACKGROUND = "background"
IGNORE = "ignore"
"""The class name of what is not judged: voxels whose reference has its value are in no mask, neither hit nor miss."""


@dataclass(frozen=True)
class Reading:
    """The choices behind the masks of an evaluation. Raises InputError for a choice that there isn't.

    only: the classes to score; empty for all. The others still are what they are: no part of these.
    others: what a value is that nothing names. "refuse": a failure of its case. "background": none of the classes.
        "ignore": in a reference, left out of every mask; in a prediction, background.
    predictions: {value: class} of predictions without a record, where it isn't that of the references.
    """

    only: tuple[str, ...] = ()
    others: str = "refuse"
    predictions: Mapping[int, str] | None = None

    @classmethod
    def of(cls, only: Iterable[str], others: Others, prediction_classes: str | None) -> "Reading":
        """With the predictions' values as a person types them: "1:LV,2:myo"."""
        return cls(tuple(only), others, None if prediction_classes is None else parse_classes(prediction_classes))

    def __post_init__(self) -> None:
        require_choice(self.others, Others, "others")
        if self.predictions is not None:
            foreground_classes(self.predictions)

    def wanted(self, classes: Iterable[str]) -> tuple[str, ...]:
        """The foreground classes to score. Raises InputError, with a hint, for a name that is not in `classes`."""
        known = tuple(classes)
        said = () if self.predictions is None else foreground_classes(self.predictions).values()
        for name in (*self.only, *said):
            if name not in known:
                raise InputError(f"there is no foreground class {name!r} to score; {nearest(name, list(known))}")
        return tuple(name for name in known if not self.only or name in self.only)

    def remarks(self) -> tuple[str, ...]:
        """Sentences that say what of this isn't the usual way."""
        said = {
            "refuse": (),
            "background": ("Label values that nothing names count as background.",),
            "ignore": ("Voxels whose reference has a value that nothing names are left out.",),
        }[self.others]
        return (*said, *((f"Only {', '.join(self.only)} scored.",) if self.only else ()))


AS_NAMED = Reading()


def foreground_classes(classes: Mapping[int, str]) -> dict[int, str]:
    """The entries of {value: name} that are scored: neither "background" nor "ignore", in upper or lower case.

    Value 0 is background. Raises InputError if it is said to be a structure, if a name stands twice, or if there is no
    foreground.
    """
    foreground = {value: name for value, name in classes.items() if name.lower() not in (BACKGROUND, IGNORE)}
    if 0 in foreground:
        raise InputError(
            f"value 0 is background, and was said to be {foreground[0]!r}; call it background or ignore, or give that "
            "class another value"
        )
    if not foreground or len(set(foreground.values())) != len(foreground):
        raise InputError(f"expected classes such as 1:LV,2:myo, each name once, got {dict(classes)}")
    require_distinct(foreground.values(), "class", "name each once")
    for name in foreground.values():
        if name.lower() in RESERVED:
            raise InputError(f"no class can be called {name!r}, {RESERVED[name.lower()]}; call it otherwise")
    return foreground


def predicted_numbers(
    prediction: Image,
    path: Path,
    classes: tuple[str, ...],
    wanted: Iterable[str],
    fallback: Mapping[int, int],
    reading: Reading = AS_NAMED,
) -> np.ndarray:
    """A predicted label map as numbers of `classes` (background first).

    Its values are read by the record beside it, class name by class name; without one by `reading.predictions`; without
    these by `fallback` {value: number}. Raises InputError if the record contradicts what was said, if the prediction
    has no such class as one of those `wanted`, and for values that stand for none of the classes.
    """
    record = read_record(path)
    table, strange = dict(fallback), {}
    if record is not None:
        _require_agreement(record, reading.predictions or {}, path)
        _require_classes(list(record.values)[1:], wanted, f"{path}: {record_path(path).name} says that its classes are")
        known = recorded_values(record, classes)
        table = {value: number for value, number in known.items() if number >= 0}
        strange = {value: name for name, value in record.values.items() if known[value] < 0}
    elif reading.predictions is not None:
        said = foreground_classes(reading.predictions)
        _require_classes(list(said.values()), wanted, f"{path}: it was said that its classes are")
        table = dict.fromkeys([0, *reading.predictions], 0) | {v: classes.index(name) for v, name in said.items()}
    with doubting_record(record, path):
        return translate(prediction.array, table, path, None if reading.others == "refuse" else 0, strange)


def _require_classes(known: list[str], wanted: Iterable[str], who: str) -> None:
    """A network that has no such class didn't miss it: 0 would be no score."""
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(
            f"{who} {', '.join(known)}: no {', '.join(missing)}; score those that are there (--only), or name classes "
            "alike"
        )


def _require_agreement(record: Record, said: Mapping[int, str], path: Path) -> None:
    for value, name in said.items():
        if record.values.get(name, value) != value:
            raise InputError(
                f"{path}: it was said that {value} is {name}, but {record_path(path).name} says that {name} is "
                f"{record.values[name]}; leave it to the record, or delete the record if it is wrong"
            )
