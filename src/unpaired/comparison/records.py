"""What a comparison consists of: columns, the cells of its table, paired differences, patients and cases."""

from dataclasses import dataclass

from unpaired.statistics import ALPHA, Interval, SignedRank


@dataclass(frozen=True)
class Column:
    """A column of the table: one class in one modality, or "mean", all its classes."""

    modality: str
    class_name: str


@dataclass(frozen=True)
class Cell:
    """One method in one column. `mean` is None where no structure was scored, `std` with fewer than two values.

    With one run `std` is over patients, with more (seeds, folds) over the runs' means. The counts are of structures
    (cases, in "mean" times classes), summed over runs; `n` = scored + missed + false positive.
    """

    mean: float | None
    std: float | None
    patients: int
    n: int
    n_scored: int
    n_missed: int
    n_false_positive: int


@dataclass(frozen=True)
class Difference:
    """One method minus the baseline in one column of one score, over the patients that both have a value for.

    `mean` and `interval` are in the score's unit; `better`, `worse` and `equal` count patients and `effect` in [-1, 1]
    is positive where the method is better, whichever direction of the score that is. `p` is the test's, `p_holm`
    corrected.
    """

    score: str
    column: Column
    method: str
    patients: int
    mean: float | None
    interval: Interval | None
    test: SignedRank
    effect: float | None
    better: int
    worse: int
    equal: int
    p_holm: float | None = None

    @property
    def p(self) -> float | None:
        """Two-sided, before the correction."""
        return self.test.p

    @property
    def significant(self) -> bool:
        """Whether the corrected p is below 0.05."""
        return self.p_holm is not None and self.p_holm < ALPHA


@dataclass(frozen=True)
class PatientValue:
    """One patient's value of a score by one method, beside the baseline's (None where one has none)."""

    score: str
    column: Column
    patient: str
    method: str
    value: float | None
    baseline: float | None

    @property
    def difference(self) -> float | None:
        """Method minus baseline."""
        return None if self.value is None or self.baseline is None else self.value - self.baseline


@dataclass(frozen=True)
class CaseLoss:
    """How much one method loses against the baseline in one case: positive `loss` is worse, in the score's unit."""

    case: str
    patient: str
    modality: str
    method: str
    value: float
    baseline: float
    loss: float
    remarks: str
