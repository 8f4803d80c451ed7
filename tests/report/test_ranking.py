"""Worst, median and best are who they say; nobody with an empty mask is forgotten."""

import pytest

from unpaired.errors import InputError
from unpaired.report.ranking import prediction_file, ranked_cases, troubled_cases
from unpaired.scores.scores import Evaluation, Score


def evaluation(**dice):
    """{case: Dice of its two classes}; 0 is missed, None not applicable."""
    rows = []
    for case, values in dice.items():
        for name, value in zip(("LV", "RV"), values, strict=True):
            status = "not_applicable" if value is None else "scored" if value else "missed"
            rows.append(Score(case, case, "ct", name, status, value))
    return Evaluation(rows, [])


def ranks(of):
    return [(item.rank, item.case, pytest.approx(item.dice)) for item in ranked_cases(of, "ct")]


def test_ranks_by_the_mean_over_classes():
    of = evaluation(a=(0.9, 0.9), b=(0.5, 0.7), c=(0.8, 0.8), d=(1.0, 0.0), e=(0.95, 0.95))
    assert ranks(of) == [("worst", "d", 0.5), ("median", "c", 0.8), ("best", "e", 0.95)]


def test_with_few_cases_none_is_shown_twice():
    assert ranks(evaluation(a=(0.9, None))) == [("only", "a", 0.9)]
    assert ranks(evaluation(a=(0.9, 0.9), b=(0.5, 0.5))) == [("worst", "b", 0.5), ("best", "a", 0.9)]
    assert ranks(evaluation(a=(None, None))) == []


def test_cases_with_empty_masks_come_worst_first():
    of = evaluation(a=(0.9, 0.0), b=(0.5, 0.5), c=(0.2, 0.0), d=(None, 0.7))
    assert [case for case, _, _ in troubled_cases(of)] == ["c", "a"]


def test_a_prediction_is_found_compressed_or_not_and_missed_by_name(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")
    assert prediction_file(tmp_path, "a") == tmp_path / "a.nii"
    with pytest.raises(InputError, match=r"the prediction b\.nii\.gz is no longer in"):
        prediction_file(tmp_path, "b")
