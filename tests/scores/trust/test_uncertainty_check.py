"""The check of uncertainty: ranks against scipy, coverage by hand, intervals that know how few patients there are."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Score
from unpaired.scores.trust.uncertainty import CaseUncertainty, ClassUncertainty
from unpaired.scores.trust.uncertainty_check import (
    bootstrap_interval,
    check_uncertainty,
    read_check,
    sentences,
    spearman,
    write_check,
)


@pytest.mark.parametrize("n", [3, 6, 40])
@pytest.mark.parametrize("ties", [False, True])
def test_ranks_correlate_as_scipy_says(n: int, ties: bool) -> None:
    rng = np.random.default_rng(n)
    for _ in range(10):
        first, second = rng.normal(size=(2, n))
        if ties:
            first, second = np.round(first), np.round(second)
        if len(set(first)) > 1 and len(set(second)) > 1:
            assert spearman(list(first), list(second)) == pytest.approx(spearmanr(first, second).statistic)


def test_what_has_no_ranks_has_no_correlation() -> None:
    assert spearman([], []) is None
    assert spearman([0.1, 0.2], [0.1, 0.2]) is None
    assert spearman([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]) is None
    assert spearman([1, 2, 3], [10, 20, 5000]) == 1
    assert spearman([1, 2, 3], [3, 2, 1]) == -1


def test_the_interval_narrows_with_patients_and_holds_the_estimate() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (6, 20, 80):
        first = rng.normal(size=n)
        second = first + rng.normal(size=n)
        found = bootstrap_interval(list(first), list(second), [f"p{i}" for i in range(n)])
        assert found is not None
        rho = spearman(list(first), list(second))
        assert rho is not None
        assert found[0] <= rho <= found[1]
        widths.append(found[1] - found[0])
    assert all(before > after for before, after in pairwise(widths))


def test_the_interval_is_of_patients_not_of_their_cases() -> None:
    """Four scans of each patient, all alike, are no four times as many patients."""
    rng = np.random.default_rng(1)
    first = list(rng.normal(size=8))
    second = [value + noise for value, noise in zip(first, rng.normal(size=8), strict=True)]
    names = [f"p{i}" for i in range(8)]
    once = bootstrap_interval(first, second, names)
    four = bootstrap_interval(first * 4, second * 4, names * 4)
    pretended = bootstrap_interval(first * 4, second * 4, [f"p{i}" for i in range(32)])
    assert once is not None
    assert four == pytest.approx(once, abs=0.02)
    assert pretended is not None
    assert pretended[1] - pretended[0] < 0.8 * (once[1] - once[0])


def test_few_patients_get_no_interval() -> None:
    assert bootstrap_interval([1, 2, 3], [1, 2, 3], ["a", "b", "c"]) is None
    assert bootstrap_interval([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], ["a", "b", "c", "c", "c"]) is None
    assert bootstrap_interval([1, 1, 1, 1], [1, 2, 3, 4], list("abcd")) is None
    assert bootstrap_interval([1, 2, 3, 4], [1, 2, 3, 4], list("abcd")) == bootstrap_interval(
        [1, 2, 3, 4], [1, 2, 3, 4], list("abcd")
    )


def uncertain(case: str, agreement: float | None, low: float = 1.0, high: float = 2.0) -> CaseUncertainty:
    return CaseUncertainty(case, "ct", (ClassUncertainty(case, "ct", "LV", 4, 1.5, low, high, agreement),))


def score(case: str, dice: float | None, true_ml: float | None, status: str = "scored") -> Score:
    return Score(case, case[0], "ct", "LV", status, dice, reference_ml=true_ml)


def test_coverage_and_ranks_by_hand() -> None:
    cases = [uncertain("a", 0.9), uncertain("b", 0.8), uncertain("c", 0.2), uncertain("d", None, 0.0, 0.0)]
    evaluation = Evaluation(
        [
            score("a", 0.95, 1.0),  # on the end of the interval: in it
            score("b", 0.90, 2.5),  # beyond
            score("c", 0.40, 1.7),  # in it
            score("d", 0.0, 3.0, "missed"),  # nobody found it
        ],
        [],
    )
    check = check_uncertainty(cases, evaluation)
    (lv, mean) = check.rows
    assert (lv.class_name, lv.n, lv.patients, lv.covered, lv.rho) == ("LV", 4, 4, 2, 1.0)
    assert (mean.class_name, mean.n, mean.covered, mean.rho) == ("mean", 4, None, 1.0)
    assert {point.case: point.agreement for point in check.points}["d"] == 0
    (line,) = sentences(check)
    assert line.startswith("ct: rank correlation of agreement and Dice +1.00 (95 % interval ")
    assert line.endswith("4 cases; 2 of 4 true volumes in their interval")


def test_what_is_not_applicable_or_not_scored_is_left_out() -> None:
    cases = [uncertain("a", 0.9), uncertain("b", 0.8), uncertain("x", 0.1)]
    evaluation = Evaluation([score("a", 0.9, 1.5), score("b", None, None, "not_applicable")], [])
    check = check_uncertainty(cases, evaluation)
    assert [(row.class_name, row.n, row.rho) for row in check.rows] == [("LV", 1, None), ("mean", 1, None)]
    assert [point.case for point in check.points] == ["a"]
    assert "can't be computed, 1 cases" in sentences(check)[0]
    with pytest.raises(InputError, match="none of the cases with an uncertainty was scored"):
        check_uncertainty([uncertain("x", 0.1)], evaluation)


def test_it_is_read_back_as_written(tmp_path: Path) -> None:
    check = check_uncertainty([uncertain("a", 0.9)], Evaluation([score("a", 0.9, 1.5)], []))
    write_check(check, tmp_path)
    assert read_check(tmp_path) == check
    (tmp_path / "uncertainty_check.json").write_text('{"schema": 1, "rows": [{}]}')
    with pytest.raises(InputError, match="not the check of this version"):
        read_check(tmp_path)
    (tmp_path / "uncertainty_check.json").write_text("3")
    with pytest.raises(InputError, match="schema 1"):
        read_check(tmp_path)
    with pytest.raises(InputError, match="--mirror or --also"):
        read_check(tmp_path / "nowhere")
