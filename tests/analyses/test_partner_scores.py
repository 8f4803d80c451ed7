"""Spreads over partners and curves against misalignment, counted by hand."""

import numpy as np
import pytest

from unpaired.analyses.misalignment.scores import MisalignmentRow, flat_runs, misalignment_curves
from unpaired.analyses.misalignment.tables import conclusions
from unpaired.analyses.partners.results import (
    MEAN,
    ClassResult,
    Reference,
    class_results,
    ignores_partners,
    patient_dice,
)
from unpaired.analyses.partners.scores import PartnerRow, spreads, summarize_partners
from unpaired.analyses.partners.tables import conclusion
from unpaired.errors import InputError
from unpaired.statistics import bootstrap_interval


def row(case: str, form: str, name: str, dice: float | None, ml: float = 1.0, agreement: float | None = 0.5):
    result = ClassResult(name, dice, ml, 1.0, agreement)
    return PartnerRow(**vars(result), case=case, patient=case[0], modality="ct", partners={}, alignments={}, form=form)


ROWS = [
    *(
        row("a1", form, "LV", dice, ml)
        for form, dice, ml in (("alone", 0.9, 5), ("sorted", 0.5, 4), ("random 1", 0.7, 7))
    ),
    *(row("a1", form, "RV", dice) for form, dice in (("alone", 0.5), ("sorted", 0.8), ("random 1", 0.2))),
    *(row("b1", form, "LV", dice, 2) for form, dice in (("alone", 0.1), ("sorted", 0.3), ("random 1", 0.3))),
    *(row("b1", form, "RV", None, 0) for form in ("alone", "sorted", "random 1")),
    *(row("b1", "own", name, dice) for name, dice in (("LV", 0.2), ("RV", None))),
]


def test_spreads_are_least_to_most_over_partners_without_the_prediction_alone() -> None:
    found = {(one.case, one.class_name): one for one in spreads(ROWS)}
    assert set(found) == {("a1", "LV"), ("a1", "RV"), ("b1", "LV"), ("a1", MEAN), ("b1", MEAN)}
    one = found["a1", "LV"]
    assert (one.alone, one.least, one.most, one.mean) == (0.9, 0.5, 0.7, pytest.approx(0.6))
    assert (one.width, one.volume_ml) == (pytest.approx(0.2), 3)
    assert found["a1", MEAN].least == pytest.approx((0.7 + 0.2) / 2)
    assert found["a1", MEAN].most == pytest.approx((0.5 + 0.8) / 2)
    assert found["b1", MEAN].width == pytest.approx(0.1)  # own is a partner too


def test_summaries_are_means_over_patients_and_count_who_has_a_form() -> None:
    found = {one.class_name: one for one in summarize_partners(ROWS)}
    assert found["LV"].dice == {
        "alone": pytest.approx(0.5),
        "sorted": pytest.approx(0.4),
        "random": pytest.approx(0.5),
        "own": pytest.approx(0.2),
    }
    assert found["LV"].form_patients == {"alone": 2, "sorted": 2, "random": 2, "own": 1}
    assert (found["LV"].patients, found["RV"].patients) == (2, 1)
    assert (found["LV"].spread, found["LV"].largest_case) == (pytest.approx(0.15), "a1")
    assert (found["RV"].largest, found[MEAN].spread_ml) == (pytest.approx(0.6), None)
    assert "a1, RV, has a Dice of 20.00 to 80.00 %" in conclusion(ROWS)


def test_cases_of_a_patient_count_once() -> None:
    rows = [row(case, "alone", "LV", dice) for case, dice in (("a1", 0.0), ("a2", 1.0), ("b1", 0.9))]
    assert patient_dice(rows) == {"a": 0.5, "b": 0.9}
    assert patient_dice(rows, "RV") == {}


def test_no_partner_used_is_said() -> None:
    same = [row("a1", form, "LV", 0.5, agreement=value) for form, value in (("alone", 1.0), ("sorted", None))]
    assert ignores_partners(same)
    assert conclusion(same).endswith("this network doesn't use partners.")
    assert not ignores_partners([*same, row("a1", "random 1", "LV", 0.5, agreement=0.999)])


def test_classes_are_scored_by_hand_and_unknown_ones_left_out() -> None:
    labels = np.array([[0, 1, 1, 1], [2, 2, 0, 4]])  # 4: class 1 or 2
    reference = Reference(labels, ((0,), (1,), (2,), (3,), (1, 2)), frozenset({3}), 0.5)
    prediction, alone = np.array([[0, 1, 1, 0], [2, 0, 1, 1]]), np.array([[0, 1, 0, 0], [0, 0, 0, 0]])
    first, second = class_results(prediction, alone, reference, ("background", "a", "b", "c"))
    assert (first.class_name, second.class_name) == ("a", "b")
    assert first.dice == pytest.approx(2 * 2 / (3 + 3))  # the voxel that may be either counts for neither
    assert (first.prediction_ml, first.reference_ml) == (1.5, 1.5)
    assert first.agreement == pytest.approx(2 * 1 / (4 + 1))
    assert (second.dice, second.agreement) == (pytest.approx(2 / 3), 0.0)


def moved(run: str, patient: str, kind: str, amount: float, dice: float, agreement: float = 0.5):
    return MisalignmentRow(
        **vars(ClassResult("LV", dice, 1.0, 1.0, agreement)),
        case=patient,
        patient=patient,
        modality="ct",
        partners={},
        alignments={},
        run=run,
        kind=kind,
        amount=float(amount),
    )


def test_curves_are_means_over_patients_with_paired_changes() -> None:
    dice = {0: (0.9, 0.5, 0.7), 10: (0.8, 0.5, 0.3)}
    rows = [moved("r", "abc"[i], "alone", 0, 0.6, 1.0) for i in range(3)]
    rows += [moved("r", "abc"[i], "shift", amount, of[i]) for amount, of in reversed(dice.items()) for i in range(3)]
    rows += [
        moved("flat", p, kind, a, 0.4, 1.0) for p in "abc" for kind, a in (("alone", 0), ("shift", 0), ("shift", 9))
    ]
    curve, other = misalignment_curves(rows)
    assert (curve.run, curve.kind, curve.alone) == ("r", "shift", pytest.approx(0.6))
    first, last = curve.points
    assert (first.amount, first.dice, first.change, last.patients) == (0, pytest.approx(0.7), 0, 3)
    assert last.change == pytest.approx((-0.1 + 0 - 0.4) / 3)
    expected = bootstrap_interval([0.8 - 0.9, 0.0, 0.3 - 0.7])
    assert (last.change_interval.low, last.change_interval.high) == pytest.approx((expected.low, expected.high))
    assert last.interval == bootstrap_interval([0.8, 0.5, 0.3])
    assert [point.change for point in other.points] == [0, 0]
    assert flat_runs(rows) == ["flat"]
    said = conclusions(rows)
    assert "falls most by -16.67 points" in said[0]
    assert "uses none" in said[1]
    with pytest.raises(InputError, match="amount 0"):
        misalignment_curves([one for one in rows if one.amount or one.kind == "alone"])
