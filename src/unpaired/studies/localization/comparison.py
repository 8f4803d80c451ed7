"""Localization of several runs beside each other: means over patients, and paired differences with their test.

The unit is the patient, as everywhere: a patient's value is the mean over the patient's cases, of each the mean over
the classes and layers asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from unpaired.errors import InputError, nearest
from unpaired.statistics import PairedDifference, holm_corrected, paired_difference, patient_values, patients_needed
from unpaired.studies.localization.scores import KINDS, Row

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
    """The runs' rows, and everything computed from them; `classes` are those with background, in order."""

    rows: Mapping[str, Sequence[Row]]
    baseline: str
    classes: tuple[str, ...]
    layers: tuple[str, ...]
    modalities: tuple[str, ...]
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
    for place in map(Place._make, product(KINDS, modalities, (ALL, *layers), (MEAN, *classes))):
        values = {name: values_at(of, place, classes) for name, of in rows.items()}
        for name, own in values.items():
            if own:
                summaries[place, name] = _summary(rows[name], place, own, classes)
            if name != baseline and own and values[baseline]:
                differences[place, name] = paired_difference(own, values[baseline])
    differences = holm_corrected(differences, lambda key: key[0].family)
    return LocalizationComparison(rows, baseline, tuple(classes), layers, modalities, summaries, differences)


def values_at(rows: Sequence[Row], place: Place, classes: Sequence[str], what: str | None = None) -> dict[str, float]:
    """{patient: value} of one run at a place; `what` is another field of the rows, such as "chance"."""

    def belongs(row: Row) -> bool:
        foreground = row.class_name != classes[0]
        return (
            row.modality == place.modality
            and place.layer in (ALL, row.layer)
            and (foreground if place.class_name == MEAN else row.class_name == place.class_name)
            and getattr(row, place.kind) is not None
        )

    return patient_values((row.patient, row.case, getattr(row, what or place.kind)) for row in rows if belongs(row))


def _summary(rows: Sequence[Row], place: Place, values: Mapping[str, float], classes: Sequence[str]) -> Summary:
    numbers = np.array(list(values.values()))
    chance, ceiling = (
        float(np.mean(list(values_at(rows, place, classes, what).values()))) for what in ("chance", "ceiling")
    )
    std = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
    return Summary(len(numbers), float(numbers.mean()), std, chance, ceiling)
