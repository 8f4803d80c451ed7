"""Methods beside each other: per-patient means, and the paired differences to a baseline with test and interval.

A patient's value is, for a class, the mean over the patient's cases of a modality; for "mean", the mean over these
cases of each case's mean over its classes. A method with several seeds is averaged over them per patient before it is
tested, so that seeds are never counted as patients; with folds each patient is tested in one of them. Every method's
numbers are made of the same structures.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal

import numpy as np

from unpaired.comparison.contenders import Contender, LeftOut, require_comparable
from unpaired.comparison.records import CaseLoss, Cell, Column, Difference, PatientValue
from unpaired.comparison.replicates import Replicates, mean_and_spread, merged, patient_averages, replicates
from unpaired.errors import InputError, nearest
from unpaired.scores.scores import PRESET_COLUMNS, STATUSES, Evaluation, Score, higher_is_better
from unpaired.scores.summaries import MEAN, case_means, patient_means
from unpaired.statistics import bootstrap_interval, holm, signed_rank

DEFAULT_SCORES = ("dice", "hd95", "assd")
Family = Literal["methods", "table"]
Key = tuple[str, str]
"""(case, class)"""


@dataclass(frozen=True)
class Comparison:
    """Comparable methods and what is computed of them; `left_out` is in none of the numbers.

    `remarks` are whatever else a reader must know of the methods, a sentence each.
    """

    contenders: tuple[Contender, ...]
    baseline: str
    scores: tuple[str, ...]
    family: Family
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...] = ()

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
        """In order of first appearance."""
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
        found = []
        for modality in self.modalities:
            names = list(dict.fromkeys(row.class_name for row in self.reference.rows(modality)))
            found += [Column(modality, name) for name in [*names, *([MEAN] if len(names) > 1 else [])]]
        return found

    @property
    def main_columns(self) -> list[Column]:
        """One column per modality: "mean", or its only class."""
        return list({column.modality: column for column in self.columns}.values())

    @cached_property
    def dropped(self) -> dict[str, set[Key]]:
        """Per score the structures without a value in some method (a distance that the policy excluded)."""
        return {
            score: {
                (row.case, row.class_name)
                for method in self.contenders
                for one in method.seeds
                for row in one.scores
                if row.status != "not_applicable" and row.value(score) is None
            }
            for score in self.scores
        }

    @cached_property
    def rows(self) -> dict[tuple[str, Column], list[list[Score]]]:
        """(method, column) -> for each run its rows."""
        return {
            (method.name, column): [rows.get(column, []) for rows in grouped]
            for method in self.contenders
            if (grouped := [_grouped(one) for one in method.seeds])
            for column in self.columns
        }

    @cached_property
    def by_seed(self) -> dict[tuple[str, Column, str], list[dict[str, float]]]:
        """(score, column, method) -> for each run (seed, fold) {patient: value}."""
        return {
            (score, column, method.name): [
                patient_means(replace(one, scores=_without(rows, self.dropped[score])), score, column.modality)
                for one, rows in zip(method.seeds, self.rows[method.name, column], strict=True)
            ]
            for score in self.scores
            for column in self.columns
            for method in self.contenders
        }

    @cached_property
    def by_patient(self) -> dict[tuple[str, Column, str], dict[str, float]]:
        """(score, column, method) -> {patient: value}, averaged over seeds."""
        return {key: patient_averages(by_run) for key, by_run in self.by_seed.items()}

    def patient_values(self, score: str, column: Column, name: str) -> dict[str, float]:
        """{patient: value} of a method, averaged over its seeds."""
        return self.by_patient[score, column, name]

    @cached_property
    def cells(self) -> dict[tuple[str, Column, str], Cell]:
        """What stands in the tables, by score, column and method."""
        return {key: self._cell(*key) for key in self.by_seed}

    def _cell(self, score: str, column: Column, name: str) -> Cell:
        rows = [row for rows in self.rows[name, column] for row in rows]
        count = {status: sum(row.status == status for row in rows) for status in STATUSES}
        mean, std = mean_and_spread(self.by_seed[score, column, name])
        if not count["scored"]:
            mean, std = None, None
        n = len(rows) - count["not_applicable"]
        patients = len(self.patient_values(score, column, name))
        return Cell(mean, std, patients, n, count["scored"], count["missed"], count["false_positive"])

    @cached_property
    def differences(self) -> list[Difference]:
        """Every method against the baseline, in every column of every score, with p corrected over the family."""
        found = [
            self._difference(score, column, name)
            for score in self.scores
            for column in self.columns
            for name in self.others
        ]
        families: dict[tuple[str, Column | None], list[int]] = defaultdict(list)
        for place, one in enumerate(found):
            families[one.score, one.column if self.family == "methods" else None].append(place)
        for places in families.values():
            for place, p in zip(places, holm([found[place].p for place in places]), strict=True):
                found[place] = replace(found[place], p_holm=p)
        return found

    @property
    def tests_in_family(self) -> int:
        """How many p values one correction is over."""
        return len(self.others) * (len(self.columns) if self.family == "table" else 1)

    @cached_property
    def by_key(self) -> dict[tuple[str, Column, str], Difference]:
        """The differences by score, column and method; the baseline has none."""
        return {(one.score, one.column, one.method): one for one in self.differences}

    def patient_rows(self) -> Iterator[PatientValue]:
        """Every patient's value by every method except the baseline, for each score and column."""
        for score in self.scores:
            for column in self.columns:
                ours = self.patient_values(score, column, self.baseline)
                for name in self.others:
                    theirs = self.patient_values(score, column, name)
                    for patient in dict.fromkeys(row.patient for row in self.reference.rows(column.modality)):
                        if patient in ours or patient in theirs:
                            yield PatientValue(score, column, patient, name, theirs.get(patient), ours.get(patient))

    @cached_property
    def case_values(self) -> dict[tuple[str, str], dict[str, float]]:
        """(score, method) -> {case: mean over its classes and over seeds}; cases without a value are left out."""
        result = {}
        for score in self.scores:
            for method in self.contenders:
                found: dict[str, list[float]] = defaultdict(list)
                for one in method.seeds:
                    kept = replace(one, scores=_without(one.scores, self.dropped[score]))
                    for case, value in case_means(kept, score).items():
                        found[case].append(value)
                result[score, method.name] = {case: fmean(values) for case, values in found.items()}
        return result

    def losses(self, score: str | None = None) -> list[CaseLoss]:
        """Every case by every method against the baseline, the largest loss first, by the first score or another.

        A case without a value by one of both is left out.
        """
        score = score or self.scores[0]
        sign = -1 if higher_is_better(score) else 1
        cases = {row.case: row for row in self.reference.scores}
        found = []
        for name in self.others:
            for case, row in cases.items():
                value = self.case_values[score, name].get(case)
                base = self.case_values[score, self.baseline].get(case)
                if value is not None and base is not None:
                    remarks = "; ".join(empty_structures(self.contender(name), case))
                    loss = sign * (value - base)
                    found.append(CaseLoss(case, row.patient, row.modality, name, value, base, loss, remarks))
        return sorted(found, key=lambda one: -one.loss)

    def _difference(self, score: str, column: Column, name: str) -> Difference:
        ours = self.patient_values(score, column, self.baseline)
        theirs = self.patient_values(score, column, name)
        patients = [patient for patient in ours if patient in theirs]
        # Sums in another order differ in the last digits: such patients are equal.
        values = np.round([theirs[patient] - ours[patient] for patient in patients], 10)
        test = signed_rank(values)
        sign = 1 if higher_is_better(score) else -1
        gains = sign * values
        return Difference(
            score=score,
            column=column,
            method=name,
            patients=len(patients),
            mean=fmean(values) if patients else None,
            interval=bootstrap_interval(values),
            test=test,
            effect=None if test.effect is None else sign * test.effect,
            better=int((gains > 0).sum()),
            worse=int((gains < 0).sum()),
            equal=int((gains == 0).sum()),
        )


def compare(
    contenders: Sequence[Contender],
    scores: Sequence[str] = DEFAULT_SCORES,
    baseline: str | None = None,
    common: bool = False,
    family: Family = "methods",
    remarks: Sequence[str] = (),
) -> Comparison:
    """Compare methods with a baseline (None: the first) by some scores.

    `family` says over what p values are corrected (Holm): the methods of one column, or everything in one score's
    table; `remarks` come with the warnings. Raises InputError where the methods are not comparable (see
    `require_comparable`), for an unknown score or baseline, and for a preset's column, which counts as its protocol
    does and not as ours.
    """
    names = [method.name for method in contenders]
    chosen = baseline if baseline is not None else (names[0] if names else "")
    if names and chosen not in names:
        raise InputError(f"the baseline {chosen!r} is none of the methods; {nearest(chosen, names)}")
    if not scores or len(set(scores)) != len(scores):
        raise InputError(f"expected scores to compare, each once, got {' '.join(scores) or 'none'}")
    for score in scores:
        if any(score in columns for columns in PRESET_COLUMNS.values()):
            raise InputError(f"{score!r} is a preset's column and can't be tested; {nearest(score, ['dice', 'hd95'])}")
    kept, left_out = require_comparable(contenders, scores, common)
    return Comparison(tuple(kept), chosen, tuple(scores), family, tuple(left_out), tuple(remarks))


def empty_structures(method: Contender, case: str | None = None) -> Iterator[str]:
    """What a method missed or invented in a case: "missed: RV (1 of 3 seeds)"; without one, how often: "missed: RV 5x".

    The number of seeds stands only where several scored the case.
    """
    seeds = sum(any(row.case == case for row in one.scores) for one in method.seeds)
    for status in ("missed", "false_positive"):
        rows = [row for one in method.seeds for row in one.scores if row.status == status and case in (None, row.case)]
        names = []
        for name, count in Counter(row.class_name for row in rows).items():
            of_seeds = f" ({count} of {seeds} seeds)" if seeds > 1 else ""
            names.append(f"{name} {count}x" if case is None else f"{name}{of_seeds}")
        if names:
            yield f"{status.replace('_', ' ')}: {', '.join(names)}"


def _grouped(evaluation: Evaluation) -> dict[Column, list[Score]]:
    found: dict[Column, list[Score]] = defaultdict(list)
    for row in evaluation.scores:
        found[Column(row.modality, row.class_name)].append(row)
        found[Column(row.modality, MEAN)].append(row)
    return found


def _without(rows: Sequence[Score], dropped: set[Key]) -> list[Score]:
    return [row for row in rows if (row.case, row.class_name) not in dropped]
