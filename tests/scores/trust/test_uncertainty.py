"""Agreement and intervals against plain loops and by hand; members that find nothing; the order to look in."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from unpaired.errors import InputError
from unpaired.scores.trust.uncertainty import (
    CaseUncertainty,
    least_agreed_first,
    mean_pairwise_dice,
    measure_uncertainty,
    read_uncertainty,
    write_uncertainty,
)

CLASSES = ("background", "LV", "myo")


def pairwise_in_loops(masks: list[np.ndarray]) -> float | None:
    values = []
    for first, second in combinations(masks, 2):
        a, b = ({tuple(v) for v in np.argwhere(mask).tolist()} for mask in (first, second))
        if a or b:
            values.append(2 * len(a & b) / (len(a) + len(b)))
    return sum(values) / len(values) if values else None


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_pairwise_dice_equals_loops(count: int, share: float) -> None:
    rng = np.random.default_rng(count)
    common = rng.random((6, 5, 4)) < share / 2
    masks = [common | (rng.random((6, 5, 4)) < share) for _ in range(count)]
    expected = pairwise_in_loops(masks)
    assert mean_pairwise_dice(np.stack([mask.ravel() for mask in masks])) == (
        expected if expected is None else pytest.approx(expected)
    )


def test_three_members_by_hand() -> None:
    """LV: 2, 2 and 1 voxels, the first two equal: Dice 1, 2/3, 2/3. myo: found by one member alone: 0."""
    members = [np.array([[1, 1, 0, 0]]), np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 2]])]
    found = measure_uncertainty(np.array([[1, 1, 0, 0]]), members, 0.5, CLASSES, "p1", "ct")
    lv, myo = found.classes
    assert lv.agreement == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert (lv.volume_ml, lv.low_ml, lv.high_ml) == (1.0, 0.5, 1.0)
    assert myo.agreement == 0
    assert (myo.volume_ml, myo.low_ml, myo.high_ml) == (0.0, 0.0, 0.5)
    assert found.agreement == pytest.approx((lv.agreement or 0) / 2)
    assert (lv.case, lv.modality, lv.members) == ("p1", "ct", 3)


def test_equal_members_agree_and_leave_no_width() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (5, 5, 5))
    found = measure_uncertainty(labels, [labels] * 4, 2.0, CLASSES)
    for number, row in enumerate(found.classes, start=1):
        assert row.agreement == 1
        assert row.low_ml == row.high_ml == row.volume_ml == 2.0 * (labels == number).sum()
    assert found.agreement == 1


def test_the_average_may_lie_outside_its_members_but_never_outside_the_interval() -> None:
    members = [np.array([1, 1, 1, 0]), np.array([0, 1, 1, 1])]
    row = measure_uncertainty(np.array([0, 1, 1, 0]), members, 1.0, CLASSES).classes[0]
    assert (row.low_ml, row.volume_ml, row.high_ml) == (2.0, 2.0, 3.0)


def test_a_class_that_nobody_finds_says_nothing_about_the_case() -> None:
    found = measure_uncertainty(np.array([1, 0]), [np.array([1, 0]), np.array([1, 1])], 1.0, CLASSES)
    assert found.classes[1].agreement is None
    assert found.agreement == found.classes[0].agreement
    nothing = measure_uncertainty(np.zeros(3, int), [np.zeros(3, int)] * 2, 1.0, CLASSES)
    assert nothing.agreement is None
    assert [row.high_ml for row in nothing.classes] == [0.0, 0.0]


def case(name: str, members: list[list[int]]) -> CaseUncertainty:
    arrays = [np.array(member) for member in members]
    return measure_uncertainty(arrays[0], arrays, 1.0, CLASSES, name, "ct")


def test_the_case_to_look_at_first_is_on_top(tmp_path: Path) -> None:
    good, bad, empty = case("good", [[1, 1], [1, 1]]), case("bad", [[1, 0], [0, 1]]), case("empty", [[0, 0], [0, 0]])
    assert least_agreed_first([good, bad, empty]) == [empty, bad, good]
    write_uncertainty([good, bad, empty], tmp_path)
    assert read_uncertainty(tmp_path) == [empty, bad, good]
    lines = (tmp_path / "uncertainty.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "case,modality,class_name,members,volume_ml,low_ml,high_ml,agreement"
    assert lines[1] == "empty,ct,LV,2,0.0,0.0,0.0,"
    assert len(lines) == 1 + 3 * 2


def test_what_cannot_be_measured_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="case p1: agreement needs two predictions or more, got 1"):
        measure_uncertainty(np.zeros(2, int), [np.zeros(2, int)], 1.0, CLASSES, "p1")
    with pytest.raises(InputError, match="predictions of one shape"):
        measure_uncertainty(np.zeros(2, int), [np.zeros(2, int), np.zeros(3, int)], 1.0, CLASSES)
    with pytest.raises(InputError, match="write it with `unpaired predict --mirror` or `--also`"):
        read_uncertainty(tmp_path)
    for text, message in (
        ("{}", "schema 1"),
        ('{"schema": 1, "cases": [{}]}', "cases\\[0\\]: lacks 'case'; predict again"),
    ):
        (tmp_path / "uncertainty.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_uncertainty(tmp_path)
