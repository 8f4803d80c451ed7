"""What the values in label-map files stand for: file values turned into class numbers, unknown ones named."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.errors import InputError


def prediction_values(dataset: Dataset, case: CaseEntry) -> dict[int, int]:
    """{file value: class number} of a case's prediction: the values that predictions are written with
    (`Dataset.source_values`), then those of the case's own label map that name one class."""
    number = {name: index for index, name in enumerate(dataset.classes)}
    table = {value: index for index, value in enumerate(dataset.source_values(case.modality))}
    for value, names in dataset.label_map_of(case).items():
        if len(names) == 1:
            table.setdefault(value, number[names[0]])
    return table


def not_annotated(dataset: Dataset, case: CaseEntry) -> frozenset[int]:
    """The class numbers that can't be scored in this case: not looked for, or known only as part of a merged value."""
    number = {name: index for index, name in enumerate(dataset.classes)}
    unseen = (
        set() if case.annotated is None else {number[name] for name in set(dataset.classes[1:]) - {*case.annotated}}
    )
    members = list(encode_values(dataset, case).values())
    merged = {one for several in members if len(several) > 1 for one in several} - {0}
    alone = {several[0] for several in members if len(several) == 1}
    return frozenset(unseen | (merged - alone))


def translate(values: np.ndarray, table: Mapping[int, int], path: Path) -> np.ndarray:
    """Replace label values by numbers through `table`. Raises InputError naming the values it doesn't know."""
    known = np.array(sorted(table))
    dtype = np.result_type(*(np.min_scalar_type(end(table.values())) for end in (min, max)))
    numbers = np.array([table[int(value)] for value in known], dtype=dtype)
    if not values.size:
        return np.zeros(values.shape, dtype)
    low, high = int(values.min()), int(values.max())
    if high - low < 1 << 16:  # a table over the range is ten times faster than a search
        inside = (known >= low) & (known <= high)
        lookup, is_known = np.zeros(high - low + 1, dtype), np.zeros(high - low + 1, bool)
        lookup[known[inside] - low] = numbers[inside]
        is_known[known[inside] - low] = True
        places = values if low == 0 else values.astype(np.int64) - low
        if not is_known.all() and not (found := is_known[places]).all():
            raise _unknown(path, known, np.unique(values[~found]))
        return lookup[places]
    places = np.searchsorted(known, values).clip(max=len(known) - 1)
    if (wrong := known[places] != values).any():
        raise _unknown(path, known, np.unique(values[wrong]))
    return numbers[places]


def parse_classes(text: str) -> dict[int, str]:
    """{1: "LV", 2: "myo"} from "1:LV,2:myo". Raises InputError for anything else."""
    classes: dict[int, str] = {}
    for part in text.split(","):
        value, colon, name = part.partition(":")
        if not colon or not name.strip() or not value.strip().isdecimal() or int(value) in classes:
            raise InputError(f"expected classes such as 1:LV,2:myo, each value once, got {part.strip()!r} in {text!r}")
        classes[int(value)] = name.strip()
    return classes


def _unknown(path: Path, known: np.ndarray, found: np.ndarray) -> InputError:
    return InputError(
        f"{path}: expected label values {_listed(known)}; found {_listed(found)}; "
        "name each value in the label map (or --classes)"
    )


def _listed(values: np.ndarray) -> str:
    return ", ".join(str(int(value)) for value in values[:12]) + (", ..." if len(values) > 12 else "")
