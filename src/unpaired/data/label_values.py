"""What the values in label-map files stand for: file values turned into class numbers, unknown ones named.

Numbers are a case's own: 2 may be a kidney in one study and the liver in the next. So a reference is read by its own
case's label map, and a prediction by the record beside it, class name by class name. A prediction without a record
carries the values of the reference's label map, unless a table says what its values mean.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.prediction_record import Record
from unpaired.errors import InputError, require_name

LONGEST = 10
"""Digits of a label value: those of 32 bits."""
ANOTHER = re.compile(r"[;|/\s]\s*[0-9]+\s*:")
"""In the name of a class: another class behind a separator that isn't a comma."""


def prediction_values(dataset: Dataset, case: CaseEntry, record: Record | None = None) -> dict[int, int]:
    """{file value: class number} of a case's prediction.

    By its record, class name by class name; classes that the dataset doesn't have are left out. Without a record: the
    values of the case's own label map that name one class; a class without one there has its class number, or the next
    free value if that number is taken.
    """
    if record is not None:
        return {value: number for value, number in recorded_values(record, dataset.classes).items() if number >= 0}
    number = {name: index for index, name in enumerate(dataset.classes)}
    label_map = dataset.label_map_of(case)
    table = {value: number[names[0]] for value, names in label_map.items() if len(names) == 1}
    for name, index in number.items():
        if index not in table.values():
            value = index
            while value in table or value in label_map:
                value += 1
            table[value] = number[name]
    return table


def recorded_values(record: Record, classes: Iterable[str]) -> dict[int, int]:
    """{file value: class number} by a prediction's record; -1 for a class that `classes`, background first, lack.

    The record's first class is background, whatever it is called.
    """
    number = {name: index for index, name in enumerate(classes)}
    names = list(record.values)
    return {value: 0 if name == names[0] else number.get(name, -1) for name, value in record.values.items()}


def not_annotated(dataset: Dataset, case: CaseEntry) -> frozenset[int]:
    """The class numbers that can't be scored in this case: not looked for, or known only as part of a merged value."""
    number = {name: index for index, name in enumerate(dataset.classes)}
    annotated = dataset.classes if case.annotated is None else case.annotated
    unseen = {number[name] for name in dataset.classes[1:] if name not in annotated}
    members = list(encode_values(dataset, case).values())
    merged = {number for several in members if len(several) > 1 for number in several} - {0}
    alone = {several[0] for several in members if len(several) == 1}
    return frozenset(unseen | (merged - alone))


def translate(
    values: np.ndarray,
    table: Mapping[int, int],
    path: Path,
    other: int | None = None,
    names: Mapping[int, str] = MappingProxyType({}),
) -> np.ndarray:
    """Replace label values by numbers through `table`, and those that it lacks by `other`.

    With `other` None, InputError lists the values that the table doesn't know, with their `names` where there are any.
    """
    known = np.array(sorted(table))
    ends = [*table.values(), *(() if other is None else (other,))]
    dtype = np.result_type(*(np.min_scalar_type(end(ends)) for end in (min, max)))
    numbers = np.array([table[int(value)] for value in known], dtype=dtype)
    if not values.size:
        return np.zeros(values.shape, dtype)
    low, high = int(values.min()), int(values.max())
    if high - low < 1 << 16:  # a table over the range is ten times faster than a search
        inside = (known >= low) & (known <= high)
        lookup, is_known = np.full(high - low + 1, other or 0, dtype), np.zeros(high - low + 1, bool)
        lookup[known[inside] - low] = numbers[inside]
        is_known[known[inside] - low] = True
        places = values if low == 0 else values.astype(np.int64) - low
        if other is None and not is_known.all() and not (fits := is_known[places]).all():
            raise _unknown(path, known, np.unique(values[~fits]), names)
        return lookup[places]
    places = np.searchsorted(known, values).clip(max=len(known) - 1)
    wrong = known[places] != values
    if other is None and wrong.any():
        raise _unknown(path, known, np.unique(values[wrong]), names)
    return numbers[places] if other is None else np.where(wrong, np.array(other, dtype), numbers[places])


def parse_classes(text: str) -> dict[int, str]:
    """{1: "LV", 2: "myo"} from "1:LV,2:myo". Raises InputError for anything else."""
    classes: dict[int, str] = {}
    for part in text.split(","):
        value, colon, name = part.partition(":")
        if value.strip().isdecimal() and len(value.strip()) > LONGEST:
            raise InputError(f"--classes: expected label values of up to {LONGEST} digits, got {value.strip()[:20]!r}")
        if not colon or not name.strip() or not value.strip().isdecimal() or int(value) in classes:
            raise InputError(f"expected classes such as 1:LV,2:myo, each value once, got {part.strip()!r} in {text!r}")
        if ANOTHER.search(name):
            raise InputError(f"--classes: expected commas between classes, as in 1:LV,2:myo, got {part.strip()!r}")
        require_name(name.strip(), "--classes")
        classes[int(value)] = name.strip()
    return classes


def _unknown(path: Path, known: np.ndarray, strange: np.ndarray, names: Mapping[int, str]) -> InputError:
    return InputError(
        f"{path}: expected label values {_listed(known)}; found {_listed(strange, names)}; "
        "name each value in the label map (or --classes), or say what all others are (--others background)"
    )


def _listed(values: np.ndarray, names: Mapping[int, str] = MappingProxyType({})) -> str:
    texts = [f"{value} ({names[value]})" if value in names else str(value) for value in values[:12].tolist()]
    return ", ".join(texts) + (", ..." if len(values) > 12 else "")
