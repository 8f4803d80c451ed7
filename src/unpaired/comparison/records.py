"""What a comparison consists of: columns, the cells of its table, patients and cases."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Column:
    """A column of the table: a class of a modality, or "mean", the mean over the modality's classes."""

    modality: str
    class_name: str


class Key(NamedTuple):
    """Where a number of a comparison stands: in which table (score), column and row (method)."""

    score: str
    column: Column
    method: str


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
class PatientValue:
    """One patient's value of a score by one method, beside the baseline's; None where there is none."""

    score: str
    column: Column
    patient: str
    method: str
    value: float | None
    baseline: float | None

    @property
    def difference(self) -> float | None:
        """The method's value minus the baseline's; None unless the patient has both."""
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
