"""Means beside their counts, under each status."""

import pytest

from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Score, Summary


def row(case, class_name, status, dice=None, hd95=None, modality="ct"):
    return Score(case, case, modality, class_name, status, dice, hd95, hd95, hd95, hd95, 1.0, 1.0)


EVALUATION = Evaluation(
    [
        row("a", "LV", "scored", 0.9, 2.0),
        row("b", "LV", "missed", 0.0, 100.0),
        row("c", "LV", "not_applicable"),
        row("a", "RV", "missed", 0.0, 100.0),
        row("d", "LV", "scored", 0.5, 4.0, "mr"),
        row("d", "RV", "false_positive", 0.0, 100.0, "mr"),
    ],
    [],
)


def test_a_miss_counts_as_zero_and_not_applicable_does_not_count():
    assert EVALUATION.mean("dice", "ct", "LV") == Summary(0.45, 2, 1, 1, 0)
    assert EVALUATION.mean("hd95", "ct", "LV") == Summary(51.0, 2, 1, 1, 0)


def test_no_number_where_nothing_was_scored():
    assert EVALUATION.mean("dice", "ct", "RV") == Summary(None, 1, 0, 1, 0)
    assert EVALUATION.mean("assd", "pet") == Summary(None, 0, 0, 0, 0)


def test_mean_over_classes_and_modalities():
    assert EVALUATION.mean("dice", "mr") == Summary(0.25, 2, 1, 0, 1)
    assert EVALUATION.mean("dice") == Summary((0.9 + 0.5) / 5, 5, 2, 2, 1)


def test_excluded_distances_leave_the_mean_but_not_the_count():
    excluded = Evaluation([row("a", "LV", "scored", 0.9, 2.0), row("b", "LV", "missed", 0.0)], [], "excluded")
    assert excluded.mean("hd95", "ct", "LV") == Summary(2.0, 2, 1, 1, 0)
    assert excluded.mean("dice", "ct", "LV") == Summary(0.45, 2, 1, 1, 0)


def test_order_of_first_appearance():
    assert EVALUATION.modalities == ["ct", "mr"]
    assert EVALUATION.class_names == ["LV", "RV"]


def test_an_unknown_score_gets_a_hint():
    with pytest.raises(InputError, match="did you mean hd95"):
        EVALUATION.mean("hd96")
