"""Seeds and folds against numbers worked out by hand: every patient once, whatever the number of runs."""

from statistics import fmean, stdev

import pytest

from unpaired.comparison.cells import row_name, seeds_text
from unpaired.comparison.cells import test_cells as cells_of_tests
from unpaired.comparison.cells import test_headings as headings_of_tests
from unpaired.comparison.comparison import compare, empty_structures
from unpaired.comparison.contenders import Contender
from unpaired.comparison.crossed import SeedDifferences
from unpaired.comparison.files import to_json
from unpaired.comparison.records import Column, Key
from unpaired.comparison.replicates import (
    Replicates,
    match_folds,
    mean_and_spread,
    merged,
    pooled_mean_and_spread,
    replicates,
)
from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Failure, Score

LV = Column("ct", "LV")


def run(failed=(), **dice):
    """{patient: Dice of the LV}; None is a missed one."""
    rows = [
        Score(p, p, "ct", "LV", "missed" if value is None else "scored", value or 0.0, reference_ml=5.0)
        for p, value in dice.items()
    ]
    return Evaluation(rows, [Failure(case, "unreadable") for case in failed])


def method(name, *runs):
    return Contender(name, runs)


def refused(*methods, **options):
    with pytest.raises(InputError) as error:
        compare(methods, ["dice"], **options)
    assert "\n" not in str(error.value)
    return str(error.value)


FOLDS_A = (run(a=0.5, b=0.6, c=0.7), run(d=0.8, e=0.9))
FOLDS_B = (run(d=0.9, e=0.95), run(a=0.6, b=0.65, c=0.7))


# ---- what runs are to each other


@pytest.mark.parametrize(
    ("runs", "expected", "words", "unit"),
    [
        ([run(a=1)], Replicates(1, 1), "1 seed", "seeds"),
        ([run(a=1), run(a=0.5)], Replicates(1, 2), "2 seeds", "seeds"),
        ([run(a=1), run(b=1), run(c=1)], Replicates(3, 1), "3 folds", "folds"),
        ([run(a=1), run(b=1), run(b=0), run(a=0)], Replicates(2, 2), "2 folds x 2 seeds", "runs"),
        ([run(a=1, b=1), run(b=1, c=1)], Replicates(2, 1, disjoint=False), "2 splits", "splits"),
    ],
)
def test_seeds_and_folds_are_told_from_the_patients(runs, expected, words, unit):
    found = replicates(runs)
    assert (found, str(found), found.unit, found.runs) == (expected, words, unit, len(runs))


def test_runs_are_matched_by_their_patients_whatever_their_order():
    folds = match_folds({"a": FOLDS_A, "b": FOLDS_B})
    assert folds == [{"a": [0], "b": [1]}, {"a": [1], "b": [0]}]


def test_seeds_of_a_fold_stand_together():
    a = (FOLDS_A[0], FOLDS_A[1], FOLDS_A[0], FOLDS_A[1])
    assert match_folds({"a": a, "b": FOLDS_B}) == [{"a": [0, 2], "b": [1]}, {"a": [1, 3], "b": [0]}]


def test_a_seed_that_lacks_a_case_is_no_fold_of_its_own():
    short = (run(a=0.5, b=0.6), run(a=0.5))
    assert match_folds({"a": short, "b": short}) == [{"a": [0, 1], "b": [0, 1]}]


def test_a_case_that_failed_still_belongs_to_its_fold():
    failing = (run(a=0.5, failed=("b",)), run(c=0.5, d=0.5))
    folds = match_folds({"a": (run(a=0.5, b=0.5), run(c=0.5, d=0.5)), "b": failing})
    assert folds == [{"a": [0], "b": [0]}, {"a": [1], "b": [1]}]


def test_repeated_random_splits_may_share_patients():
    splits = (run(a=0.5, b=0.6), run(b=0.8, c=0.7))
    one = compare([method("x", *splits), method("y", *splits)], ["dice"])
    assert one.patient_values("dice", LV, "x") == {"a": 0.5, "b": pytest.approx(0.7), "c": 0.7}
    assert row_name(one, "x") == "x (2 splits)"


def test_the_merged_scores_have_each_case_once():
    one = merged([run(a=0.5, b=0.6), run(b=0.8, c=0.7)])
    assert {row.case: row.dice for row in one.scores} == {"a": 0.5, "b": 0.6, "c": 0.7}


def test_pooled_patients_count_once_for_each_run():
    # 1, 2 and 3 deviate by 1 from their mean; patient by patient they would be 2 (a) and 2 (b).
    assert pooled_mean_and_spread([{"a": 1.0, "b": 2.0}, {"a": 3.0}]) == (2.0, 1.0)
    assert pooled_mean_and_spread([{"a": 0.5}, {}]) == (0.5, None)
    assert pooled_mean_and_spread([{}]) == (None, None)


def test_nothing_has_no_mean():
    assert mean_and_spread([{}]) == (None, None)
    assert mean_and_spread([{"a": 0.5}]) == (0.5, None)


# ---- folds in a comparison


def test_folds_by_hand():
    one = compare([method("x", *FOLDS_A), method("y", *FOLDS_B)], ["dice"])
    cell = one.cells["dice", LV, "x"]
    # Each patient once: (0.5 + 0.6 + 0.7 + 0.8 + 0.9) / 5; the folds' means are 0.6 and 0.85.
    assert (cell.mean, cell.std) == (pytest.approx(0.7), pytest.approx(stdev([0.6, 0.85])))
    assert (cell.patients, cell.n, cell.n_scored) == (5, 5, 5)
    found = one.differences["dice", LV, "y"]
    differences = [0.1, 0.05, 0.0, 0.1, 0.05]
    assert (found.patients, found.better, found.worse, found.equal) == (5, 4, 0, 1)
    assert found.mean == pytest.approx(fmean(differences))
    # Pratt, worked out: ranks of the differences are 1 (the zero), 2.5, 2.5, 4.5, 4.5; all positive, so 2 of 16 signs.
    assert found.p == pytest.approx(2 / 16)
    assert row_name(one, "x") == "x (2 folds)"
    assert to_json(one)["methods"][0] == {"name": "x", "folds": 2, "seeds": 1, "places": []}
    assert {row["std_over"] for row in to_json(one)["columns"]} == {"folds"}


def test_three_seeds_against_three_seeds_is_one_test_over_patients():
    gains = [0.01, 0.03, -0.02, 0.05, 0.04, 0.06]
    a = [run(**{f"p{k}": 0.5 + 0.02 * seed for k in range(6)}) for seed in range(3)]
    b = [run(**{f"p{k}": 0.5 + 0.04 * seed + gain for k, gain in enumerate(gains)}) for seed in range(3)]
    one = compare([method("a", *a), method("b", *b)], ["dice"])
    found = one.differences["dice", LV, "b"]
    # Means over seeds: 0.52 for a in every patient, 0.54 + gain for b.
    expected = [0.02 + gain for gain in gains]
    assert found.patients == 6
    assert found.mean == pytest.approx(fmean(expected))
    # One difference is zero and the other five are positive: 2 of 2^5 patterns of signs.
    assert found.p == pytest.approx(2 / 32)
    assert one.cells["dice", LV, "a"].std == pytest.approx(0.02)
    assert one.cells["dice", LV, "b"].std == pytest.approx(0.04)


def test_folds_times_seeds_against_folds_with_one():
    a = (run(p=0.4, q=0.6), run(p=0.6, q=0.8), run(r=0.5, s=0.7), run(r=0.7, s=0.9))
    b = (run(p=0.6, q=0.8), run(r=0.7, s=0.9))
    one = compare([method("a", *a), method("b", *b)], ["dice"])
    assert one.patient_values("dice", LV, "a") == {
        "p": pytest.approx(0.5),
        "q": pytest.approx(0.7),
        "r": pytest.approx(0.6),
        "s": pytest.approx(0.8),
    }
    assert one.differences["dice", LV, "b"].mean == pytest.approx(0.1)
    assert (row_name(one, "a"), row_name(one, "b")) == ("a (2 folds x 2 seeds)", "b (2 folds)")
    assert one.cells["dice", LV, "a"].std == pytest.approx(stdev([0.5, 0.7, 0.6, 0.8]))


def test_each_seed_is_a_difference_over_the_patients_of_all_folds():
    # Seeds stand in the order given within a fold, whatever the order of the folds.
    a = (run(p=0.4, q=0.6), run(r=0.5), run(p=0.6, q=0.8), run(r=0.8))
    b = (run(r=0.6), run(p=0.5, q=0.6), run(r=0.5), run(p=0.6, q=0.5))
    one = compare([method("a", *a), method("b", *b)], ["dice"])
    # First trainings: 0.1 (p), 0.0 (q), 0.1 (r); second ones: 0.0, -0.3, -0.3.
    assert one.seed_differences["dice", LV, "b"].by_seed == (pytest.approx(0.2 / 3), pytest.approx(-0.2))
    assert one.differences["dice", LV, "b"].mean == pytest.approx((0.2 / 3 - 0.2) / 2)
    assert one.seed_differences["dice", LV, "b"].interval is None, "a fold of one patient has no spread"
    shown = dict(zip(headings_of_tests(one), cells_of_tests(one, Key("dice", LV, "b")), strict=True))
    assert (shown["each seed"], shown["95 %, seeds too"], shown["patients"]) == ("+6.67, -20.00", "–", "3")
    assert list(shown)[6:8] == ["95 % interval", "95 %, seeds too"]
    record = next(row for row in to_json(one)["columns"] if row["method"] == "b")
    assert (record["seeds_lowest"], record["seeds_highest"]) == (pytest.approx(-0.2), pytest.approx(0.2 / 3))


def test_trainings_are_not_paired_where_one_method_has_fewer():
    a, b = (run(p=0.4, q=0.6), run(p=0.6, q=0.8)), (run(p=0.6, q=0.8),)
    one = compare([method("a", *a), method("b", *b)], ["dice"])
    assert one.seed_differences == {("dice", LV, "b"): SeedDifferences()}
    assert "each seed" not in headings_of_tests(one)
    assert {row["seeds_lowest"] for row in to_json(one)["columns"]} == {None}


def test_many_seeds_are_told_by_the_lowest_and_the_highest():
    assert seeds_text("dice", (0.015, -0.0218)) == "+1.50, -2.18"
    assert seeds_text("hd95", (0.5, -2.0, 1.25, 0.0)) == "-2.00 to +1.25 (4)"
    assert seeds_text("dice", ()) == "–"


def test_every_patient_of_every_fold_is_shown_once():
    one = compare([method("x", *FOLDS_A), method("y", *FOLDS_B)], ["dice"])
    assert [row.patient for row in one.patient_rows()] == list("abcde")
    assert {loss.case for loss in one.losses()} == set("abcde")


def test_a_missed_structure_is_counted_among_the_seeds_that_scored_its_case():
    x = method("x", run(a=None, b=0.5), run(a=0.5, b=0.5), run(c=None), run(c=None))
    assert list(empty_structures(x, "a")) == ["missed: LV (1 of 2 seeds)"]
    assert list(empty_structures(method("x", run(a=None), run(b=0.5)), "a")) == ["missed: LV"]


# ---- what is refused


def test_other_patients_are_refused_in_one_line():
    assert "y lacks 2 of the structures or cases compared: d, e (none of its runs scored it)" in refused(
        method("x", *FOLDS_A), method("y", FOLDS_B[1])
    )
    message = refused(method("x", run(a=0.5)), method("y", run(b=0.5)))
    assert "x lacks 1 of the structures or cases compared: b" in message
    assert "y lacks 1 of the structures or cases compared: a" in message


def test_a_fold_with_more_seeds_than_another_is_refused():
    x = method("x", *FOLDS_A, FOLDS_A[0])
    assert "x has 2 runs with the test patients a, b, c, but 1 with d, e; give every fold" in refused(
        x, method("y", *FOLDS_B)
    )


def test_a_missing_fold_is_left_out_when_told_so_and_said():
    one = compare([method("x", *FOLDS_A), method("y", FOLDS_B[1])], ["dice"], common=True)
    assert [row.patient for row in one.reference.scores] == ["a", "b", "c"]
    assert [(item.case, item.method) for item in one.left_out] == [("d", "y"), ("e", "y")]
    assert one.differences["dice", LV, "y"].patients == 3


def test_folds_without_a_common_case_are_refused_even_then():
    assert "no scored case in common" in refused(method("x", run(a=0.5)), method("y", run(b=0.5)), common=True)
