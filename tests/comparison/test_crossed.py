"""The interval of a difference for other patients and other trainings, against numbers by hand and by scipy."""

import math

import numpy as np
import pytest
from scipy import stats
from test_replicates import LV, method, run

from unpaired.comparison.cells import interval_text
from unpaired.comparison.comparison import compare
from unpaired.comparison.crossed import SeedDifferences, interval_over_seeds
from unpaired.comparison.files import to_json
from unpaired.comparison.notes import warnings
from unpaired.statistics import Interval


def ends(interval):
    return pytest.approx((interval.low, interval.high))


def t_interval(values, level=0.95):
    """Student's, by scipy: what a crossed interval is where one side has no spread."""
    return Interval(*stats.ttest_1samp(values, 0).confidence_interval(level))


def test_two_trainings_on_three_patients_by_hand():
    # Patients' means 1, 2, 3: variance 1, by three patients 1/3, two degrees of freedom.
    # Trainings' means 3, 1: variance 2, by two trainings 1, one degree. Mean 2, together 4/3.
    differences = np.array([[2.0, 4.0, 3.0], [0.0, 0.0, 3.0]])
    freedom = (4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + 1)
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(4 / 3)
    assert ends(interval_over_seeds([differences])) == (2 - reach, 2 + reach)


def test_trainings_that_agree_leave_the_interval_of_patients():
    of_patients = np.array([0.4, -0.1, 0.9, 0.3])
    assert ends(interval_over_seeds([np.stack([of_patients] * 3)])) == ends(t_interval(of_patients)).expected


def test_patients_who_agree_leave_the_interval_of_trainings():
    of_seeds = np.array([0.4, -0.1, 0.9])
    both = interval_over_seeds([np.stack([of_seeds] * 5, axis=1)])
    assert ends(both) == ends(t_interval(of_seeds)).expected
    assert ends(interval_over_seeds([np.stack([of_seeds] * 5, axis=1)], level=0.8)) == (
        ends(t_interval(of_seeds, 0.8)).expected
    )


def test_each_fold_has_trainings_and_patients_of_its_own():
    """A loop over the definition: patients within their fold, a fold's trainings by its share of the patients."""
    random = np.random.default_rng(0)
    folds = [random.normal(size=(2, 3)), random.normal(size=(2, 5))]
    squares = 0.0
    for fold in folds:
        for patient in range(fold.shape[1]):
            squares += (fold[:, patient].mean() - fold.mean()) ** 2
    parts = [(squares / 6 / 8, 6)]
    parts += [((fold.shape[1] / 8) ** 2 * np.var(fold.mean(axis=1), ddof=1) / 2, 1) for fold in folds]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    mean = np.concatenate(folds, axis=1).mean()
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    assert ends(interval_over_seeds(folds)) == (mean - reach, mean + reach)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_one_training_or_one_patient_has_no_interval(shape):
    assert interval_over_seeds([np.ones((2, 2)), np.ones(shape)]) is None


def test_differences_that_are_all_equal_have_an_interval_without_width():
    assert interval_over_seeds([np.full((2, 3), 0.25)]) == Interval(0.25, 0.25)
    assert interval_over_seeds([]) is None


@pytest.mark.parametrize("seeds", [2, 3])
def test_it_holds_the_truth_where_trainings_differ_as_patients_do(seeds):
    """600 simulations, fixed seed: Student's t over the patients' means alone holds it in about three of four."""
    random, held, alone = np.random.default_rng(0), 0, 0
    for _ in range(600):
        folds = [
            random.normal(size=(1, 7)) + random.normal(size=(seeds, 1)) + random.normal(size=(seeds, 7)) for _ in "ab"
        ]
        interval = interval_over_seeds(folds)
        held += interval.low <= 0 <= interval.high
        of_patients = t_interval(np.concatenate(folds, axis=1).mean(axis=0))
        alone += of_patients.low <= 0 <= of_patients.high
    assert 0.92 < held / 600 < 0.98
    assert alone / 600 < 0.85


def test_a_comparison_shows_and_writes_the_interval():
    a = (run(p=0.5, q=0.5, r=0.5), run(p=0.5, q=0.5, r=0.5))
    b = (run(p=0.52, q=0.54, r=0.53), run(p=0.5, q=0.5, r=0.53))
    one = compare([method("a", *a), method("b", *b)], ["dice"])
    interval = one.seed_differences["dice", LV, "b"].interval
    assert ends(interval) == ends(interval_over_seeds([np.array([[0.02, 0.04, 0.03], [0.0, 0.0, 0.03]])])).expected
    record = next(row for row in to_json(one)["columns"] if row["method"] == "b")
    assert (record["seeds_interval_low"], record["seeds_interval_high"]) == (interval.low, interval.high)
    assert interval_text("dice", interval) == "-3.98 to +7.98"


def test_patients_of_several_splits_are_not_other_patients():
    a = (run(p=0.5, q=0.5), run(p=0.5, q=0.5), run(q=0.5, r=0.5), run(q=0.5, r=0.5))
    b = (run(p=0.6, q=0.7), run(p=0.8, q=0.6), run(q=0.6, r=0.7), run(q=0.8, r=0.6))
    seeds = compare([method("a", *a), method("b", *b)], ["dice"]).seed_differences["dice", LV, "b"]
    assert len(seeds.by_seed) == 2
    assert seeds.interval is None


def test_a_difference_that_holds_over_patients_alone_is_named():
    patients = [f"p{number}" for number in range(8)]
    a = [run(**dict.fromkeys(patients, 0.5))] * 2
    b = [run(**{who: 0.5 + gain + place / 1000 for place, who in enumerate(patients)}) for gain in (0.01, 0.1)]
    said = " ".join(warnings(compare([method("a", *a), method("b", *b)], ["dice"])))
    assert "b differs from a over patients (p 0.0078 after Holm), but 2 trainings are too few, or too far apart" in said
    b[0] = run(**{who: 0.49 + place / 10_000 for place, who in enumerate(patients)})
    said = " ".join(warnings(compare([method("a", *a), method("b", *b)], ["dice"])))
    assert "but not in each training: another seed may turn its sign." in said


@pytest.mark.parametrize(
    ("seeds", "turns"),
    [
        (SeedDifferences(), False),
        (SeedDifferences((0.1, 0.2)), False),
        (SeedDifferences((0.1, -0.2)), True),
        (SeedDifferences((0.1, 0.2), Interval(-0.1, 0.4)), True),
        (SeedDifferences((-0.1, -0.2), Interval(-0.2, -0.1)), False),
    ],
)
def test_a_sign_may_turn_where_a_training_or_the_interval_turns_it(seeds, turns):
    assert seeds.turns is turns
