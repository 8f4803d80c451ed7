"""Calibration against plain loops and by hand; what can't be known is left out, what is empty has no number."""

import math
from fractions import Fraction

import numpy as np
import pytest

from unpaired.errors import InputError
from unpaired.scores.trust.calibration import (
    BinCounts,
    CaseCalibration,
    count_bins,
    foreground_box,
    is_foreground,
    summarize,
)

PLAIN = ((0,), (1,), (2,))


def ece_and_brier_in_loops(
    said: np.ndarray, reference: np.ndarray, sets: tuple[tuple[int, ...], ...], number: int, bins: int
) -> tuple[float, float]:
    """Guo et al. eq. 3 for one class against the rest, voxel by voxel; `said` are whole steps of 1/255."""
    groups: dict[int, list[tuple[Fraction, int]]] = {}
    squared = []
    for steps, label in zip(said[number].ravel(), reference.ravel(), strict=True):
        if len(sets[label]) > 1 and number in sets[label]:
            continue
        p, there = Fraction(int(steps), 255), int(label == number)
        groups.setdefault(max(math.ceil(p * bins), 1), []).append((p, there))
        squared.append((p - there) ** 2)
    n = len(squared)
    ece = Fraction(0)
    for members in groups.values():
        confidence = sum(p for p, _ in members) / len(members)
        accuracy = Fraction(sum(there for _, there in members), len(members))
        ece += Fraction(len(members), n) * abs(accuracy - confidence)
    return float(ece), float(sum(squared) / n)


@pytest.mark.parametrize("bins", [1, 5, 10, 15])
@pytest.mark.parametrize("sets", [PLAIN, (*PLAIN, (0, 2), (1, 2))])
def test_random_voxels_equal_loops(bins: int, sets: tuple[tuple[int, ...], ...]) -> None:
    """Steps of 1/255 meet the ends of bins exactly (17/255 is 1/15), the worst case for rounding."""
    rng = np.random.default_rng(len(sets) + bins)
    steps = rng.integers(0, 256, (3, 9, 7, 5))
    steps[:, :3] = rng.integers(0, 16, (3, 3, 7, 5)) * 17
    reference = rng.integers(0, len(sets), (9, 7, 5))
    counts = count_bins(steps.astype(np.float32) / np.float32(255), reference, sets, bins)
    for number in range(3):
        ece, brier = ece_and_brier_in_loops(steps, reference, sets, number, bins)
        assert counts.ece(number) == pytest.approx(ece, abs=1e-6)
        assert counts.brier(number) == pytest.approx(brier, abs=1e-6)


def test_four_voxels_by_hand() -> None:
    """0.9 0.9 0.9 0.1, of which the first two are foreground: |0.9 - 2/3| * 3/4 + |0.1 - 0| / 4 = 0.2."""
    foreground = np.array([0.9, 0.9, 0.9, 0.1])
    counts = count_bins(np.stack([1 - foreground, foreground]), np.array([1, 1, 0, 0]), ((0,), (1,)), 10)
    assert counts.ece(1) == pytest.approx(0.2)
    assert counts.brier(1) == pytest.approx((0.01 + 0.01 + 0.81 + 0.01) / 4)
    assert counts.voxels[1].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 3, 0]
    assert counts.positive[1, 8] == 2
    assert counts.ece(0) == pytest.approx(0.2), "two classes mirror each other"


def test_perfect_and_opposite_predictions() -> None:
    reference = np.array([0, 1, 2, 2, 1])
    right = np.eye(3)[reference].T
    counts = count_bins(right, reference, PLAIN)
    assert [counts.ece(n) for n in range(3)] == [0, 0, 0]
    assert [counts.brier(n) for n in range(3)] == [0, 0, 0]
    swapped = count_bins(right[[1, 0, 2]], reference, PLAIN)
    assert swapped.ece(0) == pytest.approx(3 / 5)
    assert swapped.brier(0) == pytest.approx(3 / 5)


def test_a_calibrated_forecast_has_no_error_and_a_brier_score() -> None:
    said = np.repeat([0.25, 0.5], 8)
    truth = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    counts = count_bins(np.stack([1 - said, said]), truth, ((0,), (1,)))
    assert counts.ece(1) == pytest.approx(0)
    assert counts.brier(1) == pytest.approx((0.25 * 0.75 + 0.5 * 0.5) / 2)


def test_classes_that_were_not_annotated_are_left_out() -> None:
    """Every background voxel may be class 2: nothing is known about class 2, all about class 1."""
    sets = (*PLAIN, (0, 2))
    reference = np.array([3, 3, 1, 1])
    said = np.array([[0.6, 0.8, 0.1, 0.3], [0.1, 0.1, 0.9, 0.7], [0.3, 0.1, 0.0, 0.0]])
    counts = count_bins(said, reference, sets, 1)
    assert counts.voxels.sum(axis=1).tolist() == [2, 4, 2]
    assert counts.ece(1) == pytest.approx(abs(1.8 / 4 - 0.5))
    nothing = count_bins(said[:, :2], reference[:2], sets)
    assert nothing.ece(2) is None
    assert nothing.brier(2) is None
    assert nothing.ece(1) is not None


def test_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    said, reference = rng.dirichlet([1, 1, 1], (10, 6)).transpose(2, 0, 1), rng.integers(0, 3, (10, 6))
    parts = [count_bins(said[:, half], reference[half], PLAIN) for half in (slice(0, 4), slice(4, 10))]
    whole, added = count_bins(said, reference, PLAIN), parts[0] + parts[1]
    np.testing.assert_array_equal(whole.voxels, added.voxels)
    np.testing.assert_allclose(whole.probability, added.probability)
    np.testing.assert_allclose(whole.squared, added.squared)


def test_far_background_would_flatter() -> None:
    """Why there is a box: the same errors, with more easy background around them, look smaller."""
    said, reference = np.full((2, 10), 0.5), np.zeros(10, int)
    said[1], said[0] = 0.9, 0.1
    far = np.zeros((2, 990))
    far[0] = 1
    near_only = count_bins(said, reference, ((0,), (1,))).ece(1)
    with_far = count_bins(np.hstack([said, far]), np.zeros(1000, int), ((0,), (1,))).ece(1)
    assert near_only == pytest.approx(0.9)
    assert with_far == pytest.approx(0.009)


def test_the_box_is_wider_by_the_margin_in_mm() -> None:
    mask = np.zeros((20, 20, 6), bool)
    mask[8:10, 5, 2] = True
    assert foreground_box(mask, (1.0, 2.5, 8.0), 10.0) == (slice(0, 20), slice(1, 10), slice(0, 5))
    assert foreground_box(mask, (5.0, 5.0, 5.0), 0.0) == (slice(8, 10), slice(5, 6), slice(2, 3))
    assert foreground_box(np.zeros((3, 3), bool), (1.0, 1.0), 5.0) is None
    sets = (*PLAIN, (0, 2), (1, 2))
    assert is_foreground(np.arange(5), sets).tolist() == [False, True, True, False, True]


def test_cases_together_forgive_what_the_mean_over_cases_does_not() -> None:
    def case(name: str, said: float, modality: str = "ct") -> CaseCalibration:
        probability = np.full(10, said)
        truth = np.repeat([0, 1], 5)
        return CaseCalibration(
            name, modality, count_bins(np.stack([1 - probability, probability]), truth, PLAIN[:2], 1)
        )

    rows = summarize([case("bold", 0.8), case("shy", 0.2), case("other", 0.5, "mr")], ("background", "LV"))
    assert [(row.modality, row.class_name) for row in rows] == [
        ("ct", "background"), ("ct", "LV"), ("mr", "background"), ("mr", "LV")
    ]  # fmt: skip
    assert rows[1].ece == pytest.approx(0)
    assert rows[1].ece_of_cases == pytest.approx(0.3)
    assert (rows[1].cases, rows[1].voxels) == (2, 20)
    assert rows[1].bins[0].mean_probability == pytest.approx(0.5)
    assert rows[1].bins[0].frequency == 0.5
    assert summarize([], ("background", "LV")) == []


def test_empty_bins_have_no_numbers() -> None:
    counts = count_bins(np.array([[0.5], [0.5]]), np.array([1]), ((0,), (1,)), 2)
    row = summarize([CaseCalibration("a", "ct", counts)], ("background", "x"))[1]
    assert [one.voxels for one in row.bins] == [1, 0]
    assert row.bins[1].mean_probability is None
    assert row.bins[1].frequency is None
    assert (row.bins[1].low, row.bins[1].high) == (0.5, 1.0)


def test_what_does_not_fit_is_named() -> None:
    said, reference = np.full((3, 4, 4), 1 / 3), np.zeros((4, 4), int)
    with pytest.raises(InputError, match=r"as the reference has it, got \(3, 4, 4\)"):
        count_bins(said, np.zeros((4, 5), int), PLAIN)
    with pytest.raises(InputError, match=r"reference values in 0\.\.2, got 0\.\.7"):
        count_bins(said, np.where(np.eye(4) > 0, 7, reference), PLAIN)
    with pytest.raises(InputError, match="one bin or more, got 0"):
        count_bins(said, reference, PLAIN, 0)
    empty = count_bins(np.zeros((3, 0)), np.zeros(0, int), PLAIN)
    assert isinstance(empty, BinCounts)
    assert [empty.ece(number) for number in range(3)] == [None, None, None]
