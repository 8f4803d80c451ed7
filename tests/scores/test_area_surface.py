"""Area-weighted surfaces: planes and cubes by hand, plain loops as oracle, DeepMind's package where it is installed."""

import itertools
import math
import types

import numpy as np
import pytest
from scipy import ndimage

from unpaired.errors import InputError
from unpaired.scores.area_surface import AreaDistances, area_surface_distances
from unpaired.scores.marching_cubes import area_table, bit_of
from unpaired.scores.surface import surface


def block(shape, start, stop):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def code_of(*voxels):
    return sum(bit_of(voxel) for voxel in voxels)


def test_flat_walls_have_the_area_of_a_voxel_face():
    a, b, c = spacing = (0.8, 1.3, 3.0)
    table = area_table(spacing)
    for axis, face in enumerate((b * c, a * c, a * b)):
        wall = [voxel for voxel in itertools.product((0, 1), repeat=3) if voxel[axis]]
        assert table[code_of(*wall)] == pytest.approx(face)
    assert table[0] == table[255] == 0.0


def test_one_voxel_cuts_a_triangle_off_a_corner():
    """The triangle's corners lie half a voxel along each axis: sides hypot(a, b) / 2 and so on, area by Heron."""
    a, b, c = (0.8, 1.3, 3.0)
    sides = [math.hypot(a, b) / 2, math.hypot(b, c) / 2, math.hypot(a, c) / 2]
    half = sum(sides) / 2
    heron = math.sqrt(half * math.prod(half - side for side in sides))
    table = area_table((a, b, c))
    for voxel in itertools.product((0, 1), repeat=3):
        assert table[code_of(voxel)] == pytest.approx(heron)
    # An edge of two voxels: a rectangle, one voxel long.
    assert table[code_of((0, 0, 0), (0, 0, 1))] == pytest.approx(c * math.hypot(a, b) / 2)


def test_a_code_and_its_complement_have_one_surface():
    table = area_table((0.8, 1.3, 3.0))
    np.testing.assert_array_equal(table, table[::-1])
    assert (table[1:-1] > 0).all()


def test_area_of_cubes_in_2d_and_3d_by_hand():
    """A box's faces, its edges and corners cut: the marching-cubes surface of n x n x n voxels."""
    n, shape = 4, (8, 8, 8)
    cube = block(shape, (2, 2, 2), (2 + n,) * 3)
    found = area_surface_distances(cube, cube, (1.0, 1.0, 1.0))
    expected = 6 * (n - 1) ** 2 + 12 * (n - 1) * math.sqrt(2) / 2 + 8 * math.sqrt(3) / 8
    assert found.prediction_area.sum() == pytest.approx(expected)
    square = block((7, 7), (1, 2), (4, 6))
    found = area_surface_distances(square, square, (2.0, 0.5))
    assert found.reference_area.sum() == pytest.approx(2 * (2 * 2.0 + 3 * 0.5) + 4 * math.hypot(2.0, 0.5) / 2)


def test_two_planes_lie_as_far_apart_as_they_do():
    """Half spaces whose walls are 2 slices of 3 mm apart: every interior element is 6 mm off."""
    ours, theirs = block((10, 30, 30), (0, 0, 0), (6, 30, 30)), block((10, 30, 30), (0, 0, 0), (4, 30, 30))
    found = area_surface_distances(ours, theirs, (3.0, 1.0, 1.0))
    assert found.hausdorff == found.hausdorff_95 == 6.0
    # NSD: the walls (900 mm^2 less a rim) are further than 3 mm off, the far side and the shared sides aren't.
    assert found.surface_dice(6.0) == 1.0
    assert 0.5 < found.surface_dice(2.9) < 0.85


def test_the_area_of_a_ball_hardly_depends_on_the_slices_thickness():
    """Steps make it larger than the ball's; surface voxels, counted, are 1.5 times fewer in thick slices."""

    def ball(spacing):
        axes = np.meshgrid(*(np.arange(-12, 12 + size, size) for size in spacing), indexing="ij")
        return sum(axis**2 for axis in axes) <= 10**2

    balls = [(ball(spacing), spacing) for spacing in ((1.0, 1.0, 1.0), (3.0, 1.0, 1.0))]
    thin, thick = (area_surface_distances(mask, mask, spacing).prediction_area.sum() for mask, spacing in balls)
    assert thin == pytest.approx(4 * math.pi * 10**2, rel=0.1)
    assert thick == pytest.approx(thin, rel=0.15)
    counted = [np.count_nonzero(surface(mask)) for mask, _ in balls]
    assert counted[0] > 1.5 * counted[1]


def elements_in_loops(mask, spacing):
    """[(corner in mm, area)] by asking the table for each corner's code, voxel by voxel."""
    table, found = area_table(spacing), []
    for corner in itertools.product(*(range(size + 1) for size in mask.shape)):
        code = 0
        for back in itertools.product((0, 1), repeat=mask.ndim):
            voxel = [place - step for place, step in zip(corner, back, strict=True)]
            if all(0 <= place < size for place, size in zip(voxel, mask.shape, strict=True)) and mask[tuple(voxel)]:
                code += bit_of(back)
        if 0 < code < len(table) - 1:
            found.append(([place * size for place, size in zip(corner, spacing, strict=True)], table[code]))
    return found


@pytest.mark.parametrize(("shape", "spacing"), [((5, 7), (1.0, 2.5)), ((4, 5, 3), (0.7, 1.0, 3.0)), ((6,), (2.0,))])
def test_all_scores_equal_plain_loops(shape, spacing):
    random = np.random.default_rng(1)
    masks = random.random(shape) < 0.5, random.random(shape) < 0.6
    ours, theirs = (elements_in_loops(mask, spacing) for mask in masks)
    directed = [
        [(min(math.dist(place, other) for other, _ in targets), area) for place, area in elements]
        for elements, targets in ((ours, theirs), (theirs, ours))
    ]
    found = area_surface_distances(*masks, spacing)
    total = sum(area for pairs in directed for _, area in pairs)
    assert found.hausdorff == pytest.approx(max(distance for pairs in directed for distance, _ in pairs))
    assert found.assd == pytest.approx(sum(d * a for pairs in directed for d, a in pairs) / total)
    means = [sum(d * a for d, a in pairs) / sum(a for _, a in pairs) for pairs in directed]
    assert found.masd == pytest.approx(sum(means) / 2)
    assert found.surface_dice(1.0) == pytest.approx(sum(a for pairs in directed for d, a in pairs if d <= 1) / total)
    percentiles = []
    for pairs in directed:
        reached = 0.0
        for distance, area in sorted(pairs):
            reached += area
            if reached >= 0.95 * sum(a for _, a in pairs) - 1e-12:
                percentiles.append(distance)
                break
    assert found.hausdorff_95 == pytest.approx(max(percentiles))


def test_a_tolerance_is_met_by_a_spacing_that_a_header_rounded():
    """Walls one slice apart; without rounding half of the area, the sides that both share and the walls' rims, is."""
    ours, theirs = block((4, 30, 30), (0, 0, 0), (3, 30, 30)), block((4, 30, 30), (0, 0, 0), (2, 30, 30))
    found = area_surface_distances(ours, theirs, (float(np.float32(0.3)), 1.0, 1.0))
    assert found.surface_dice(0.3) == 1
    assert found.surface_dice(0.2999) < 0.7


def test_95_percent_of_the_area_are_enough_for_the_95th_percentile():
    """Twenty elements of one size, of which the last is far off: 19 of them are 95 %."""
    distances = np.array([0.0] * 19 + [5.0])
    assert AreaDistances(distances, np.zeros(1), np.ones(20), np.ones(1)).hausdorff_95 == 0
    far = np.array([0.0] * 18 + [5.0] * 2)
    assert AreaDistances(far, np.zeros(1), np.ones(20), np.ones(1)).hausdorff_95 == 5


@pytest.mark.parametrize("shape", [(2, 20), (2, 1, 20)])
def test_the_end_of_a_row_is_far_from_the_beginning_of_the_next(shape, monkeypatch):
    """One pixel at each: the farthest of their corners lie 1 row and 19 columns, or 2 and 18, apart."""
    monkeypatch.setattr("unpaired.scores.lattice.WORTH", 0.0)  # look at all neighbors
    ours, theirs = np.zeros(shape, bool), np.zeros(shape, bool)
    ours[0, ..., 19] = theirs[1, ..., 0] = True
    found = area_surface_distances(ours, theirs, (1.0,) * len(shape))
    assert found.hausdorff == pytest.approx(math.hypot(1, 19))


@pytest.mark.parametrize("message", ["prediction mask is empty"])
def test_empty_masks_are_named(message):
    with pytest.raises(InputError, match=message):
        area_surface_distances(np.zeros((3, 3), bool), np.ones((3, 3), bool), (1.0, 1.0))


@pytest.fixture
def deepmind(monkeypatch):
    """`surface-distance`; its release on PyPI calls SciPy by names that SciPy has dropped."""
    package = pytest.importorskip("surface_distance")
    filters = types.SimpleNamespace(correlate=ndimage.correlate)
    monkeypatch.setattr(ndimage, "filters", filters, raising=False)
    morphology = types.SimpleNamespace(distance_transform_edt=ndimage.distance_transform_edt)
    monkeypatch.setattr(ndimage, "morphology", morphology, raising=False)
    return package


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.3, 3.0), (0.8, 1.3)])
@pytest.mark.parametrize("smooth", [0.0, 1.2])
def test_equals_deepmind(deepmind, spacing, smooth):
    random = np.random.default_rng(2)
    shape = (14, 12, 9)[: len(spacing)]
    ours, theirs = (ndimage.gaussian_filter(random.random(shape), smooth) > 0.5 for _ in range(2))
    expected = deepmind.compute_surface_distances(theirs, ours, spacing)
    found = area_surface_distances(ours, theirs, spacing)
    assert found.hausdorff == pytest.approx(deepmind.compute_robust_hausdorff(expected, 100), abs=1e-9)
    assert found.hausdorff_95 == pytest.approx(deepmind.compute_robust_hausdorff(expected, 95), abs=1e-9)
    assert found.masd == pytest.approx(sum(deepmind.compute_average_surface_distance(expected)) / 2, abs=1e-9)
    assert found.surface_dice(1.1) == pytest.approx(deepmind.compute_surface_dice_at_tolerance(expected, 1.1))
