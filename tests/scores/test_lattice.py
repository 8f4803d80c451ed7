"""The search for the nearest point: near and far ones, at borders, on any spacing, against brute force."""

import itertools
import math

import numpy as np
import pytest

from unpaired.scores import lattice as module
from unpaired.scores.boxes import class_boxes, in_memory_order
from unpaired.scores.lattice import Lattice


def brute_force(points, targets, spacing):
    scaled = [[place * size for place, size in zip(target, spacing, strict=True)] for target in targets]
    return [
        min(math.dist([p * s for p, s in zip(point, spacing, strict=True)], one) for one in scaled) for point in points
    ]


def search(shape, spacing, points, targets):
    lattice = Lattice(shape, spacing)
    marks = np.zeros(shape, bool)
    marks[tuple(np.array(targets).T)] = True
    flat = [int(np.ravel_multi_index(point, lattice.padded)) for point in points]
    return lattice.distances(np.array(flat, dtype=np.intp), lattice.place(marks))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((12,), (2.0,)),
        ((9, 11), (1.0, 1.0)),
        ((9, 11), (0.3, 4.0)),
        ((6, 7, 8), (1.0, 1.0, 1.0)),
        ((5, 9, 7), (8, 0.5, 1.1)),
    ],
)
@pytest.mark.parametrize("count", [1, 5, 60])
def test_equals_brute_force(shape, spacing, count):
    random = np.random.default_rng(count)
    everywhere = list(itertools.product(*(range(size) for size in shape)))
    chosen = random.permutation(len(everywhere))
    targets = [everywhere[index] for index in chosen[: min(count, len(everywhere) // 2)]]
    points = [everywhere[index] for index in chosen[len(targets) :]]
    np.testing.assert_allclose(
        search(shape, spacing, points, targets), brute_force(points, targets, spacing), atol=1e-12
    )


@pytest.mark.parametrize("where", ["near", "far"])
def test_looking_around_and_the_tree_agree(monkeypatch, where):
    random = np.random.default_rng(0)
    shape, spacing = (20, 20, 20), (1.0, 0.7, 2.0)
    points = list({tuple(place) for place in random.integers(0, 20, (200, 3)).tolist() if place[0] < 8})
    low = 8 if where == "near" else 18
    targets = [(place[0] % (20 - low) + low, place[1], place[2]) for place in random.integers(0, 20, (900, 3)).tolist()]
    expected = search(shape, spacing, points, targets)
    monkeypatch.setattr(module, "WORTH", 2.0)  # give up after the first look
    np.testing.assert_allclose(search(shape, spacing, points, targets), expected, atol=1e-12)
    monkeypatch.setattr(module, "WORTH", 0.0)  # look at all there is
    np.testing.assert_allclose(search(shape, spacing, points, targets), expected, atol=1e-12)


def test_a_step_beyond_the_border_finds_nothing():
    """The first point of a row is next to the last point of the one before it in memory, but not in space."""
    assert search((4, 6), (1.0, 1.0), [(2, 0)], [(1, 5)])[0] == pytest.approx(math.hypot(1, 5))
    assert search((3, 4, 5), (1.0, 1.0, 1.0), [(0, 0, 0)], [(2, 3, 4)])[0] == pytest.approx(math.sqrt(29))


def test_no_neighbor_that_is_left_out_is_nearer_than_one_that_is_looked_at():
    for spacing in ((1.0, 1.0, 1.0), (0.7, 5.0, 0.7), (1.0, 1.3)):
        lattice = Lattice((9,) * len(spacing), spacing)
        farthest = lattice.shells[-1][0]
        looked_at = sum(len(steps) for _, steps in lattice.shells)
        reach = range(-12, 13)
        lengths = [
            math.hypot(*(step * size for step, size in zip(move, spacing, strict=True)))
            for move in itertools.product(reach, repeat=len(spacing))
        ]
        assert sum(0 < length <= farthest + 1e-9 for length in lengths) == looked_at


@pytest.mark.parametrize("shape", [(7,), (5, 9), (6, 1, 7), (23, 14, 11)])
@pytest.mark.parametrize("classes", [2, 9, 40, 64, 70])
def test_boxes_of_classes_equal_plain_numpy(monkeypatch, shape, classes):
    monkeypatch.setattr("unpaired.scores.boxes.SLAB", 64)  # several slabs
    random = np.random.default_rng(classes)
    predicted, true = (random.integers(0, classes, (2, *shape)) * (random.random((2, *shape)) < 0.1)).astype(np.uint8)
    true[random.random(shape) < 0.05] = classes + 2  # a merged set
    boxes = class_boxes(predicted, true, classes)
    assert boxes[0] is None
    for number in range(1, classes):
        places = np.argwhere((predicted == number) | (true == number))
        if len(places):
            expected = tuple(
                slice(a, b + 1) for a, b in zip(places.min(0).tolist(), places.max(0).tolist(), strict=True)
            )
            assert boxes[number] == expected
        else:
            assert boxes[number] is None


def test_axes_follow_memory():
    array = np.zeros((3, 4, 5), order="F")
    ours, theirs, spacing = in_memory_order(array, array.copy(order="C"), (1.0, 2.0, 3.0))
    assert ours.shape == theirs.shape == (5, 4, 3)
    assert spacing == [3.0, 2.0, 1.0]
    assert ours.flags.c_contiguous
