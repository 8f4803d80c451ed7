"""Means per case and per patient, by hand."""

import pytest

from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Score, higher_is_better
from unpaired.scores.summaries import case_means, patient_means, summary_rows, unit_rows


def row(case, patient, class_name, dice, modality="mr", status="scored"):
    return Score(case, patient, modality, class_name, status, dice, nsd={} if dice is None else {"nsd@2": dice / 2})


EVALUATION = Evaluation(
    [
        # Patient p has two MR cases with different numbers of classes, and a CT case.
        row("a", "p", "LV", 0.8),
        row("a", "p", "myo", 0.6),
        row("b", "p", "LV", 0.5),
        row("b", "p", "myo", None, status="not_applicable"),
        row("c", "p", "LV", 0.2, "ct"),
        # Patient q was missed altogether.
        row("d", "q", "LV", 0.0, status="missed"),
        row("d", "q", "myo", 0.0, status="missed"),
        row("e", "r", "LV", None, status="not_applicable"),
    ],
    [],
    tolerances_mm=(2.0,),
)


def test_case_means_are_over_classes():
    assert case_means(EVALUATION, "dice") == pytest.approx({"a": 0.7, "b": 0.5, "c": 0.2, "d": 0.0})
    assert case_means(EVALUATION, "nsd@2", "ct") == pytest.approx({"c": 0.1})


def test_patient_means_are_over_classes_then_cases_then_modalities():
    """Not over rows: MR of p is (0.7 + 0.5) / 2, not (0.8 + 0.6 + 0.5) / 3; with CT (0.6 + 0.2) / 2."""
    assert patient_means(EVALUATION, "dice", "mr") == pytest.approx({"p": 0.6, "q": 0.0})
    assert patient_means(EVALUATION, "dice") == pytest.approx({"p": 0.4, "q": 0.0})
    assert patient_means(EVALUATION, "dice", "mr", "LV") == pytest.approx({"p": 0.65, "q": 0.0})


def test_a_patient_whose_structures_were_missed_is_a_data_point_and_not_left_out():
    assert patient_means(EVALUATION, "dice", "mr")["q"] == 0.0
    assert "r" not in patient_means(EVALUATION, "dice", "mr")


def test_rows_of_units_hold_every_score_and_the_counts():
    patients = list(unit_rows(EVALUATION, "patient"))
    assert [(unit.patient, unit.case, unit.modality) for unit in patients] == [
        ("p", "", "mr"),
        ("q", "", "mr"),
        ("r", "", "mr"),
        ("p", "", "ct"),
    ]
    first, missed = patients[:2]
    assert (first.n, first.n_scored, first.n_missed, first.n_false_positive) == (3, 3, 0, 0)
    assert (missed.n, missed.n_missed, missed.means["dice"]) == (2, 2, 0.0)
    assert set(first.means) == set(EVALUATION.score_names)
    cases = {unit.case: unit for unit in unit_rows(EVALUATION, "case")}
    assert cases["b"].means["dice"] == 0.5
    assert cases["e"].means["dice"] is None


def test_summary_rows_hold_every_score():
    rows = {(summary.modality, summary.class_name): summary for summary in summary_rows(EVALUATION)}
    assert rows["mr", "LV"].means["nsd@2"].value == pytest.approx((0.4 + 0.25) / 3)
    assert rows["mr", "mean"].dice.n == 5
    assert ("ct", "mean") not in rows  # of one class


def test_unknown_scores_get_a_hint():
    with pytest.raises(InputError, match="did you mean nsd@2"):
        patient_means(EVALUATION, "nsd@3")
    with pytest.raises(InputError, match="did you mean dice"):
        case_means(EVALUATION, "dise")


def test_which_way_is_up():
    assert [
        name for name in (*EVALUATION.score_names, "transunet:dice", "csa:hd_voxels") if higher_is_better(name)
    ] == [
        "dice",
        "iou",
        "nsd@2",
        "transunet:dice",
    ]
