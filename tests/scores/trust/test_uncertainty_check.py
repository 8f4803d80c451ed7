"""The check of uncertainty: rank correlation and coverage by hand, what is left out, the file."""

from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Score
from unpaired.scores.trust.uncertainty import CaseUncertainty, ClassUncertainty
from unpaired.scores.trust.uncertainty_check import (
    CheckRow,
    UncertaintyCheck,
    check_uncertainty,
    read_check,
    sentences,
    write_check,
)
from unpaired.statistics import spearman_interval


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


def test_the_interval_is_over_patients_however_many_cases_they_have() -> None:
    agreement, dice = [0.9, 0.8, 0.3, 0.6, 0.5, 0.7], [0.95, 0.7, 0.4, 0.8, 0.5, 0.6]
    names = [f"{patient}{number}" for number in (1, 2) for patient in "abcdef"]  # each scanned twice, alike
    cases = [uncertain(name, value) for name, value in zip(names, agreement * 2, strict=True)]
    scores = [score(name, value, 1.5) for name, value in zip(names, dice * 2, strict=True)]
    for row in check_uncertainty(cases, Evaluation(scores, [])).rows:
        assert (row.n, row.patients) == (12, 6)
        once = spearman_interval(agreement, dice, list("abcdef"), 2000)
        assert once is not None
        assert (row.low, row.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_what_is_not_applicable_or_not_scored_is_left_out() -> None:
    cases = [uncertain("a", 0.9), uncertain("b", 0.8), uncertain("x", 0.1)]
    evaluation = Evaluation([score("a", 0.9, 1.5), score("b", None, None, "not_applicable")], [])
    check = check_uncertainty(cases, evaluation)
    assert [(row.class_name, row.n, row.rho) for row in check.rows] == [("LV", 1, None), ("mean", 1, None)]
    assert [point.case for point in check.points] == ["a"]
    assert "can't be computed over 1 case; " in sentences(check)[0]
    with pytest.raises(InputError, match="none of the cases with an uncertainty was scored"):
        check_uncertainty([uncertain("x", 0.1)], evaluation)


def test_it_is_read_back_as_written(tmp_path: Path) -> None:
    check = check_uncertainty([uncertain("a", 0.9)], Evaluation([score("a", 0.9, 1.5)], []))
    write_check(check, tmp_path)
    assert read_check(tmp_path) == check
    (tmp_path / "uncertainty_check.json").write_text('{"schema": 1, "rows": [{}]}')
    with pytest.raises(InputError, match=r"rows\[0\]: lacks 'modality'; run `unpaired evaluate` again"):
        read_check(tmp_path)
    (tmp_path / "uncertainty_check.json").write_text("3")
    with pytest.raises(InputError, match="schema 1"):
        read_check(tmp_path)
    with pytest.raises(InputError, match="--mirror or --also"):
        read_check(tmp_path / "nowhere")


def test_half_an_interval_of_a_file_is_none() -> None:
    row = CheckRow("ct", "mean", 3, 2, 0.5, 0.1, 0.9, None)
    (whole,) = sentences(UncertaintyCheck((row,), ()))
    assert "(95 % interval +0.10 to +0.90)" in whole
    for half in (replace(row, low=None), replace(row, high=None)):
        assert "95 % interval" not in sentences(UncertaintyCheck((half,), ()))[0]
