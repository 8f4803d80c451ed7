"""What a partner changes: Dice and volumes of one case's prediction beside a partner, and how far it is the one alone.

A *form* is one way to predict a case: "alone" (partner-free), "own" (beside the patient's own scans), "sorted" (beside
the scans of equal place in the sorted list, CMC's released pairing), "random 1", "random 2", ... The *spread* of a case
and class is the largest minus the smallest Dice over all forms but "alone": how much the prediction depends on who
happens to be beside it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol, runtime_checkable

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import Image, read_label_map, require_same_grid
from unpaired.errors import InputError
from unpaired.scores.label_values import not_annotated, translate
from unpaired.scores.overlap import count_overlap, dice
from unpaired.statistics import patient_values

ALONE = "alone"
MEAN = "mean"
"""Stands where a class's name does for the mean over classes."""


@dataclass(frozen=True)
class Reference:
    """A case's label map as indices of `sets`, the class numbers not to be scored, and a voxel's volume in ml."""

    labels: np.ndarray
    sets: tuple[tuple[int, ...], ...]
    unknown: frozenset[int]
    voxel_ml: float


@dataclass(frozen=True)
class ClassResult:
    """One class of one prediction. `dice` is None where prediction and reference are both empty.

    `agreement` is the Dice of this prediction and the partner-free one: 1 where the partner changed nothing, None where
    both are empty.
    """

    class_name: str
    dice: float | None
    prediction_ml: float
    reference_ml: float
    agreement: float | None


@runtime_checkable
class Scored(Protocol):
    """What means over patients are taken of: any row with these fields."""

    @property
    def case(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def class_name(self) -> str: ...
    @property
    def dice(self) -> float | None: ...


def read_reference(dataset: Dataset, case: CaseEntry, image: Image) -> Reference:
    """The reference of a labeled case, for scoring alone. Raises InputError for a file that is unreadable, holds
    unknown values or lies on another grid than the image."""
    if case.label is None:
        raise InputError(f"case {case.id} has no label map to score against; name a split with labeled cases")
    label = read_label_map(case.label)
    require_same_grid(image, label, case.label)
    sets = dataset.label_sets()
    numbers = {members: index for index, members in enumerate(sets)}
    table = {value: numbers[members] for value, members in encode_values(dataset, case).items()}
    labels = translate(label.array, table, case.label)
    return Reference(labels, sets, not_annotated(dataset, case), float(np.prod(label.spacing_mm)) / 1000)


def class_results(
    prediction: np.ndarray, alone: np.ndarray, reference: Reference, classes: Sequence[str]
) -> Iterator[ClassResult]:
    """The result of each annotated foreground class; `classes[0]` is background. Label maps of one shape, in class
    numbers; `alone` is the partner-free prediction."""
    counts = count_overlap(prediction, reference.labels, reference.sets)
    same = count_overlap(prediction, alone, [(number,) for number in range(len(classes))])
    for number, name in enumerate(classes):
        if number == 0 or number in reference.unknown:
            continue
        both, predicted, true = (int(of[number]) for of in (counts.both, counts.predicted, counts.reference))
        agreement = dice(int(same.both[number]), int(same.predicted[number]), int(same.reference[number]))
        ml = reference.voxel_ml
        yield ClassResult(name, dice(both, predicted, true), predicted * ml, true * ml, agreement)


def patient_dice(rows: Iterable[Scored], class_name: str = MEAN) -> dict[str, float]:
    """{patient: Dice} of a class or, with `MEAN`, of all classes together, where there is any; see `patient_values`.

    Rows are of one form.
    """
    return patient_values(
        (row.patient, row.case, row.dice)
        for row in rows
        if row.dice is not None and class_name in (MEAN, row.class_name)
    )


@dataclass(frozen=True)
class PartnerRow:
    """A class of a case, predicted in one form. `partners` are {modality: case id}, `alignments` {modality: how}."""

    case: str
    patient: str
    modality: str
    form: str
    partners: Mapping[str, str]
    alignments: Mapping[str, str]
    class_name: str
    dice: float | None
    prediction_ml: float
    reference_ml: float
    agreement: float | None


@dataclass(frozen=True)
class Spread:
    """A class of a case over all of its partners: Dice alone, least, largest and mean Dice, spread of volume."""

    case: str
    patient: str
    modality: str
    class_name: str
    alone: float | None
    least: float
    most: float
    mean: float
    volume_ml: float | None
    """Largest minus smallest volume; None for the mean over classes."""

    @property
    def width(self) -> float:
        """Largest minus smallest Dice."""
        return self.most - self.least


@dataclass(frozen=True)
class PartnerSummary:
    """A class of a modality over `patients`: the mean Dice of each form ("random" is the mean of all draws), the mean
    spread, the largest with its case, and the mean spread of volumes in ml (None for the mean over classes).

    `form_patients` says how many patients a form's mean is of: not every one may have a scan of its own beside.
    """

    modality: str
    class_name: str
    patients: int
    dice: Mapping[str, float]
    form_patients: Mapping[str, int]
    spread: float
    largest: float
    largest_case: str
    spread_ml: float | None


def spreads(rows: Sequence[PartnerRow]) -> list[Spread]:
    """The spread of every case and class, and of each case's mean over classes (`MEAN`, without volumes), in order of
    first appearance; cases without a Dice beside any partner are left out."""
    cases: dict[tuple[str, str], list[PartnerRow]] = {}
    for row in rows:
        cases.setdefault((row.case, row.class_name), []).append(row)
    of_cases = [spread for several in cases.values() if (spread := _spread(several)) is not None]
    for case in dict.fromkeys(row.case for row in rows):
        forms: dict[str, list[PartnerRow]] = {}
        for row in rows:
            if row.case == case and row.dice is not None:
                forms.setdefault(row.form, []).append(row)
        means = {form: fmean(row.dice or 0.0 for row in of_form) for form, of_form in forms.items()}
        beside = [value for form, value in means.items() if form != ALONE]
        if beside:
            row = next(iter(forms.values()))[0]
            ends = min(beside), max(beside), fmean(beside)
            of_cases.append(Spread(case, row.patient, row.modality, MEAN, means.get(ALONE), *ends, None))
    return of_cases


def summarize_partners(rows: Sequence[PartnerRow]) -> list[PartnerSummary]:
    """A summary per modality and class, the mean over classes last; means over patients."""
    every = spreads(rows)
    summaries = []
    for modality in dict.fromkeys(row.modality for row in rows):
        of = [row for row in rows if row.modality == modality]
        for name in [*dict.fromkeys(row.class_name for row in of), MEAN]:
            widths = [spread for spread in every if (spread.modality, spread.class_name) == (modality, name)]
            if not widths:
                continue
            values, counts = _form_means(of, name)
            largest = max(widths, key=lambda spread: spread.width)
            volumes = [(row.patient, row.case, row.volume_ml) for row in widths if row.volume_ml is not None]
            summaries.append(
                PartnerSummary(
                    modality,
                    name,
                    len({spread.patient for spread in widths}),
                    values,
                    counts,
                    _over_patients((spread.patient, spread.case, spread.width) for spread in widths),
                    largest.width,
                    largest.case,
                    _over_patients(volumes) if volumes else None,
                )
            )
    return summaries


def ignores_partners(rows: Iterable[PartnerRow]) -> bool:
    """Whether no partner changed a voxel of any prediction."""
    return all(row.agreement in (None, 1.0) for row in rows)


def _spread(rows: Sequence[PartnerRow]) -> Spread | None:
    beside = [row for row in rows if row.form != ALONE]
    values = [row.dice for row in beside if row.dice is not None]
    if not values:
        return None
    alone = next((row.dice for row in rows if row.form == ALONE), None)
    ml = [row.prediction_ml for row in beside]
    first = rows[0]
    ends = min(values), max(values), fmean(values)
    return Spread(first.case, first.patient, first.modality, first.class_name, alone, *ends, max(ml) - min(ml))


def _form_means(rows: Sequence[PartnerRow], class_name: str) -> tuple[dict[str, float], dict[str, int]]:
    """{form: mean Dice over patients} and {form: patients}; all random draws together are one form."""
    draws: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for form in dict.fromkeys(row.form for row in rows):
        patients = patient_dice([row for row in rows if row.form == form], class_name)
        if patients:
            name = form.split()[0]
            draws.setdefault(name, []).append(fmean(patients.values()))
            counts[name] = max(counts.get(name, 0), len(patients))
    return {form: fmean(values) for form, values in draws.items()}, counts


def _over_patients(values: Iterable[tuple[str, str, float]]) -> float:
    """The mean over patients of (patient, case, value)."""
    return fmean(patient_values(values).values())


def form_text(partners: Mapping[str, str]) -> str:
    """Partners as one cell: "bssfp=patient3_bssfp"."""
    return " ".join(f"{modality}={case}" for modality, case in partners.items())
