"""Means of an evaluation: per class and modality, per case, and per patient, the unit of every statistical test."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from unpaired.scores.scores import Evaluation, Score, Summary
from unpaired.statistics import patient_values

MEAN = "mean"


@dataclass(frozen=True)
class SummaryRow:
    """The means of one class in one modality; class "mean" is over all foreground classes and cases together."""

    modality: str
    class_name: str
    means: Mapping[str, Summary]
    """{score: its summary} for each of the evaluation's `score_names`."""

    @property
    def dice(self) -> Summary:
        """The mean Dice and its counts."""
        return self.means["dice"]

    @property
    def hd95(self) -> Summary:
        """The mean HD95 in mm and its counts."""
        return self.means["hd95"]

    @property
    def assd(self) -> Summary:
        """The mean ASSD in mm and its counts."""
        return self.means["assd"]


@dataclass(frozen=True)
class UnitRow:
    """The means of one case (`case` named) or of one patient (`case` empty) over its classes, in one modality.

    They are data points, not results: a patient whose every structure was missed has Dice 0 here and isn't left out.
    """

    patient: str
    case: str
    modality: str
    means: Mapping[str, float | None]
    n: int
    n_scored: int
    n_missed: int
    n_false_positive: int


def summary_rows(evaluation: Evaluation) -> Iterator[SummaryRow]:
    """For each modality a row per class and, where there are several, one for their mean."""
    for modality in evaluation.modalities:
        names = list(dict.fromkeys(row.class_name for row in evaluation.rows(modality)))
        for name in [*names, None] if len(names) > 1 else names:
            means = {score: evaluation.mean(score, modality, name) for score in evaluation.score_names}
            yield SummaryRow(modality, MEAN if name is None else name, means)


def case_means(evaluation: Evaluation, score: str, modality: str | None = None) -> dict[str, float]:
    """{case: mean of a score over its classes}, in order; cases without a number are left out.

    Raises InputError for an unknown score.
    """
    evaluation.require_score(score)
    by_case: dict[str, list[float]] = {}
    for row, value in _scored(evaluation.rows(modality), score):
        by_case.setdefault(row.case, []).append(value)
    return {case: fmean(values) for case, values in by_case.items()}


def patient_means(
    evaluation: Evaluation, score: str, modality: str | None = None, class_name: str | None = None
) -> dict[str, float]:
    """{patient: mean of a score over its classes, then over its cases}, in order: what statistical tests compare.

    Without a modality, the mean of the patient's means in each modality. Patients without a number are left out; one
    whose structures were missed has the numbers that misses have. Raises InputError for an unknown score.
    """
    evaluation.require_score(score)
    by_patient: dict[str, list[float]] = {}
    for name in evaluation.modalities if modality is None else [modality]:
        for patient, value in _patient_values(evaluation.rows(name, class_name), score).items():
            by_patient.setdefault(patient, []).append(value)
    return {patient: fmean(values) for patient, values in by_patient.items()}


def unit_rows(evaluation: Evaluation, unit: Literal["case", "patient"]) -> Iterator[UnitRow]:
    """A row for each case or patient in each modality, with every score's mean and the counts."""
    for modality in evaluation.modalities:
        groups: dict[str, list[Score]] = {}
        for row in evaluation.rows(modality):
            groups.setdefault(getattr(row, unit), []).append(row)
        for name, rows in groups.items():
            patient = rows[0].patient
            means = {score: _patient_values(rows, score).get(patient) for score in evaluation.score_names}
            counts = [sum(row.status == status for row in rows) for status in ("scored", "missed", "false_positive")]
            yield UnitRow(patient, name if unit == "case" else "", modality, means, sum(counts), *counts)


def _patient_values(rows: Iterable[Score], score: str) -> dict[str, float]:
    return patient_values((row.patient, row.case, value) for row, value in _scored(rows, score))


def _scored(rows: Iterable[Score], score: str) -> Iterator[tuple[Score, float]]:
    """The rows that have a value of the score, and the value."""
    return ((row, value) for row in rows if (value := row.value(score)) is not None)
