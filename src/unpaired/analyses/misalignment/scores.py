"""Dice against misalignment: how far a prediction beside a partner suffers when the partner is out of place.

A *curve* is one run, one modality, one kind of misalignment ("shift", "rotation", "missing"): Dice at each amount, the
mean over patients of each patient's mean over classes, with a bootstrap interval over patients; and the change from
amount 0, paired by patient, with its own interval. Patients differ by more than most partners matter, so the interval
of the change is the one to judge by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from unpaired.analyses.partners.results import ResultBesidePartners, ignores_partners, patient_dice
from unpaired.errors import InputError
from unpaired.statistics import Interval, bootstrap_interval, paired_difference

KINDS = ("shift", "rotation", "missing")
UNITS = {"shift": "mm", "rotation": "degrees", "missing": "% of slices"}
ALONE = "alone"
"""In place of a kind of misalignment: the prediction without a partner."""


@dataclass(frozen=True, kw_only=True)
class MisalignmentRow(ResultBesidePartners):
    """A class of a case, predicted by a run beside partners that are out of place by `amount` (unit: `UNITS`).

    `kind` is "alone" for the partner-free prediction, whose amount is 0.
    """

    run: str
    kind: str
    amount: float


@dataclass(frozen=True)
class Point:
    """A curve at one amount. The intervals (95 %) are None with a single patient."""

    amount: float
    patients: int
    dice: float
    interval: Interval | None
    change: float
    change_interval: Interval | None


@dataclass(frozen=True)
class MisalignmentCurve:
    """One run, modality and kind; `alone` is the mean Dice of the partner-free prediction of the same patients."""

    run: str
    modality: str
    kind: str
    alone: float
    points: tuple[Point, ...]


def misalignment_curves(rows: Sequence[MisalignmentRow]) -> list[MisalignmentCurve]:
    """The curves, run by run and modality by modality; amounts in rising order, each curve with its amount 0.

    Raises InputError where a curve lacks amount 0, which changes are measured from.
    """
    curves: list[MisalignmentCurve] = []
    for run in dict.fromkeys(row.run for row in rows):
        for modality in dict.fromkeys(row.modality for row in rows if row.run == run):
            of = [row for row in rows if (row.run, row.modality) == (run, modality)]
            alone = patient_dice([row for row in of if row.kind == ALONE])
            for kind in KINDS:
                amounts = sorted({row.amount for row in of if row.kind == kind})
                by_amount = {
                    amount: patient_dice([row for row in of if (row.kind, row.amount) == (kind, amount)])
                    for amount in amounts
                }
                by_amount = {amount: patients for amount, patients in by_amount.items() if patients}
                if by_amount and alone:
                    points = tuple(_points(by_amount, f"{run}, {modality}, {kind}"))
                    curves.append(MisalignmentCurve(run, modality, kind, fmean(alone.values()), points))
    return curves


def flat_runs(rows: Sequence[MisalignmentRow]) -> list[str]:
    """The runs in which no partner, wherever it lay, changed a voxel of any prediction."""
    names = list(dict.fromkeys(row.run for row in rows))
    return [name for name in names if ignores_partners(row for row in rows if row.run == name)]


def _points(by_amount: Mapping[float, Mapping[str, float]], where: str) -> list[Point]:
    if 0 not in by_amount:
        raise InputError(f"{where}: amount 0, which changes are measured from, is missing; predict it too")
    points: list[Point] = []
    for amount, patients in by_amount.items():
        values = list(patients.values())
        change = paired_difference(patients, by_amount[0])
        interval = bootstrap_interval(values)
        points.append(Point(amount, len(values), fmean(values), interval, change.mean or 0.0, change.interval))
    return points
