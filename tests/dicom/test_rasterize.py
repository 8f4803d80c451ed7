"""Contours to pixels: against a plain loop, and rules that can be checked by eye."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from unpaired.dicom import rasterize
from unpaired.dicom.rasterize import combine, fill, keyhole, outlines

RING = np.array([[1, 1], [6, 1], [6, 6], [1, 6]], float)
HOLE = np.array([[3, 3], [5, 3], [5, 5], [3, 5]], float)


def filled_by_loops(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A ray to the right from every pixel's center, edge by edge (W. R. Franklin's test)."""
    mask = np.zeros(shape, bool)
    for column, row in np.ndindex(shape):
        inside = False
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if (y0 > row) != (y1 > row):
                crossing = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
                inside ^= column < round(crossing, 4)
        mask[column, row] = inside
    return mask


points = st.lists(st.tuples(st.integers(-8, 40), st.integers(-8, 40)), min_size=3, max_size=9)


@settings(deadline=None, max_examples=150)
@given(points)
def test_as_a_plain_loop_for_any_polygon(quarters: list[tuple[int, int]]) -> None:
    """Points on quarters of pixels, so that many lie on centers; polygons may cross themselves and leave the grid."""
    polygon = np.array(quarters) / 4
    assert np.array_equal(fill(polygon, (8, 7)), filled_by_loops(polygon, (8, 7)))


def test_points_on_centers_by_hand() -> None:
    """Of a square from center to center the lower sides count, the upper ones don't: 3 x 3 pixels, not 4 x 4."""
    mask = fill(np.array([[1, 1], [4, 1], [4, 4], [1, 4]], float), (6, 6))
    assert np.argwhere(mask).min(axis=0).tolist() == [1, 1]
    assert np.argwhere(mask).max(axis=0).tolist() == [3, 3]
    assert mask.sum() == 9


def test_two_polygons_with_one_edge_share_no_pixel_and_lose_none() -> None:
    """A square cut along a line through centers, straight or slanted."""
    for low, high in ((3, 3), (1, 6), (5, 2)):
        left = np.array([[0, 0], [low, 0], [high, 7], [0, 7]], float)
        right = np.array([[low, 0], [7, 0], [7, 7], [high, 7]], float)
        both = fill(left, (8, 8)).astype(int) + fill(right, (8, 8))
        assert np.array_equal(both, fill(np.array([[0, 0], [7, 0], [7, 7], [0, 7]], float), (8, 8)))


def test_neither_direction_nor_the_first_point_matters() -> None:
    polygon = np.array([[0.3, 1.2], [5.5, 0.1], [6.2, 5.9], [2.2, 3.1]])
    for turned in (polygon[::-1], np.roll(polygon, 2, axis=0), np.concatenate([polygon, polygon[:1]])):
        assert np.array_equal(fill(turned, (8, 8)), fill(polygon, (8, 8)))


def test_rounding_of_decimals_does_not_matter() -> None:
    noise = np.random.default_rng(0).uniform(-4e-5, 4e-5, RING.shape)
    assert np.array_equal(fill(RING + noise, (8, 8)), fill(RING, (8, 8)))


@pytest.mark.parametrize("polygon", [np.zeros((0, 2)), [[1.0, 1.0]], [[1.0, 1.0], [4.0, 4.0]]])
def test_less_than_three_points_hold_nothing(polygon: list) -> None:
    assert not fill(np.array(polygon, float).reshape(-1, 2), (6, 6)).any()


def test_a_hole_in_either_convention() -> None:
    expected = fill(RING, (8, 8)) & ~fill(HOLE, (8, 8))
    for exclusive in (False, True):
        assert np.array_equal(combine([HOLE, RING], (8, 8), exclusive), expected)
    assert np.array_equal(fill(keyhole([RING, HOLE]), (8, 8)), expected)


def test_an_island_in_a_hole_counts() -> None:
    squares = [np.array([[a, a], [b, a], [b, b], [a, b]], float) for a, b in ((0, 11), (2, 9), (4, 7))]
    masks = [fill(square, (12, 12)) for square in squares]
    expected = masks[0] & ~masks[1] | masks[2]
    for exclusive in (False, True):
        assert np.array_equal(combine(squares, (12, 12), exclusive), expected)


def test_polygons_that_cross_are_united_but_where_they_exclude_each_other() -> None:
    polygons = [RING, RING + np.array([3, 0])]
    first, second = (fill(polygon, (12, 8)) for polygon in polygons)
    assert np.array_equal(combine(polygons, (12, 8), exclusive=False), first | second)
    assert np.array_equal(combine(polygons, (12, 8), exclusive=True), first ^ second)
    assert not combine([], (12, 8), exclusive=False).any()


def test_edges_that_cross_more_rows_than_are_counted_at_once_fill_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a zigzag of 100,000 edges over 512 rows takes memory for its points, not for 51 million crossings."""
    polygon = np.random.default_rng(0).uniform(-2, 40, (300, 2))
    expected = fill(polygon, (38, 36))
    assert np.array_equal(expected, filled_by_loops(polygon.round(4), (38, 36)))
    zigzag = np.stack([np.linspace(0, 511, 100_000), np.arange(100_000) % 2 * 511.0], axis=1)
    tracemalloc.start()
    fill(zigzag, (512, 512))
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    monkeypatch.setattr(rasterize, "AT_ONCE", 7)
    assert np.array_equal(fill(polygon, (38, 36)), expected)


def test_contours_without_number_on_a_slice_are_not_all_kept() -> None:
    polygons = [RING * 40 + 0.01 * number for number in range(2000)]
    tracemalloc.start()
    region = combine(polygons, (256, 256), exclusive=True)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert not region[100, 100]
    assert not region[5, 5]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_outlines_give_any_mask_back(seed: int, share: float) -> None:
    """With touching corners, holes in holes and pixels at the border."""
    mask = np.random.default_rng(seed).random((9, 7)) < share
    parts = list(outlines(mask))
    assert np.array_equal(combine([ring for rings in parts for ring in rings], (9, 7), exclusive=True), mask)
    joined = [fill(keyhole(rings), mask.shape) for rings in parts] or [np.zeros_like(mask)]
    assert np.array_equal(np.any(joined, axis=0), mask)


def test_outlines_have_no_points_on_straight_lines_and_one_part_each() -> None:
    mask = fill(RING, (8, 8)) & ~fill(HOLE, (8, 8))
    mask[7, 7] = True
    parts = list(outlines(mask))
    assert sorted(len(rings) for rings in parts) == [1, 2]
    assert len(parts) == label(mask)[1]
    assert max(len(rings[0]) for rings in parts) == 8  # a square with its corners cut
