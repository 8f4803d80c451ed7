"""The `labels` of a dataset.json or datalist as classes: nnU-Net's of both versions, the Decathlon's, MONAI's."""

from collections.abc import Mapping, Sequence
from typing import Any

from unpaired.errors import InputError

LabelMap = dict[int, tuple[str, ...]]
_EXAMPLE = '{"background": 0, "liver": 1} or {"0": "background", "1": "liver"}'


def read_labels(labels: Any, where: str) -> tuple[tuple[str, ...], LabelMap]:
    """The classes, background first, and what each value of the label maps stands for.

    `labels` are {name: value}, {name: [values]} (regions, which may overlap) or {"value": name}. Classes exclude each
    other here: a value belongs to the smallest region that holds it, and the class of a region whose values partly
    belong to smaller ones is called "whole tumor without tumor core". Voxels of the label "ignore" may be of any class.
    A background that is called "Background" is the same as one called "background", or datasets would not join.
    Raises InputError for labels without a background, a value that is no whole number, and two names of one value.
    """
    regions = {_background_name(name, values): values for name, values in _regions(labels, where).items()}
    _require_one_name(regions, where)
    ignored = regions.pop("ignore", ())
    background = next((name for name, values in regions.items() if values == (0,)), None)
    if background is None:
        raise InputError(f"{where}: expected labels with a background of value 0, such as {_EXAMPLE}, got {labels!r}")
    smallest = {
        value: min((name for name, values in regions.items() if value in values), key=lambda name: len(regions[name]))
        for value in sorted({value for values in regions.values() for value in values})
    }
    names = {region: _class_name(region, regions, smallest) for region in dict.fromkeys(smallest.values())}
    table: LabelMap = {value: (names[region],) for value, region in smallest.items()}
    classes = (background, *(name for name in names.values() if name != background))
    table |= dict.fromkeys(ignored, classes)
    return classes, table


def _background_name(name: str, values: tuple[int, ...]) -> str:
    return "background" if values == (0,) and name.casefold() == "background" else name


def _require_one_name(regions: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise InputError for two names of the same values: one of them would be nowhere."""
    names: dict[frozenset[int], str] = {}
    for name, values in regions.items():
        first = names.setdefault(frozenset(values), name)
        if first != name:
            raise InputError(f"{where}: labels {first!r} and {name!r} both stand for {values[0]}; drop or correct one")


def classes_by_value(classes: Mapping[int, str]) -> tuple[tuple[str, ...], LabelMap]:
    """The same from {value: name} as a person gives it; a value 0 that isn't named is background."""
    return read_labels({str(value): name for value, name in {0: "background", **classes}.items()}, "--classes")


def _regions(labels: Any, where: str) -> dict[str, tuple[int, ...]]:
    """{name: its values}, whichever way round they were written."""
    if not isinstance(labels, Mapping) or not labels:
        raise InputError(f"{where}: expected labels such as {_EXAMPLE}, got {labels!r}")
    if all(isinstance(name, str) for name in labels.values()):
        turned: dict[str, list[Any]] = {}
        for value, name in labels.items():
            turned.setdefault(name, []).append(value)
        labels = turned
    return {str(name): _values(values, f"{where}: label {name!r}") for name, values in labels.items()}


def _values(values: Any, where: str) -> tuple[int, ...]:
    listed = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    try:
        numbers = tuple(int(value) for value in listed if not isinstance(value, bool) and int(value) == float(value))
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if not numbers or len(numbers) != len(listed):
        raise InputError(f"{where}: expected a whole number or a list of them, got {values!r}")
    return numbers


def _class_name(region: str, regions: Mapping[str, tuple[int, ...]], smallest: Mapping[int, str]) -> str:
    taken = [smallest[value] for value in regions[region] if smallest[value] != region]
    return f"{region} without {' and '.join(dict.fromkeys(taken))}" if taken else region
