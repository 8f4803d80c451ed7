"""Localization of several runs beside each other: means over patients, and paired differences with their test.

The unit is the patient, as everywhere: a patient's value is the mean over the patient's cases, of each the mean over
the classes and layers asked for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from unpaired.analyses.localization.scores import KINDS, Row
from unpaired.errors import InputError, nearest
from unpaired.statistics import PairedDifference, holm_corrected, paired_difference, patient_values, patients_needed

ALL = "all layers"
MEAN = "mean"


class Place(NamedTuple):
    """What a number is about: one of `KINDS`, a modality, a layer or `ALL`, a class or `MEAN` (foreground)."""

    kind: str
    modality: str
    layer: str
    class_name: str

    @property
    def family(self) -> tuple[str, str, bool, bool]:
        """p values are corrected over all methods, layers and classes of a family: a kind and modality, summed up over
        layers or not, over classes or not."""
        return self.kind, self.modality, self.layer == ALL, self.class_name == MEAN


@dataclass(frozen=True)
class Summary:
    """A run's mean over patients at a place; the standard deviation is None for one patient.

    `chance` and `ceiling` are means over the same patients, see `CaseLocalization`.
    """

    patients: int
    mean: float
    std: float | None
    chance: float
    ceiling: float


@dataclass(frozen=True)
class LocalizationComparison:
    """The runs' rows, and everything computed from them; `classes` are those with background, in order.

    `values` {(place, run): {patient: value}}: what means, differences and tests are made of.
    """

    rows: Mapping[str, Sequence[Row]]
    baseline: str
    classes: tuple[str, ...]
    layers: tuple[str, ...]
    modalities: tuple[str, ...]
    values: dict[tuple[Place, str], dict[str, float]]
    summaries: dict[tuple[Place, str], Summary]
    differences: dict[tuple[Place, str], PairedDifference]

    @property
    def names(self) -> list[str]:
        """The runs, as given."""
        return list(self.rows)

    @property
    def others(self) -> list[str]:
        """The runs but the baseline."""
        return [name for name in self.rows if name != self.baseline]

    def warnings(self) -> Iterator[str]:
        """What a reader must know before believing a difference."""
        for modality in self.modalities:
            place = Place("best", modality, ALL, MEAN)
            counts = [gap.patients for (where, _), gap in self.differences.items() if where == place]
            if counts and max(counts) < (needed := patients_needed(len(self.others))):
                yield (
                    f"{modality}: with so few patients ({max(counts)}) no difference over all layers can be significant"
                    f" after the correction (runs compared: {len(self.others)}); at least {needed} are needed"
                )


def compare_localization(
    rows: Mapping[str, Sequence[Row]], classes: Sequence[str], baseline: str | None = None
) -> LocalizationComparison:
    """Summaries of every run, and of every other run the differences to `baseline` (default: the first).

    `rows` {run: its rows}, `classes[0]` is background, which is in no mean over classes. Raises InputError if there are
    no rows, if the runs have other cases, classes or layers, or for a baseline that is not one of the runs.
    """
    if not rows or not all(rows.values()):
        raise InputError("expected rows of at least one run, got none; are there labeled test cases?")
    first = next(iter(rows))
    baseline = baseline or first
    if baseline not in rows:
        raise InputError(f"baseline: there is no run {baseline!r}; {nearest(baseline, list(rows))}")
    keys = {name: {(row.case, row.layer, row.class_name) for row in of} for name, of in rows.items()}
    for name, own in keys.items():
        if own != keys[first]:
            case, layer, class_name = min(own ^ keys[first])
            raise InputError(
                f"{first} and {name} differ in what was looked at: {class_name} of case {case} in layer {layer} is in "
                "one of them only; compare the same cases and layers"
            )
    layers = tuple(dict.fromkeys(row.layer for row in rows[first]))
    modalities = tuple(dict.fromkeys(row.modality for row in rows[first]))
    summaries: dict[tuple[Place, str], Summary] = {}
    differences: dict[tuple[Place, str], PairedDifference] = {}
    at_places = {name: rows_at_places(of, classes) for name, of in rows.items()}
    values: dict[tuple[Place, str], dict[str, float]] = {}
    for place in map(Place._make, product(KINDS, modalities, (ALL, *layers), (MEAN, *classes))):
        for name, places in at_places.items():
            if at_place := places.get(place):
                values[place, name] = _patient_values(at_place, place.kind)
                summaries[place, name] = _summary(at_place, values[place, name])
        for name in rows:
            if name != baseline and (place, name) in values and (place, baseline) in values:
                differences[place, name] = paired_difference(values[place, name], values[place, baseline])
    differences = holm_corrected(differences, lambda key: key[0].family)
    return LocalizationComparison(rows, baseline, tuple(classes), layers, modalities, values, summaries, differences)


def rows_at_places(rows: Iterable[Row], classes: Sequence[str]) -> dict[Place, list[Row]]:
    """{place: the rows of one run whose mean its number is}; places without a row are missing."""
    at_places: dict[Place, list[Row]] = {}
    for row in rows:
        kinds = [kind for kind in KINDS if getattr(row, kind) is not None]
        names = {row.class_name} if row.class_name == classes[0] else {row.class_name, MEAN}
        for kind, layer, name in product(kinds, (ALL, row.layer), names):
            at_places.setdefault(Place(kind, row.modality, layer, name), []).append(row)
    return at_places


def _patient_values(rows: Iterable[Row], field: str) -> dict[str, float]:
    return patient_values((row.patient, row.case, getattr(row, field)) for row in rows)


def _summary(rows: Sequence[Row], values: Mapping[str, float]) -> Summary:
    numbers = np.array(list(values.values()))
    chance, ceiling = (float(np.mean(list(_patient_values(rows, field).values()))) for field in ("chance", "ceiling"))
    std = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
    return Summary(len(numbers), float(numbers.mean()), std, chance, ceiling)
