"""Does a class that is said to be 80 % likely turn out to be there in 80 % of the voxels? Bins, ECE and Brier score.

Each class is judged one-versus-rest: its probability in every voxel against whether the voxel is of that class. ECE is
the mean distance between the probability said and the frequency found over `BINS` bins of equal width, weighted by
their voxels (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, eq. 3, there for the likeliest class;
per class as in Nixon et al., Measuring Calibration in Deep Learning, CVPR workshops 2019). The Brier score of a class
is the mean squared difference (Brier, Mon. Weather Rev. 78, 1950); the sum over all classes is the usual one.

Only voxels near the structures count: the box around every foreground voxel of the reference or the prediction, wider
by `MARGIN_MM` on each side. Far background is easy, there is as much of it as the scan is large, and it makes any
network look calibrated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.errors import InputError

BINS = 15
MARGIN_MM = 10.0
EDGE = 1e-5
"""A probability this close above a bin's upper end still belongs to it: stored steps of 1/255 meet the ends."""


@dataclass(frozen=True)
class BinCounts:
    """Sums over voxels, arrays (class, bin): voxels, their probabilities, those that are of the class; `squared`
    (class,) holds the sums of squared differences. Counts of several cases are added with `+`."""

    voxels: np.ndarray
    probability: np.ndarray
    positive: np.ndarray
    squared: np.ndarray

    def __add__(self, other: "BinCounts") -> "BinCounts":
        return BinCounts(
            self.voxels + other.voxels,
            self.probability + other.probability,
            self.positive + other.positive,
            self.squared + other.squared,
        )

    def ece(self, number: int) -> float | None:
        """Expected calibration error of a class, in [0, 1]; None without voxels."""
        total = int(self.voxels[number].sum())
        # Voxels times |mean probability - frequency| is |sum of probabilities - positives|.
        gaps = np.abs(self.probability[number] - self.positive[number])
        return float(gaps.sum() / total) if total else None

    def brier(self, number: int) -> float | None:
        """Brier score of a class, in [0, 1]; None without voxels."""
        total = int(self.voxels[number].sum())
        return float(self.squared[number] / total) if total else None


@dataclass(frozen=True)
class Bin:
    """One bin (low, high] of the reliability plot; no mean and no frequency where it is empty."""

    low: float
    high: float
    voxels: int
    mean_probability: float | None
    frequency: float | None


@dataclass(frozen=True)
class ClassCalibration:
    """One class in one modality, voxels of all cases together; `ece_of_cases` is the mean of the cases' own ECE.

    Together, one case's overconfidence can make up for another's doubt; the mean over cases does not forgive that.
    Numbers are None where the class was annotated in no case.
    """

    modality: str
    class_name: str
    cases: int
    voxels: int
    ece: float | None
    ece_of_cases: float | None
    brier: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class CaseCalibration:
    """One case with the counts of its bins, from which every number about calibration is made."""

    case: str
    modality: str
    counts: BinCounts


def count_bins(
    probabilities: np.ndarray, reference: np.ndarray, label_sets: Sequence[Sequence[int]], bins: int = BINS
) -> BinCounts:
    """Count one case, or one box of it.

    `probabilities` is (class, *spatial) in [0, 1]; `reference` (*spatial) holds indices into `label_sets`, whose first
    C entries are the single classes: a voxel that stands for several classes counts for none of them. Bins are
    (k / bins, (k + 1) / bins], the first takes 0 too. No voxels give counts of 0. Raises InputError for shapes that
    differ, indices out of range, fewer than one bin.
    """
    classes = len(probabilities)
    if probabilities.shape[1:] != reference.shape:
        raise InputError(
            f"expected probabilities (class, *{reference.shape}) as the reference has it, got {probabilities.shape}"
        )
    if bins < 1:
        raise InputError(f"expected one bin or more, got {bins}")
    if reference.size and not 0 <= int(reference.min()) <= int(reference.max()) < len(label_sets):
        raise InputError(
            f"expected reference values in 0..{len(label_sets) - 1}, got {reference.min()}..{reference.max()}"
        )
    truth = reference.ravel()
    shape = (classes, bins)
    counts = BinCounts(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64), np.zeros(classes))
    for number in range(classes):
        unknown = np.array([len(members) > 1 and number in members for members in label_sets])
        known = ~unknown[truth]
        said = probabilities[number].ravel()[known].astype(np.float64)
        there = truth[known] == number
        place = np.ceil(said * bins - EDGE).astype(np.intp).clip(1, bins) - 1
        counts.voxels[number] = np.bincount(place, minlength=bins)
        counts.probability[number] = np.bincount(place, weights=said, minlength=bins)
        counts.positive[number] = np.bincount(place[there], minlength=bins)
        counts.squared[number] = np.square(said - there).sum()
    return counts


def foreground_box(foreground: np.ndarray, spacing_mm: Sequence[float], margin_mm: float) -> tuple[slice, ...] | None:
    """The box around the true voxels of a mask, wider by `margin_mm` (rounded up to voxels); None if there is none."""
    box: list[slice] = []
    for axis, (size, spacing) in enumerate(zip(foreground.shape, spacing_mm, strict=True)):
        hit = np.flatnonzero(foreground.any(axis=tuple(other for other in range(foreground.ndim) if other != axis)))
        if not len(hit):
            return None
        margin = int(np.ceil(margin_mm / spacing))
        box.append(slice(max(0, int(hit[0]) - margin), min(size, int(hit[-1]) + 1 + margin)))
    return tuple(box)


def is_foreground(reference: np.ndarray, label_sets: Sequence[Sequence[int]]) -> np.ndarray:
    """Voxels of a reference that are no background for sure: of none of the sets with class 0 in it."""
    return np.array([0 not in members for members in label_sets])[reference]


def summarize(cases: Sequence[CaseCalibration], classes: Sequence[str]) -> list[ClassCalibration]:
    """For each modality (in order of appearance) and class (with background): its calibration over all cases."""
    rows: list[ClassCalibration] = []
    for modality in dict.fromkeys(case.modality for case in cases):
        counts = [case.counts for case in cases if case.modality == modality]
        together = sum(counts[1:], counts[0])
        for number, name in enumerate(classes):
            single = [value for of_case in counts if (value := of_case.ece(number)) is not None]
            rows.append(
                ClassCalibration(
                    modality,
                    name,
                    len(single),
                    int(together.voxels[number].sum()),
                    together.ece(number),
                    sum(single) / len(single) if single else None,
                    together.brier(number),
                    tuple(_bins(together, number)),
                )
            )
    return rows


def _bins(counts: BinCounts, number: int) -> list[Bin]:
    total = counts.voxels.shape[1]
    rows: list[Bin] = []
    for index in range(total):
        voxels = int(counts.voxels[number, index])
        mean = float(counts.probability[number, index] / voxels) if voxels else None
        frequency = float(counts.positive[number, index] / voxels) if voxels else None
        rows.append(Bin(index / total, (index + 1) / total, voxels, mean, frequency))
    return rows
