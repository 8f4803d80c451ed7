"""Overlap counts against plain loops, and what a voxel of unknown class does to them."""

import numpy as np
import pytest

from unpaired.errors import InputError
from unpaired.scores.overlap import count_overlap, dice, iou

SETS = ((0,), (1,), (2,), (3,), (0, 3), (1, 2))


def count_in_loops(prediction, reference, sets):
    both, predicted, true = [0] * 4, [0] * 4, [0] * 4
    for guess, label in zip(prediction.ravel(), reference.ravel(), strict=True):
        members = sets[label]
        for number in range(4):
            if number in members and len(members) > 1:
                continue
            both[number] += guess == number and members == (number,)
            predicted[number] += guess == number
            true[number] += members == (number,)
    return both, predicted, true


@pytest.mark.parametrize("shape", [(7, 9), (4, 5, 6)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_counts_equal_plain_loops(shape, dtype):
    random = np.random.default_rng(0)
    prediction = random.integers(0, 4, shape).astype(dtype)
    reference = random.integers(0, len(SETS), shape).astype(dtype)
    counts = count_overlap(prediction, reference, SETS)
    both, predicted, true = count_in_loops(prediction, reference, SETS)
    assert counts.both.tolist() == both
    assert counts.predicted.tolist() == predicted
    assert counts.reference.tolist() == true


def test_many_classes_do_not_overflow_a_small_type():
    sets = tuple((number,) for number in range(40))
    labels = np.arange(40, dtype=np.uint8)
    counts = count_overlap(labels, labels, sets)
    assert counts.both.tolist() == [1] * 40


def test_a_merged_voxel_counts_for_neither_class():
    prediction = np.array([1, 1, 2, 2])
    reference = np.array([1, 5, 5, 0])
    counts = count_overlap(prediction, reference, SETS)
    assert counts.both.tolist() == [0, 1, 0, 0]
    assert counts.predicted.tolist() == [0, 1, 1, 0]
    assert counts.reference.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((2, 3, 4), 4 / 7), ((0, 3, 0), 0.0), ((0, 0, 3), 0.0), ((5, 5, 5), 1.0), ((0, 0, 0), None)],
)
def test_dice_by_hand(counts, expected):
    assert dice(*counts) == expected


@pytest.mark.parametrize(
    ("counts", "expected"), [((2, 3, 4), 2 / 5), ((0, 3, 0), 0.0), ((5, 5, 5), 1.0), ((0, 0, 0), None)]
)
def test_iou_by_hand(counts, expected):
    assert iou(*counts) == expected


def test_empty_arrays_count_nothing():
    assert count_overlap(np.zeros((0, 3), int), np.zeros((0, 3), int), SETS).predicted.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("prediction", "reference", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "one shape"),
        (np.full((2, 2), 4), np.zeros((2, 2), int), r"prediction values in 0\.\.3"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), r"reference values in 0\.\.5"),
    ],
)
def test_bad_arrays_are_named(prediction, reference, message):
    with pytest.raises(InputError, match=message):
        count_overlap(prediction, reference, SETS)
