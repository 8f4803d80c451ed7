"""How often a 95 % interval of a mean difference holds the true mean, with few patients.

    python studies/interval_coverage.py
    python studies/interval_coverage.py --law exponential --patients 6 20

Draws differences of so many patients from a law whose mean is known, and counts the intervals that hold it: plain
bootstrap percentiles, the expanded ones that every table of this package shows (`bootstrap_interval`), and Student's t.
"""

import argparse
import datetime
import math

import numpy as np
from scipy import stats

from unpaired.statistics import bootstrap_interval

LAWS = {
    "normal": (lambda draw, size: draw.normal(size=size), 0.0),
    "exponential": (lambda draw, size: draw.exponential(size=size), 1.0),
}
WAYS = ("plain percentiles", "expanded (used)", "Student's t")


def held(differences: np.ndarray, mean: float) -> tuple[bool, bool, bool]:
    """Whether each of the three intervals holds `mean`."""
    bootstraps = [bootstrap_interval(differences, expanded=expanded) for expanded in (False, True)]
    reach = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences))
    plain, expanded = (interval is not None and interval.low <= mean <= interval.high for interval in bootstraps)
    return plain, expanded, bool(abs(differences.mean() - mean) <= reach)


def coverage(law: str, patients: int, simulations: int, seed: int) -> np.ndarray:
    """The share of simulations in which each interval held the true mean."""
    draw, mean = LAWS[law]
    generator = np.random.default_rng([seed, patients])
    return np.mean([held(draw(generator, patients), mean) for _ in range(simulations)], axis=0)


def main() -> None:
    """Print a Markdown table: a row per way, a column per number of patients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--law", choices=LAWS, default="normal")
    parser.add_argument("--patients", type=int, nargs="+", default=[4, 6, 8, 10, 20, 40])
    parser.add_argument("--simulations", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{datetime.date.today()}, numpy {np.__version__}")
    print(f"{options.simulations} simulations, {options.law} differences\n")
    shares = [coverage(options.law, count, options.simulations, options.seed) for count in options.patients]
    print("| patients | " + " | ".join(map(str, options.patients)) + " |\n|---|" + "---:|" * len(options.patients))
    for way, row in zip(WAYS, np.transpose(shares), strict=True):
        print(f"| {way} | " + " | ".join(f"{share:.2f}" for share in row) + " |")


if __name__ == "__main__":
    main()
