"""Means, spreads and differences against numbers worked out by hand; the rules of what counts where."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from unpaired.comparison.comparison import compare, empty_structures
from unpaired.comparison.contenders import Contender
from unpaired.comparison.notes import notes, warnings
from unpaired.comparison.records import Column
from unpaired.errors import InputError
from unpaired.scores.scores import Evaluation, Failure, Score
from unpaired.statistics import holm

MEAN_CT = Column("ct", "mean")


def row(case, name, dice, patient=None, modality="ct", status="scored", hd95=None, ml=5.0):
    distance = hd95 if hd95 is not None else (None if status == "not_applicable" else 10 * (1 - (dice or 0)))
    return Score(case, patient or case, modality, name, status, dice, hd95=distance, reference_ml=ml)


def evaluation(table, **changes):
    """{case: {class: dice}} or a list of rows."""
    if isinstance(table, list):
        return Evaluation(table, [], **changes)
    return Evaluation([row(c, n, dice) for c, classes in table.items() for n, dice in classes.items()], [], **changes)


def method(name, *tables, **changes):
    return Contender(name, tuple(evaluation(table, **changes) for table in tables))


A = {"p1": {"LV": 0.9, "RV": 0.5}, "p2": {"LV": 0.8, "RV": 0.6}, "p3": {"LV": 0.7, "RV": 0.7}}
B = {"p1": {"LV": 0.9, "RV": 0.7}, "p2": {"LV": 0.9, "RV": 0.7}, "p3": {"LV": 0.8, "RV": 0.8}}


# ---- patients


def test_a_patient_is_the_mean_over_cases_of_the_mean_over_classes():
    rows = [
        row("s1", "LV", 0.8, "p"),
        row("s1", "RV", 0.4, "p"),
        row("s2", "LV", 1.0, "p"),
        row("s2", "RV", None, "p", status="not_applicable", ml=0.0),
        row("m", "LV", 0.1, "p", modality="mr"),
    ]
    one = compare([method("a", rows), method("b", rows)])
    assert one.patient_values("dice", MEAN_CT, "a") == {"p": pytest.approx((0.6 + 1.0) / 2)}
    assert one.patient_values("dice", Column("ct", "LV"), "a") == {"p": pytest.approx(0.9)}
    assert one.patient_values("dice", Column("ct", "RV"), "a") == {"p": 0.4}
    assert one.columns == [Column("ct", "LV"), Column("ct", "RV"), MEAN_CT, Column("mr", "LV")]
    assert one.main_columns == [MEAN_CT, Column("mr", "LV")]


def test_cells_by_hand():
    one = compare([method("a", A), method("b", B)])
    cell = one.cells["dice", MEAN_CT, "a"]
    assert (cell.mean, cell.std) == (pytest.approx(0.7), pytest.approx(0.0))
    cell = one.cells["dice", Column("ct", "LV"), "a"]
    assert (cell.mean, cell.std, cell.patients) == (pytest.approx(0.8), pytest.approx(0.1), 3)
    assert (cell.n, cell.n_scored, cell.n_missed, cell.n_false_positive) == (3, 3, 0, 0)
    assert one.cells["dice", MEAN_CT, "a"].n == 6


def test_differences_by_hand():
    differences = compare([method("a", A), method("b", B)], ["dice"]).differences
    ((key, found),) = (item for item in differences.items() if item[0].column == MEAN_CT)
    # b - a by patient: 0.1, 0.1, 0.1
    assert (key.method, found.patients) == ("b", 3)
    assert found.mean == pytest.approx(0.1)
    assert (found.interval.low, found.interval.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert (found.p, found.p_holm, found.effect) == (0.25, 0.25, 1.0)
    assert (found.better, found.worse, found.equal) == (3, 0, 0)


def test_for_distances_smaller_is_better_and_the_difference_keeps_its_sign():
    found = compare([method("a", A), method("b", B)], ["hd95"]).differences["hd95", MEAN_CT, "b"]
    assert found.mean == pytest.approx(-1.0)
    assert (found.effect, found.better) == (1.0, 3)


def test_the_baseline_can_be_any_method():
    one = compare([method("a", A), method("b", B)], ["dice"], baseline="b")
    assert one.others == ["a"]
    assert one.differences["dice", MEAN_CT, "a"].mean == pytest.approx(-0.1)
    assert ("dice", MEAN_CT, "b") not in one.differences


def test_p_is_corrected_over_the_methods_of_a_column_or_over_the_table():
    generator = np.random.default_rng(0)

    def noisy(gain):
        names = ("LV", "RV")
        return {f"p{k}": {n: float(generator.uniform(0.5, 0.8) + gain) for n in names} for k in range(8)}

    methods = [method("a", noisy(0)), method("b", noisy(0.05)), method("c", noisy(0.1)), method("d", noisy(0.0))]
    one = compare(methods, ["dice"])
    for column in one.columns:
        found = [one.differences["dice", column, name] for name in "bcd"]
        ours, theirs = (one.patient_values("dice", column, name) for name in "ab")
        expected = stats.wilcoxon([theirs[p] - ours[p] for p in ours], method="exact").pvalue
        assert found[0].p == pytest.approx(expected)
        assert [each.p_holm for each in found] == holm([each.p for each in found])
    assert one.tests_in_family == 3
    table = compare(methods, ["dice"], family="table")
    assert table.tests_in_family == 9
    assert [each.p_holm for each in table.differences.values()] == holm([each.p for each in table.differences.values()])


# ---- seeds


def test_seeds_are_averaged_per_patient_and_spread_over_their_means():
    seeds = ({"p1": {"LV": 0.8}, "p2": {"LV": 0.6}}, {"p1": {"LV": 0.9}, "p2": {"LV": 0.9}})
    one = compare([method("a", *seeds), method("b", seeds[0])], ["dice"])
    column = Column("ct", "LV")
    assert one.patient_values("dice", column, "a") == {"p1": pytest.approx(0.85), "p2": pytest.approx(0.75)}
    cell = one.cells["dice", column, "a"]
    assert (cell.mean, cell.std) == (pytest.approx(0.8), pytest.approx(np.std([0.7, 0.9], ddof=1)))
    assert (cell.patients, cell.n) == (2, 4)
    assert one.differences["dice", column, "b"].patients == 2  # not four
    assert any("a 2 seeds" in note and "over the runs' means" in note for note in notes(one))


# ---- missed, invented, excluded


def test_a_missed_structure_counts_with_dice_zero():
    rows = [row("p1", "LV", 0.9), row("p1", "RV", 0.0, status="missed", hd95=100.0)]
    full = [row("p1", "LV", 0.9), row("p1", "RV", 0.5)]
    one = compare([method("a", full), method("b", rows)])
    assert one.patient_values("dice", MEAN_CT, "b") == {"p1": pytest.approx(0.45)}
    cell = one.cells["dice", Column("ct", "RV"), "b"]
    assert (cell.mean, cell.n, cell.n_scored, cell.n_missed) == (None, 1, 0, 1)  # no number where nothing was scored
    assert one.differences["dice", Column("ct", "RV"), "b"].mean == pytest.approx(-0.5)  # but the loss is one
    assert list(empty_structures(one.contender("b"))) == ["missed: RV 1x"]
    assert list(empty_structures(one.contender("b"), "p1")) == ["missed: RV"]
    assert any(warning.startswith("b missed: RV 1x.") for warning in warnings(one))


def test_an_excluded_distance_is_left_out_of_every_method():
    def scored(hd95):
        return row("p1", "RV", 0.5, hd95=hd95)

    missed = Score("p1", "p1", "ct", "RV", "missed", 0.0, reference_ml=5.0)
    rows = [[row("p1", "LV", 0.9, hd95=3.0), last] for last in (scored(30.0), missed)]
    one = compare([method("a", rows[0], policy="excluded"), method("b", rows[1], policy="excluded")], ["hd95", "dice"])
    # Without this rule b, which missed RV, would have the better mean: 3 against 16.5.
    assert one.patient_values("hd95", MEAN_CT, "a") == one.patient_values("hd95", MEAN_CT, "b") == {"p1": 3.0}
    assert one.patient_values("dice", MEAN_CT, "b") == {"p1": pytest.approx(0.45)}
    assert one.case_values["hd95", "a"] == one.case_values["hd95", "b"] == {"p1": 3.0}
    assert [case.loss for case in one.losses("hd95")] == [0.0]
    assert one.differences["hd95", Column("ct", "RV"), "b"].patients == 0
    assert one.differences["hd95", Column("ct", "RV"), "b"].p is None
    assert any("in no hd95 of any method" in warning and "p1/RV" in warning for warning in warnings(one))


def test_an_invented_structure_costs_only_who_invented_it():
    none = [row("p1", "LV", 0.9), row("p1", "RV", None, status="not_applicable", ml=0.0)]
    invented = [row("p1", "LV", 0.9), row("p1", "RV", 0.0, status="false_positive", hd95=100.0, ml=0.0)]
    one = compare([method("a", none), method("b", invented)])
    assert one.differences["dice", MEAN_CT, "b"].mean == pytest.approx(-0.45)
    assert one.differences["dice", Column("ct", "RV"), "b"].patients == 0  # a has no number there


# ---- cases


def test_losses_come_worst_first_with_remarks():
    worse = {"p1": {"LV": 0.9, "RV": 0.4}, "p2": {"LV": 0.5, "RV": 0.1}, "p3": {"LV": 0.9, "RV": 0.9}}
    rows = evaluation(worse).scores
    rows[1] = row("p1", "RV", 0.0, status="missed", hd95=99.0)
    losses = compare([method("a", A), method("c", rows)]).losses()
    assert [one.case for one in losses] == ["p2", "p1", "p3"]
    assert [one.loss for one in losses] == pytest.approx([0.4, 0.25, -0.2])
    assert [one.remarks for one in losses] == ["", "missed: RV", ""]
    assert compare([method("a", A), method("c", rows)]).losses("hd95")[0].case == "p1"


def test_every_patient_has_a_row_for_every_method():
    one = compare([method("a", A), method("b", B), method("c", A)], ["dice"])
    rows = [row for row in one.patient_rows() if row.column == MEAN_CT]
    assert [(row.patient, row.method) for row in rows] == [(p, m) for m in "bc" for p in ("p1", "p2", "p3")]
    assert [row.difference for row in rows] == pytest.approx([0.1, 0.1, 0.1, 0, 0, 0])


# ---- warnings


def several(count):
    return {f"p{k}": {"LV": 0.5 + 0.01 * k} for k in range(count)}


@pytest.mark.parametrize(
    ("patients", "words"),
    [(4, "No p below 0.125 is possible"), (6, "after Holm over 2 tests 0.0625"), (7, None)],
)
def test_too_few_patients_are_said_beforehand(patients, words):
    found = [w for w in warnings(compare([method(n, several(patients)) for n in "abc"], ["dice"])) if "are needed" in w]
    assert [words in warning for warning in found] == ([True] if words else [])
    assert all("at least 7 patients are needed" in warning for warning in found)


def test_what_was_trained_once_is_said_to_be_one_draw():
    def said(*methods):
        return [warning for warning in warnings(compare(methods, ["dice"])) if warning.startswith("Each patient has")]

    (every,) = said(method("a", A), method("b", B))
    assert "one result of every method:" in every
    assert every.endswith("give b=RUN,RUN.")
    (some,) = said(method("a", A, B), method("b", B))
    assert "one result of b:" in some
    assert not said(method("a", A, B), method("b", B, A))
    other = {f"q{k}": {"LV": 0.8, "RV": 0.7} for k in range(3)}
    assert "every method" in said(method("a", A, other), method("b", B, other))[0]  # folds are no seeds


def test_a_difference_that_another_training_turns_is_said():
    base = {f"p{k}": {"LV": 0.5 + 0.01 * k} for k in range(8)}

    def moved(by):
        return {patient: {"LV": classes["LV"] + by} for patient, classes in base.items()}

    def said(*gains):
        seeds = method("b", *(moved(gain) for gain in gains))
        both = compare([method("a", *[base] * len(gains)), seeds], ["dice"])
        return [warning for warning in warnings(both) if "not in each training" in warning]

    (turned,) = said(0.09, -0.01)
    assert turned.startswith("dice, ct: b differs from a over patients (p 0.0078 after Holm)")
    assert not said(0.09, 0.01)
    assert not said(0.04)


def test_a_correction_over_the_table_leaves_one_family():
    methods = [method("a", A), method("b", B)]
    assert any("families" in warning for warning in warnings(compare(methods)))
    assert not any("families" in warning for warning in warnings(compare(methods, ["dice"], family="table")))


def test_what_is_left_out_is_said_first_and_loudly():
    broken = Contender("b", (Evaluation(evaluation({"p1": A["p1"]}).scores, [Failure("p2", "truncated")]),))
    one = compare([method("a", {"p1": A["p1"], "p2": A["p2"]}), broken], common=True)
    first = next(warnings(one))
    assert first.startswith("LEFT OUT: 1 case is")
    assert "p2: b (truncated)" in first
    assert {row.case for row in one.reference.scores} == {"p1"}


# ---- wrong wishes


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"scores": ["dise"]}, "there is no score 'dise'; did you mean dice"),
        ({"scores": []}, "expected scores"),
        ({"scores": ["dice", "dice"]}, "each once"),
        ({"scores": ["csa:dice"]}, "is a preset's column"),
        ({"baseline": "d"}, "the baseline 'd' is not one of the methods"),
    ],
)
def test_wishes_that_can_not_be_met(wish, words):
    with pytest.raises(InputError, match=words):
        compare([method("a", A), method("b", B)], **wish)
    with pytest.raises(InputError, match="two methods or more"):
        compare([])


def test_any_score_of_an_evaluation_can_be_compared():
    def with_nsd(value):
        return [
            Score("p1", "p1", "ct", "LV", "scored", 0.9, reference_ml=5.0, nsd={"nsd@1": value}, iou=0.8),
        ]

    methods = [method(name, with_nsd(value), tolerances_mm=(1.0,)) for name, value in (("a", 0.5), ("b", 0.75))]
    one = compare(methods, ["nsd@1", "iou"])
    assert one.differences["nsd@1", Column("ct", "LV"), "b"].mean == 0.25
    assert one.differences["iou", Column("ct", "LV"), "b"].equal == 1


def test_the_order_of_methods_does_not_change_their_numbers():
    methods = [method("a", A), method("b", B), method("c", A), method("d", B)]
    tables = [compare(methods[k:] + methods[:k], ["dice"], baseline="a") for k in range(4)]
    for one, other in pairwise(tables):
        assert one.cells == other.cells
        assert {key: found.p for key, found in one.differences.items()} == {
            key: f.p for key, f in other.differences.items()
        }


def test_places_are_kept():
    placed = Contender("a", method("a", A).seeds, (Path("runs/a"),))
    assert compare([placed, method("b", B)]).contender("a").places == (Path("runs/a"),)
