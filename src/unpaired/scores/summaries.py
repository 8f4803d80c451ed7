"""Means of an evaluation: per class and modality, per case, and per patient, the unit of every statistical test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from unpaired.scores.scores import Evaluation, Score, Summary

MEAN = "mean"


@dataclass(frozen=True)
class SummaryRow:
    """The means of one class in one modality; class "mean" is over all foreground classes and cases together."""

    modality: str
    class_name: str
    means: Mapping[str, Summary]
    """By score, for every one of the evaluation's `score_names`."""

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
    means = {case: _mean(rows, score) for case, rows in _grouped(evaluation.rows(modality), "case").items()}
    return {case: value for case, value in means.items() if value is not None}


def patient_means(
    evaluation: Evaluation, score: str, modality: str | None = None, class_name: str | None = None
) -> dict[str, float]:
    """{patient: mean of a score over its classes, then over its cases}, in order: what statistical tests compare.

    Without a modality, the mean of the patient's means in each modality. Patients without a number are left out; one
    whose structures were missed has the numbers that misses have. Raises InputError for an unknown score.
    """
    evaluation.require_score(score)
    found: dict[str, list[float]] = {}
    for name in evaluation.modalities if modality is None else [modality]:
        for patient, rows in _grouped(evaluation.rows(name, class_name), "patient").items():
            value = _patient_mean(rows, score)
            if value is not None:
                found.setdefault(patient, []).append(value)
    return {patient: sum(values) / len(values) for patient, values in found.items()}


def unit_rows(evaluation: Evaluation, unit: str) -> Iterator[UnitRow]:
    """A row for each "case" or "patient" in each modality, with every score's mean and the counts."""
    for modality in evaluation.modalities:
        for name, rows in _grouped(evaluation.rows(modality), unit).items():
            mean = _mean if unit == "case" else _patient_mean
            means = {score: mean(rows, score) for score in evaluation.score_names}
            counts = [sum(row.status == status for row in rows) for status in ("scored", "missed", "false_positive")]
            case = name if unit == "case" else ""
            yield UnitRow(rows[0].patient, case, modality, means, sum(counts), *counts)


def _grouped(rows: Iterator[Score], unit: str) -> dict[str, list[Score]]:
    groups: dict[str, list[Score]] = {}
    for row in rows:
        groups.setdefault(row.case if unit == "case" else row.patient, []).append(row)
    return groups


def _mean(rows: list[Score], score: str) -> float | None:
    values = [value for row in rows if (value := row.value(score)) is not None]
    return sum(values) / len(values) if values else None


def _patient_mean(rows: list[Score], score: str) -> float | None:
    by_case = [_mean(several, score) for several in _grouped(iter(rows), "case").values()]
    values = [value for value in by_case if value is not None]
    return sum(values) / len(values) if values else None
