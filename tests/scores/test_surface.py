"""Surface distances: hand-computed cases, and brute force over all pairs of surface voxels as the oracle."""

import itertools
import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, generate_binary_structure

from unpaired.errors import InputError
from unpaired.scores.surface import SurfaceDistances, joint_box, surface, surface_distances


def surface_in_loops(mask):
    """Voxels of the mask with a face neighbor that is background or outside the volume."""
    found = []
    for voxel in itertools.product(*(range(size) for size in mask.shape)):
        if not mask[voxel]:
            continue
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            neighbor = list(voxel)
            neighbor[axis] += step
            if not 0 <= neighbor[axis] < mask.shape[axis] or not mask[tuple(neighbor)]:
                found.append(voxel)
                break
    return found


def distances_in_loops(prediction, reference, spacing):
    def directed(points, targets):
        scaled = [[p * s for p, s in zip(target, spacing, strict=True)] for target in targets]
        return [
            min(math.dist([p * s for p, s in zip(point, spacing, strict=True)], t) for t in scaled) for point in points
        ]

    ours, theirs = surface_in_loops(prediction), surface_in_loops(reference)
    return directed(ours, theirs), directed(theirs, ours)


def percentile_95(values):
    """Linear interpolation between the two order statistics around the 95 % rank."""
    ordered, rank = sorted(values), 0.95 * (len(values) - 1)
    low = math.floor(rank)
    return ordered[low] + (rank - low) * (ordered[min(low + 1, len(values) - 1)] - ordered[low])


def cube(start, size, shape=(12, 12, 12)):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, a + size) for a in start)] = True
    return mask


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((9, 11), (1.0, 1.0)), ((9, 11), (0.7, 2.5)), ((6, 7, 8), (1.0, 1.0, 1.0)), ((6, 7, 8), (8.0, 0.75, 1.3))],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_all_scores_equal_brute_force(shape, spacing, seed):
    random = np.random.default_rng(seed)
    prediction, reference = random.random(shape) < 0.4, random.random(shape) < 0.6
    ours, theirs = distances_in_loops(prediction, reference, spacing)
    found = surface_distances(prediction, reference, spacing)
    np.testing.assert_allclose(np.sort(found.prediction_to_reference), sorted(ours), atol=1e-12)
    np.testing.assert_allclose(np.sort(found.reference_to_prediction), sorted(theirs), atol=1e-12)
    assert found.hausdorff == pytest.approx(max(ours + theirs))
    assert found.hausdorff_95 == pytest.approx(max(percentile_95(ours), percentile_95(theirs)))
    assert found.assd == pytest.approx(sum(ours + theirs) / len(ours + theirs))
    assert found.masd == pytest.approx((sum(ours) / len(ours) + sum(theirs) / len(theirs)) / 2)
    assert found.surface_dice(1.0) == pytest.approx(sum(d <= 1.0 for d in ours + theirs) / len(ours + theirs))


@pytest.mark.parametrize("shape", [(9, 11), (6, 7, 8)])
def test_surface_is_mask_xor_scipy_erosion(shape):
    mask = np.random.default_rng(3).random(shape) < 0.8
    assert np.array_equal(surface(mask), mask ^ binary_erosion(mask, generate_binary_structure(mask.ndim, 1)))


def test_one_voxel_each():
    found = surface_distances(cube((1, 1, 1), 1), cube((1, 4, 5), 1), (1.0, 1.0, 1.0))
    assert found.hausdorff == found.hausdorff_95 == found.assd == found.masd == 5.0


def test_one_voxel_anisotropic_in_2d():
    prediction, reference = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    prediction[0, 0] = reference[3, 2] = True
    assert surface_distances(prediction, reference, (1.0, 2.0)).hausdorff == 5.0


def test_cube_shifted_by_two_slices_of_three_millimeters():
    """A 3^3 cube moved by 2 along an axis of 3 mm: 17 of its 26 surface voxels are off, see each distance below."""
    found = surface_distances(cube((5, 2, 2), 3), cube((3, 2, 2), 3), (3.0, 1.0, 1.0))
    # Slice 5 lies on the reference's last slice: 9 - 1 ring voxels and, with the center, 9 zeros. Slice 6 is 3 mm off
    # (8 ring voxels; its center is inside), slice 7 is 6 mm off (9 voxels).
    expected = [0.0] * 9 + [3.0] * 8 + [6.0] * 9
    assert sorted(found.prediction_to_reference.tolist()) == expected
    assert sorted(found.reference_to_prediction.tolist()) == expected
    assert found.hausdorff == 6.0
    assert found.assd == found.masd == pytest.approx(sum(expected) / 26)
    assert found.surface_dice(3.0) == pytest.approx(17 / 26)


def test_pooled_and_mean_of_directed_differ_for_surfaces_of_different_size():
    found = SurfaceDistances(np.array([4.0]), np.array([0.0, 1.0, 1.0]))
    assert found.assd == 1.5
    assert found.masd == pytest.approx((4 + 2 / 3) / 2)


def test_identical_masks_have_no_distance():
    found = surface_distances(cube((2, 2, 2), 4), cube((2, 2, 2), 4), (1.0, 2.0, 3.0))
    assert found.hausdorff == found.hausdorff_95 == found.assd == found.masd == 0.0
    assert found.surface_dice(0.0) == 1.0


def test_the_border_of_the_volume_is_surface():
    full = np.ones((3, 3, 3), bool)
    assert surface(full).sum() == 26
    center = np.zeros((3, 3, 3), bool)
    center[1, 1, 1] = True
    assert surface_distances(full, center, (1.0, 1.0, 1.0)).hausdorff == pytest.approx(math.sqrt(3))


def test_cropping_changes_nothing():
    random = np.random.default_rng(5)
    prediction, reference = random.random((2, 6, 6, 6)) < 0.5
    wide = [np.pad(mask, 4) for mask in (prediction, reference)]
    spacing = (1.0, 1.5, 2.0)
    assert surface_distances(*wide, spacing).assd == pytest.approx(
        surface_distances(prediction, reference, spacing).assd
    )


def test_exchanging_the_masks_exchanges_the_directions():
    random = np.random.default_rng(6)
    prediction, reference = random.random((2, 8, 8)) < 0.3
    one, other = (
        surface_distances(prediction, reference, (1.0, 2.0)),
        surface_distances(reference, prediction, (1.0, 2.0)),
    )
    assert np.array_equal(np.sort(one.prediction_to_reference), np.sort(other.reference_to_prediction))
    assert one.hausdorff_95 == other.hausdorff_95


def test_a_tolerance_is_met_by_a_spacing_that_a_header_rounded():
    spacing = float(np.float32(0.3))
    assert spacing > 0.3
    found = surface_distances(cube((1, 1, 1), 1), cube((1, 1, 2), 1), (1.0, 1.0, spacing))
    assert (found.surface_dice(0.3), found.surface_dice(0.2999)) == (1, 0)


def test_box_of_empty_masks_is_empty():
    assert joint_box(np.zeros((3, 4), bool)) == (slice(0, 0), slice(0, 0))


@pytest.mark.parametrize(
    ("prediction", "reference", "spacing", "message"),
    [
        (np.zeros((3, 3), bool), np.ones((3, 3), bool), (1.0, 1.0), "prediction mask is empty"),
        (np.ones((3, 3), bool), np.zeros((3, 3), bool), (1.0, 1.0), "reference mask is empty"),
        (np.ones((3, 3), bool), np.ones((3, 4), bool), (1.0, 1.0), "one shape"),
        (np.ones((3, 3), bool), np.ones((3, 3), bool), (1.0,), "2 positive spacings"),
        (np.ones((3, 3), bool), np.ones((3, 3), bool), (1.0, 0.0), "2 positive spacings"),
        (np.ones((3, 3), bool), np.ones((3, 3), bool), (1.0, float("nan")), "2 positive spacings"),
    ],
)
def test_bad_masks_are_named(prediction, reference, spacing, message):
    with pytest.raises(InputError, match=message):
        surface_distances(prediction, reference, spacing)
