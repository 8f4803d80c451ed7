"""Several runs of one method: seeds score the same cases, folds score other patients, and each patient counts once.

A method's runs are put into folds: those that score the same cases are its seeds there. All methods must have the same
folds, and a method as many seeds in one fold as in the other, or some patients would count more than others.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from unpaired.choices import some_of
from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Score

SHOWN = 4
Runs = Mapping[str, Sequence[Evaluation]]
"""{method: the evaluation of each of its runs}"""
Fold = dict[str, list[int]]
"""{method: the numbers of its runs that score one set of patients}; a method without any is not in it."""


@dataclass(frozen=True)
class Replicates:
    """How often a method was trained: on `folds` sets of test patients, with `seeds` runs on each.

    `disjoint`: no patient is in two of the sets; else they are repeated random splits rather than folds.
    """

    folds: int
    seeds: int
    disjoint: bool = True

    @property
    def runs(self) -> int:
        """How many runs the method has: its folds times its seeds."""
        return self.folds * self.seeds

    @property
    def unit(self) -> str:
        """What a spread over the runs is over: "seeds", "folds", "splits" or, with both, "runs"."""
        sets = "folds" if self.disjoint else "splits"
        return "seeds" if self.folds == 1 else sets if self.seeds == 1 else "runs"

    def __str__(self) -> str:
        sets = f"{self.folds} {'folds' if self.disjoint else 'splits'}"
        seeds = f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
        return seeds if self.folds == 1 else sets if self.seeds == 1 else f"{sets} x {seeds}"


def match_folds(runs: Runs) -> list[Fold]:
    """The folds of all methods' runs, in order of first appearance.

    Runs belong together if they score (or failed at) the same cases. Where the methods' sets of cases don't agree, runs
    that share a patient belong together, so that what one of them lacks can be named. Raises InputError for a method
    with more runs in one fold than in another.
    """
    known = {row.case for several in runs.values() for run in several for row in run.scores}
    sets = {name: [_cases(run, known) for run in several] for name, several in runs.items()}
    distinct = [set(several) for several in sets.values()]
    nested = any(a < b for a in distinct[0] for b in distinct[0])
    if all(of_method == distinct[0] for of_method in distinct) and not nested:
        keys: Mapping[str, Sequence[object]] = sets
    else:
        keys = _linked(runs)
    folds: dict[object, Fold] = defaultdict(dict)
    for name, several in keys.items():
        for number, key in enumerate(several):
            folds[key].setdefault(name, []).append(number)
    for name in runs:
        _require_balance(name, runs[name], [fold[name] for fold in folds.values() if name in fold])
    return list(folds.values())


def replicates(runs: Sequence[Evaluation]) -> Replicates:
    """How often one method's runs repeat each other; they are balanced as `match_folds` requires."""
    sets = {frozenset(row.case for row in run.scores): {row.patient for row in run.scores} for run in runs}
    disjoint = sum(map(len, sets.values())) == len(frozenset[str]().union(*sets.values()))
    return Replicates(len(sets), len(runs) // len(sets), disjoint)


def merged(runs: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of all cases that the runs score, each case once: by the first run that has it."""
    seen: set[tuple[str, str]] = set()
    scores: list[Score] = []
    for run in runs:
        new = [row for row in run.scores if (row.case, row.class_name) not in seen]
        seen |= {(row.case, row.class_name) for row in new}
        scores += new
    return replace(runs[0], scores=scores)


def patient_averages(by_run: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """{patient: the mean over the runs that have a value for the patient}: seeds are never counted as patients."""
    by_patient: dict[str, list[float]] = defaultdict(list)
    for values in by_run:
        for patient, value in values.items():
            by_patient[patient].append(value)
    return {patient: fmean(values) for patient, values in by_patient.items()}


def mean_and_spread(by_run: Sequence[Mapping[str, float]]) -> tuple[float | None, float | None]:
    """(mean over patients, standard deviation) of {patient: value} by run.

    A patient with several runs is averaged over them first. The deviation is over patients if there is one run, else
    over the runs' means. None without a value, or with fewer than two to deviate.
    """
    values = list(patient_averages(by_run).values())
    spread = values if len(by_run) == 1 else [fmean(run.values()) for run in by_run if run]
    return (
        fmean(values) if values else None,
        float(np.std(spread, ddof=1)) if len(spread) > 1 else None,
    )


def pooled_mean_and_spread(by_run: Sequence[Mapping[str, float]]) -> tuple[float | None, float | None]:
    """(mean, standard deviation) over the patients of all runs together, of {patient: value} by run.

    A patient counts once for each run that has a value: so SSC (app. C.2) reports five random splits of the abdomen.
    None without a value, or with fewer than two to deviate.
    """
    values = [value for run in by_run for value in run.values()]
    return fmean(values) if values else None, float(np.std(values, ddof=1)) if len(values) > 1 else None


def _cases(run: Evaluation, known: set[str]) -> frozenset[str]:
    failed = {failure.case for failure in run.failures}
    return frozenset(row.case for row in run.scores) | frozenset(failed & known)


def _linked(runs: Runs) -> dict[str, list[object]]:
    """A number for each run, equal where runs share a patient, directly or through other runs."""
    groups: list[set[str]] = []
    patients = {name: [{row.patient for row in run.scores} for run in several] for name, several in runs.items()}
    for several in patients.values():
        for of_run in several:
            touched = [group for group in groups if group & of_run]
            groups = [group for group in groups if not group & of_run] + [of_run.union(*touched)]
    return {
        name: [next(place for place, group in enumerate(groups) if group & of_run) for of_run in several]
        for name, several in patients.items()
    }


def _require_balance(name: str, runs: Sequence[Evaluation], folds: Sequence[Sequence[int]]) -> None:
    counts = [len(numbers) for numbers in folds]
    if len(set(counts)) > 1:
        most, least = (folds[counts.index(pick(counts))] for pick in (max, min))
        raise InputError(
            f"{name} has {len(most)} runs with the test patients {_patients(runs[most[0]])}, but {len(least)} with "
            f"{_patients(runs[least[0]])}; give every fold the same number of seeds"
        )


def _patients(run: Evaluation) -> str:
    names = list(dict.fromkeys(row.patient for row in run.scores))
    return some_of(names, SHOWN)
