"""Methods beside each other: per-patient means, and the paired differences to a baseline with test and interval.

A patient's value is, for a class, the mean over the patient's cases of a modality; for "mean", the mean over these
cases of each case's mean over its classes. A method with several seeds is averaged over them per patient before it is
tested, so that seeds are never counted as patients; with folds each patient is tested in one of them. Every method's
numbers are made of the same structures, but for those that no reference has: they count for a method that invents one,
in its own means, and in a test of "mean"; in that of the class such a patient has no pair.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from statistics import fmean
from typing import Literal

from unpaired.choices import require_choice
from unpaired.comparison.contenders import Contender, LeftOut, require_comparable
from unpaired.comparison.crossed import SeedDifferences, seed_differences
from unpaired.comparison.records import CaseLoss, Cell, Column, Key, PatientValue
from unpaired.comparison.replicates import (
    Replicates,
    match_folds,
    mean_and_spread,
    merged,
    patient_averages,
    replicates,
)
from unpaired.errors import InputError, nearest
from unpaired.scores.scores import PRESET_COLUMNS, STATUSES, Evaluation, Score, higher_is_better
from unpaired.scores.summaries import MEAN, case_means, patient_means
from unpaired.statistics import PairedDifference, holm_corrected, paired_difference

DEFAULT_SCORES = ("dice", "hd95", "assd")
Family = Literal["methods", "table"]
Structure = tuple[str, str]
"""(case, class)"""


@dataclass(frozen=True)
class Comparison:
    """Methods that can be compared, and everything computed from their scores; `left_out` enters no number.

    `remarks` are what else a reader must know about the methods, a sentence each; `budget` is what they were trained
    with, as far as their folders say.
    """

    contenders: tuple[Contender, ...]
    baseline: str
    scores: tuple[str, ...]
    family: Family
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...] = ()
    budget: str = ""

    @property
    def names(self) -> list[str]:
        """The methods, in the order given."""
        return [method.name for method in self.contenders]

    @property
    def others(self) -> list[str]:
        """The methods without the baseline."""
        return [name for name in self.names if name != self.baseline]

    @property
    def modalities(self) -> list[str]:
        """The modalities of the scores, in order of first appearance."""
        return self.reference.modalities

    @cached_property
    def reference(self) -> Evaluation:
        """The first method's scores of every case, for all that is the same in every method: patients, definitions."""
        return merged(self.contenders[0].seeds)

    @cached_property
    def replicates(self) -> dict[str, Replicates]:
        """How many folds and seeds each method has."""
        return {method.name: replicates(method.seeds) for method in self.contenders}

    def contender(self, name: str) -> Contender:
        """The method called `name`."""
        return next(method for method in self.contenders if method.name == name)

    @cached_property
    def columns(self) -> list[Column]:
        """Per modality its classes and, where there are several, "mean"."""
        columns: list[Column] = []
        for modality in self.modalities:
            names = list(dict.fromkeys(row.class_name for row in self.reference.rows(modality)))
            columns += [Column(modality, name) for name in [*names, *([MEAN] if len(names) > 1 else [])]]
        return columns

    @property
    def main_columns(self) -> list[Column]:
        """One column per modality: "mean", or its only class."""
        return list({column.modality: column for column in self.columns}.values())

    @cached_property
    def dropped(self) -> dict[str, set[Structure]]:
        """Per score the structures without a value in some method (a distance that the policy excluded)."""
        return {
            score: {
                (row.case, row.class_name)
                for method in self.contenders
                for run in method.seeds
                for row in run.scores
                if row.status != "not_applicable" and row.value(score) is None
            }
            for score in self.scores
        }

    @cached_property
    def rows(self) -> dict[tuple[str, Column], list[list[Score]]]:
        """{(method, column): for each run of the method its scores in that column}."""
        return {
            (method.name, column): [rows.get(column, []) for rows in by_column]
            for method in self.contenders
            if (by_column := [_by_column(run) for run in method.seeds])
            for column in self.columns
        }

    @cached_property
    def by_seed(self) -> dict[Key, list[dict[str, float]]]:
        """For each run (seed, fold) of a method {patient: value}."""
        return {
            Key(score, column, method.name): [
                patient_means(replace(run, scores=_without(rows, self.dropped[score])), score, column.modality)
                for run, rows in zip(method.seeds, self.rows[method.name, column], strict=True)
            ]
            for score, column, method in product(self.scores, self.columns, self.contenders)
        }

    @cached_property
    def by_patient(self) -> dict[Key, dict[str, float]]:
        """{patient: value} of a method, averaged over its seeds."""
        return {key: patient_averages(by_run) for key, by_run in self.by_seed.items()}

    def patient_values(self, score: str, column: Column, name: str) -> dict[str, float]:
        """{patient: value} of the method called `name`, averaged over its seeds."""
        return self.by_patient[Key(score, column, name)]

    @cached_property
    def cells(self) -> dict[Key, Cell]:
        """Mean, spread and counts of every method in every column of every score: what the tables print."""
        return {key: self._cell(key) for key in self.by_seed}

    def _cell(self, key: Key) -> Cell:
        rows = [row for rows in self.rows[key.method, key.column] for row in rows]
        count = {status: sum(row.status == status for row in rows) for status in STATUSES}
        mean, std = mean_and_spread(self.by_seed[key])
        if not count["scored"]:
            mean, std = None, None
        n = len(rows) - count["not_applicable"]
        patients = len(self.by_patient[key])
        return Cell(mean, std, patients, n, count["scored"], count["missed"], count["false_positive"])

    @cached_property
    def differences(self) -> dict[Key, PairedDifference]:
        """Every method but the baseline minus the baseline, in every column of every score, with p corrected."""
        differences = {
            Key(score, column, name): paired_difference(
                self.patient_values(score, column, name),
                self.patient_values(score, column, self.baseline),
                higher_is_better(score),
            )
            for score, column, name in product(self.scores, self.columns, self.others)
        }
        return holm_corrected(
            differences, lambda key: (key.score, key.column) if self.family == "methods" else (key.score,)
        )

    @cached_property
    def seed_differences(self) -> dict[Key, SeedDifferences]:
        """What each pair of trainings gives alone: the method's minus the baseline's."""
        folds = match_folds({method.name: method.seeds for method in self.contenders})
        return {
            key: seed_differences(
                folds, key.method, self.baseline, {name: self.by_seed[key._replace(method=name)] for name in self.names}
            )
            for key in self.differences
        }

    @property
    def several_seeds(self) -> bool:
        """Whether some method and the baseline were trained more than once on a fold, each as often."""
        return any(seeds.by_seed for seeds in self.seed_differences.values())

    @property
    def tests_in_family(self) -> int:
        """How many p values are corrected together."""
        return len(self.others) * (len(self.columns) if self.family == "table" else 1)

    def patient_rows(self) -> Iterator[PatientValue]:
        """Every patient's value by every method except the baseline, for each score and column."""
        for score, column in product(self.scores, self.columns):
            baseline = self.patient_values(score, column, self.baseline)
            for name in self.others:
                values = self.patient_values(score, column, name)
                for patient in dict.fromkeys(row.patient for row in self.reference.rows(column.modality)):
                    if patient in values or patient in baseline:
                        yield PatientValue(score, column, patient, name, values.get(patient), baseline.get(patient))

    @cached_property
    def case_values(self) -> dict[tuple[str, str], dict[str, float]]:
        """(score, method) -> {case: mean over its classes and over seeds}; cases without a value are left out."""
        averages: dict[tuple[str, str], dict[str, float]] = {}
        for score, method in product(self.scores, self.contenders):
            by_case: dict[str, list[float]] = defaultdict(list)
            for run in method.seeds:
                kept = replace(run, scores=_without(run.scores, self.dropped[score]))
                for case, value in case_means(kept, score).items():
                    by_case[case].append(value)
            averages[score, method.name] = {case: fmean(values) for case, values in by_case.items()}
        return averages

    def losses(self, score: str | None = None) -> list[CaseLoss]:
        """Every case by every method against the baseline, the largest loss first, by the first score or another.

        A case without a value by one of both is left out.
        """
        score = score or self.scores[0]
        sign = -1 if higher_is_better(score) else 1
        cases = {row.case: row for row in self.reference.scores}
        losses: list[CaseLoss] = []
        for name in self.others:
            for case, row in cases.items():
                value = self.case_values[score, name].get(case)
                base = self.case_values[score, self.baseline].get(case)
                if value is not None and base is not None:
                    remarks = "; ".join(empty_structures(self.contender(name), case))
                    loss = sign * (value - base)
                    losses.append(CaseLoss(case, row.patient, row.modality, name, value, base, loss, remarks))
        return sorted(losses, key=lambda case: -case.loss)


def compare(
    contenders: Sequence[Contender],
    scores: Sequence[str] = DEFAULT_SCORES,
    baseline: str | None = None,
    common: bool = False,
    family: Family = "methods",
    remarks: Sequence[str] = (),
    budget: str = "",
) -> Comparison:
    """Compare methods with a baseline (None: the first) by some scores.

    `family` says over what p values are corrected (Holm): the methods of one column, or everything in one score's
    table; `remarks` come with the warnings, `budget` with the tables. Raises InputError where the methods are not
    comparable (see `require_comparable`), for an unknown score or baseline, and for a preset's column, which counts
    missed structures as its protocol does.
    """
    require_choice(family, Family, "correct_over")
    names = [method.name for method in contenders]
    chosen = baseline if baseline is not None else (names[0] if names else "")
    if names and chosen not in names:
        raise InputError(f"the baseline {chosen!r} is not one of the methods; {nearest(chosen, names)}")
    require_testable(scores)
    kept, left_out = require_comparable(contenders, scores, common)
    return Comparison(tuple(kept), chosen, tuple(scores), family, tuple(left_out), tuple(remarks), budget)


def require_testable(scores: Sequence[str]) -> None:
    """Raise InputError for no score, one named twice, and a preset's column."""
    if not scores or len(set(scores)) != len(scores):
        raise InputError(f"expected scores to compare, each once, got {' '.join(scores) or 'none'}")
    for score in scores:
        if any(score in columns for columns in PRESET_COLUMNS.values()):
            raise InputError(f"{score!r} is a preset's column and can't be tested; {nearest(score, ['dice', 'hd95'])}")


def empty_structures(method: Contender, case: str | None = None) -> Iterator[str]:
    """What a method missed or invented in a case: "missed: RV (1 of 3 seeds)"; in all cases (None): "missed: RV 5x".

    The number of seeds stands only where several scored the case.
    """
    seeds = sum(any(row.case == case for row in run.scores) for run in method.seeds)
    for status in ("missed", "false_positive"):
        rows = [row for run in method.seeds for row in run.scores if row.status == status and case in (None, row.case)]
        names: list[str] = []
        for name, count in Counter(row.class_name for row in rows).items():
            of_seeds = f" ({count} of {seeds} seeds)" if seeds > 1 else ""
            names.append(f"{name} {count}x" if case is None else f"{name}{of_seeds}")
        if names:
            yield f"{status.replace('_', ' ')}: {', '.join(names)}"


def _by_column(evaluation: Evaluation) -> dict[Column, list[Score]]:
    rows: dict[Column, list[Score]] = defaultdict(list)
    for row in evaluation.scores:
        rows[Column(row.modality, row.class_name)].append(row)
        rows[Column(row.modality, MEAN)].append(row)
    return rows


def _without(rows: Sequence[Score], dropped: set[Structure]) -> list[Score]:
    return [row for row in rows if (row.case, row.class_name) not in dropped]
