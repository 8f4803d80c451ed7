"""Is one method better than another on the same patients? Test, interval and effect size of paired differences.

The unit is the patient: cases, slices and seeds are averaged before anything here sees them. With few patients a test
can't answer at all, and `smallest_p` says so beforehand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, stdtrit

from unpaired.errors import InputError

ALPHA = 0.05
EXACT_UP_TO = 500
"""Up to so many differences other than zero p is counted out (0.4 s); beyond, the normal law is as good."""
NOISE = 1e-10
"""Differences closer than this share of the largest are equal: rounding of floats must not make ranks."""
RESAMPLES = 10_000
KEPT = 2_000_000
"""Up to so many counts (16 MB) the drawn patients are kept for the next interval of as many patients."""


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of n paired differences.

    `positive` and `negative` are the rank sums W+ and W-, `zeros` the pairs without a difference, `p` is two-sided (1
    where every difference is zero, None without pairs), `exact` whether it was counted out. `effect` is the matched
    rank-biserial correlation in [-1, 1], None without pairs.
    """

    n: int
    zeros: int
    positive: float
    negative: float
    p: float | None
    exact: bool
    effect: float | None


@dataclass(frozen=True)
class Interval:
    """An interval of the mean difference, in the unit of the differences."""

    low: float
    high: float


def signed_rank(differences: Sequence[float] | np.ndarray) -> SignedRank:
    """The two-sided Wilcoxon signed-rank test, exact also with ties and zeros, and its effect size.

    Equal absolute differences share their mean rank. Zeros are ranked, then dropped (Pratt, J. Am. Stat. Assoc. 54,
    1959): dropping them first (Wilcoxon) lets a patient without any difference raise the significance of the others.
    p counts all 2^m signs of the m ranks that are left, by adding up the distribution of W+ (EXACT_UP_TO; beyond, the
    normal law with the variance of the ranks as they are). The effect is (W+ - W-) / (sum of all ranks), zeros
    included (matched rank-biserial correlation, Kerby, Compr. Psychol. 3, 2014): 1 if every patient gains.
    Raises InputError for values that are not finite.
    """
    values = _checked(differences)
    n = len(values)
    if n == 0:
        return SignedRank(0, 0, 0.0, 0.0, None, True, None)
    sizes = np.abs(values)
    if sizes.max() > 0:
        sizes = np.round(sizes / sizes.max() / NOISE)
    ranks = _mean_ranks(sizes)
    moved = sizes > 0
    positive = float(ranks[moved & (values > 0)].sum())
    negative = float(ranks[moved & (values < 0)].sum())
    exact = int(moved.sum()) <= EXACT_UP_TO
    p = (_exact_p if exact else _normal_p)(ranks[moved], min(positive, negative))
    return SignedRank(n, int((~moved).sum()), positive, negative, p, exact, (positive - negative) / float(ranks.sum()))


def smallest_p(n: int) -> float:
    """The smallest two-sided p that the exact test can give n patients: 2 / 2^n, when all differ in one direction."""
    return min(1.0, 2.0 ** (1 - n))


def patients_needed(comparisons: int = 1, alpha: float = ALPHA) -> int:
    """The fewest patients with which one of so many comparisons can fall below `alpha` after Holm's correction."""
    return math.floor(1 + math.log2(max(comparisons, 1) / alpha)) + 1


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number (Holm, Scand. J. Stat. 6, 1979), in the given order.

    The smallest is multiplied by their number m, the next by m - 1, ...; none gets smaller than the one before it,
    none exceeds 1. A None (no test was possible) stays None and does not count.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected


def bootstrap_interval(
    differences: Sequence[float] | np.ndarray,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    expanded: bool = True,
) -> Interval | None:
    """The percentile bootstrap interval of the mean difference: patients are drawn with replacement.

    With few patients plain percentiles are too narrow: with 6 of them a "95 %" interval held the true mean in 86 % of
    simulations with normal differences, and BCa's (Efron, J. Am. Stat. Assoc. 82, 1987) in 85 %. So the percentiles
    are `expanded` to where Student's t puts the ends (Hesterberg, Am. Stat. 69, 2015, section 5.3): 94 %. The same
    seed gives the same interval. None with fewer than two patients. Raises InputError for values that are not finite.
    """
    values = _checked(differences)
    if not 0 < level < 1 or resamples < 1:
        raise InputError(f"expected 0 < level < 1 and at least one resample, got {level} and {resamples}")
    n = len(values)
    if n < 2:
        return None
    means = _drawn(n, resamples, seed) @ values / n if n * resamples <= KEPT else _means(values, resamples, seed)
    tail = (1 - level) / 2
    if expanded:
        tail = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, tail)))
    low, high = np.quantile(means, (tail, 1 - tail))
    return Interval(float(low), float(high))


@lru_cache(maxsize=4)
def _drawn(n: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, n): how often each patient is drawn."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)


def _means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The mean of each resample, one at a time: for many patients."""
    generator = np.random.default_rng(seed)
    return np.array([values[generator.integers(len(values), size=len(values))].mean() for _ in range(resamples)])


def _mean_ranks(sizes: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal sizes share the mean of theirs."""
    _, place, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _exact_p(ranks: np.ndarray, smaller: float) -> float:
    """The share of all sign patterns whose smaller rank sum is at most `smaller`."""
    doubled = np.rint(2 * ranks).astype(int)  # ranks shared by ties are halves
    chance = np.zeros(doubled.sum() + 1)
    chance[0] = 1.0
    top = 0
    for rank in doubled:
        chance[rank : top + rank + 1] += chance[: top + 1].copy()
        top += int(rank)
        chance[: top + 1] /= 2
    return min(1.0, 2 * float(chance[: round(2 * smaller) + 1].sum()))


def _normal_p(ranks: np.ndarray, smaller: float) -> float:
    spread = math.sqrt(float((ranks**2).sum()) / 4)
    return min(1.0, 2 * float(ndtr((smaller - float(ranks.sum()) / 2) / spread)))


def _checked(differences: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(
            f"expected one finite difference per patient, got {values.tolist() if values.size < 20 else values.shape}; "
            "leave out patients that one of the methods has no score for"
        )
    return values
