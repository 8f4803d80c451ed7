"""How often a 95 % interval of a mean difference holds the true mean, with few patients.

    python studies/interval_coverage.py
    python studies/interval_coverage.py --law exponential --patients 6 20
    python studies/interval_coverage.py --patients 7 14 40 --seeds 2 3 5

Draws differences of so many patients from a law whose mean is known, and counts the intervals that hold it: plain
bootstrap percentiles, the expanded ones that every table of this package shows (`bootstrap_interval`), and Student's t.

With `--seeds` there are several trainings, whose means differ by `--spread` standard deviations of the patients, and
what is left differs as patients do: then the interval of patients alone (`bootstrap_interval` of each patient's mean)
and that of other trainings too (`interval_over_seeds`).
"""

import argparse
import datetime
import math

import numpy as np
from scipy import stats

from unpaired.comparison.crossed import interval_over_seeds
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


def coverage_over_seeds(patients: int, seeds: int, spread: float, simulations: int, seed: int) -> np.ndarray:
    """The share of simulations in which the interval of patients alone, and that of trainings too, held the mean."""
    generator = np.random.default_rng([seed, patients, seeds])
    held = np.zeros(2)
    for _ in range(simulations):
        of_patients, of_seeds = generator.normal(size=(1, patients)), spread * generator.normal(size=(seeds, 1))
        differences = of_patients + of_seeds + generator.normal(size=(seeds, patients))
        for place, interval in enumerate(
            (bootstrap_interval(differences.mean(axis=0)), interval_over_seeds([differences]))
        ):
            assert interval is not None  # there are two patients and two seeds at least
            held[place] += interval.low <= 0 <= interval.high
    return held / simulations


def print_over_seeds(options: argparse.Namespace) -> None:
    """Print a Markdown table: a row per spread and way, a column per number of patients and of seeds."""
    sizes = [(patients, seeds) for patients in options.patients for seeds in options.seeds]
    heads = [f"{patients} patients, {seeds} seeds" for patients, seeds in sizes]
    print("| seeds differ by | interval | " + " | ".join(heads) + " |\n|---|---|" + "---:|" * len(sizes))
    for spread in options.spread:
        shares = [coverage_over_seeds(*size, spread, options.simulations, options.seed) for size in sizes]
        for way, row in zip(("patients", "seeds too"), np.transpose(shares), strict=True):
            print(f"| {spread:g} | {way} | " + " | ".join(f"{share:.2f}" for share in row) + " |")


def main() -> None:
    """Print a Markdown table: a row per way, a column per number of patients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--law", choices=LAWS, default="normal")
    parser.add_argument("--patients", type=int, nargs="+", default=[4, 6, 8, 10, 20, 40])
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--spread", type=float, nargs="+", default=[0.0, 0.5, 1.0, 2.0])
    parser.add_argument("--simulations", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{datetime.date.today()}, numpy {np.__version__}")
    print(f"{options.simulations} simulations, {options.law} differences\n")
    if options.seeds:
        print_over_seeds(options)
        return
    shares = [coverage(options.law, count, options.simulations, options.seed) for count in options.patients]
    print("| patients | " + " | ".join(map(str, options.patients)) + " |\n|---|" + "---:|" * len(options.patients))
    for way, row in zip(WAYS, np.transpose(shares), strict=True):
        print(f"| {way} | " + " | ".join(f"{share:.2f}" for share in row) + " |")


if __name__ == "__main__":
    main()
