"""A difference by each training of two methods: how far it would move with other patients and other seeds.

A test over patients alone says what other patients would give to these networks. Another training of the same recipe
(its seed, the draw of its labels) can move a difference more than they do.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.special import stdtrit

from unpaired.comparison.replicates import Fold, patient_averages
from unpaired.statistics import Interval

Values = Mapping[str, Sequence[Mapping[str, float]]]
"""{method: {patient: value} of each of its runs}"""


@dataclass(frozen=True)
class SeedDifferences:
    """A method minus the baseline by training, in the unit of the values.

    `by_seed`: the mean over patients of each training, beside the baseline's; empty where the two weren't trained
    equally often, or once. `interval`: 95 %, for other patients and other trainings (`interval_over_seeds`); None
    where a fold has one patient or a patient is in several.
    """

    by_seed: tuple[float, ...] = ()
    interval: Interval | None = None

    @property
    def turns(self) -> bool:
        """Whether another training may turn the sign, as one of these does or as the interval allows."""
        ends = [*self.by_seed, *([] if self.interval is None else (self.interval.low, self.interval.high))]
        return bool(ends) and min(ends) <= 0 <= max(ends)


def seed_differences(folds: Sequence[Fold], name: str, baseline: str, values: Values) -> SeedDifferences:
    """The differences of a method's trainings from the baseline's beside them.

    Trainings of a fold are paired in the order in which they were given, and the first of all folds make one
    difference, the second another.
    """
    seeds = {len(fold.get(method, ())) for fold in folds for method in (name, baseline)}
    if len(seeds) != 1 or max(seeds) < 2:
        return SeedDifferences()
    by_seed = list[float]()
    for seed in range(max(seeds)):
        of_method, of_baseline = (
            patient_averages([values[method][fold[method][seed]] for fold in folds]) for method in (name, baseline)
        )
        paired = [of_method[patient] - of_baseline[patient] for patient in of_method if patient in of_baseline]
        if not paired:
            return SeedDifferences()
        by_seed.append(fmean(paired))
    return SeedDifferences(tuple(by_seed), interval_over_seeds(_by_fold(folds, name, baseline, values)))


def _by_fold(folds: Sequence[Fold], name: str, baseline: str, values: Values) -> list[np.ndarray]:
    """(seeds, patients) differences of each fold, of patients whom all its trainings of both score.

    Empty where a patient is in several folds, so that their patients are not others.
    """
    known, differences = set[str](), list[np.ndarray]()
    for fold in folds:
        pairs = [
            (values[name][mine], values[baseline][theirs])
            for mine, theirs in zip(fold[name], fold[baseline], strict=True)
        ]
        everywhere = set.intersection(*({*mine} & {*theirs} for mine, theirs in pairs))
        if everywhere & known:
            return []
        known |= everywhere
        patients = sorted(everywhere)
        differences.append(np.array([[mine[who] - theirs[who] for who in patients] for mine, theirs in pairs]))
    return differences


def interval_over_seeds(folds: Sequence[np.ndarray], level: float = 0.95) -> Interval | None:
    """The interval of a mean difference when patients and trainings are both random; None without a spread of either.

    Each of `folds` is (seeds, patients), at least 2 x 2: the differences of a fold's trainings on its patients, who are
    in no other fold. The variance is that of the patients' means over the trainings, plus that of the trainings' means
    over the patients, each by its number: what is neither the patient's nor the training's counts twice, so with few of
    both the interval is rather too wide than too narrow. Degrees of freedom after Welch and Satterthwaite
    (Satterthwaite, Biometrics Bull. 2, 1946). Readers and cases are crossed in this way in radiology (Hillis, Stat.
    Med. 26, 2007). docs/how-to/compare.md says how often such intervals hold.
    """
    if not folds or any(min(fold.shape) < 2 for fold in folds):
        return None
    patients = sum(fold.shape[1] for fold in folds)
    within = patients - len(folds)
    squares = sum(float(((fold.mean(axis=0) - fold.mean()) ** 2).sum()) for fold in folds)
    parts = [(squares / within / patients, within)]
    for fold in folds:
        seeds, of_fold = fold.shape
        variance = float(fold.mean(axis=1).var(ddof=1))
        parts.append(((of_fold / patients) ** 2 * variance / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    mean = sum(float(fold.mean()) * fold.shape[1] for fold in folds) / patients
    if variance == 0:
        return Interval(mean, mean)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = -float(stdtrit(freedom, (1 - level) / 2)) * math.sqrt(variance)
    return Interval(mean - reach, mean + reach)
