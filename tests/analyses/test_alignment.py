"""A partner on the case's grid: places recovered from volumes whose values are coordinates, against hand-made cases."""

import numpy as np
import pytest

from unpaired.analyses.partners.alignment import Misalignment, place, without_slices
from unpaired.data.case import Geometry, UnlabeledCase
from unpaired.errors import InputError

IDENTITY = ((0, 1, 2), (False, False, False))


def geometry(grid, affine, axes=IDENTITY[0], flips=IDENTITY[1]) -> Geometry:
    """Of a file that was neither cropped nor resampled."""
    depth, height, width = grid
    by_axis = dict(zip(axes, grid, strict=True))
    rows = tuple(tuple(float(value) for value in row) for row in np.asarray(affine, float))
    shape = (by_axis[0], by_axis[1], by_axis[2])
    return Geometry(shape, rows, axes, flips, ((0, depth), (0, height), (0, width)), (depth, height, width))


def scan(volume, affine, patient="p1", modality="mr", axes=IDENTITY[0], flips=IDENTITY[1]) -> UnlabeledCase:
    volume = np.asarray(volume, np.float32)
    return UnlabeledCase(
        f"{patient}_{modality}", patient, modality, volume, geometry(volume.shape, affine, axes, flips)
    )


def spaced(*spacing, origin=(0, 0, 0)) -> np.ndarray:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


def world(case: UnlabeledCase) -> np.ndarray:
    """(3, *grid): where each prepared voxel lies, in mm."""
    places = np.stack(np.meshgrid(*(np.arange(count) for count in case.geometry.grid), indexing="ij"))
    matrix = case.geometry.prepared_affine
    return np.tensordot(matrix[:3, :3], places, 1) + matrix[:3, 3].reshape(3, 1, 1, 1)


def origins(partner: UnlabeledCase, case: UnlabeledCase, dims: int, wrong=None, seed=0) -> np.ndarray:
    """(3, *grid): from where in the partner, in mm, each voxel came: trilinear values of coordinates are places."""
    found = []
    for values in world(partner):
        one = UnlabeledCase(partner.id, partner.patient, partner.modality, values.astype(np.float32), partner.geometry)
        found.append(place(one, case, dims, wrong or Misalignment(), seed).volume)
    return np.stack(found)


CASE = scan(np.zeros((5, 8, 8)), spaced(3, 2, 2), modality="ct")
WIDE = scan(np.zeros((30, 40, 40)), spaced(2, 1.5, 1.5, origin=(-24, -22, -22)))


def test_a_scan_beside_itself_is_itself() -> None:
    values = np.random.default_rng(0).normal(size=(5, 8, 8))
    for dims in (2, 3):
        for affine in (spaced(3, 2, 2), spaced(0.7, 0.31, 1.9, origin=(12.3, -7.7, 100.1))):
            case = scan(values, affine, modality="ct")
            placed = place(scan(values, affine), case, dims)
            assert placed.alignment == "scanner"
            assert np.array_equal(placed.volume, case.volume)
        placed = place(scan(values, spaced(3, 2, 2), "p2"), CASE, dims)
        assert placed.alignment == "centers"
        assert np.array_equal(placed.volume, values.astype(np.float32))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_one_patient_is_aligned_through_scanner_coordinates(axes, flips) -> None:
    oblique = np.array([[2.0, 0.1, 0.3, -40], [-0.1, 1.5, 0.2, -30], [-0.3, -0.2, 1.4, -20], [0, 0, 0, 1]])
    case = scan(np.zeros((5, 8, 8)), spaced(3, 2, 2, origin=(1.5, 0.5, 0)), modality="ct")
    partner = scan(np.zeros((44, 44, 44)), oblique, axes=axes, flips=flips)
    assert np.allclose(origins(partner, case, 3), world(case), atol=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("amount", [0.0, 2.5, 6.0])
def test_a_shift_is_as_long_as_it_says(dims: int, amount: float) -> None:
    gap = origins(WIDE, CASE, dims, Misalignment(shift_mm=amount)) - origins(WIDE, CASE, dims)
    assert np.allclose(np.linalg.norm(gap, axis=0), amount, atol=1e-4)
    assert np.allclose(gap, gap[:, :1, :1, :1], atol=1e-4)  # everywhere the same
    if dims == 2:
        assert np.allclose(gap[0], 0)  # within the slice
    longer = origins(WIDE, CASE, dims, Misalignment(shift_mm=2 * amount)) - origins(WIDE, CASE, dims)
    assert np.allclose(longer, 2 * gap, atol=1e-3)  # more of the same


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("degrees", [10.0, 90.0, 180.0])
def test_a_rotation_turns_by_what_it_says_about_the_middle_of_the_case(dims: int, degrees: float) -> None:
    middle = world(CASE).reshape(3, -1).mean(axis=1)
    depth = slice(None) if dims == 3 else slice(2, 3)
    turned = origins(WIDE, CASE, dims, Misalignment(rotation_degrees=degrees))[:, depth].reshape(3, -1).T - middle
    plain = world(CASE)[:, depth].reshape(3, -1).T - middle
    if dims == 2:
        turned, plain = turned[:, 1:], plain[:, 1:]
    assert np.allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(plain, axis=1), atol=1e-3)
    matrix = np.linalg.lstsq(plain, turned, rcond=None)[0]
    cosine = np.trace(matrix) / 2 if dims == 2 else (np.trace(matrix) - 1) / 2
    assert cosine == pytest.approx(np.cos(np.radians(degrees)), abs=1e-4)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-4)  # turned, not mirrored


def test_other_patients_lie_middle_on_middle_in_mm() -> None:
    partner = scan(np.zeros((9, 30, 30)), spaced(3, 1, 1, origin=(500, 70, -40)), "p2")
    found, ours = origins(partner, CASE, 3), world(CASE)
    middles = [world(one).reshape(3, -1).mean(axis=1).reshape(3, 1, 1, 1) for one in (partner, CASE)]
    assert np.allclose(found - middles[0], ours - middles[1], atol=1e-3)


def test_slices_of_other_patients_belong_together_by_relative_depth() -> None:
    ramp = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 8, 8))
    partner = scan(ramp, spaced(10, 2, 2), "p2")
    longer = scan(np.zeros((8, 8, 8)), spaced(1, 2, 2), modality="ct")
    assert place(partner, longer, 2).volume[:, 4, 4].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    shorter = scan(np.zeros((2, 8, 8)), spaced(1, 2, 2), modality="ct")
    assert place(partner, shorter, 2).volume[:, 4, 4].tolist() == [0, 2]  # of two as near, the first


def test_a_network_of_slices_gets_whole_slices() -> None:
    ramp = np.broadcast_to(np.arange(5.0)[:, None, None], (5, 8, 8))
    case = scan(np.zeros((3, 8, 8)), spaced(3, 2, 2, origin=(1, 0, 0)), modality="ct")
    partner = scan(ramp, spaced(2, 2, 2))
    assert place(partner, case, 2).volume[:, 4, 4].tolist() == [0, 2, 3]  # at 0.5, 2 and 3.5 of its slices
    assert place(partner, case, 3).volume[:, 4, 4].tolist() == [0.5, 2, 3.5]


def test_beyond_the_partner_is_its_lowest_value() -> None:
    values = np.random.default_rng(1).normal(size=(5, 4, 4))
    placed = place(scan(values, spaced(3, 2, 2), "p2"), CASE, 3)
    assert np.array_equal(placed.volume[:, 2:6, 2:6], values.astype(np.float32))
    placed.volume[:, 2:6, 2:6] = values.min()
    assert np.all(placed.volume == np.float32(values.min()))


def test_scanner_coordinates_are_not_trusted_where_scans_do_not_meet_or_face_other_ways() -> None:
    values = np.zeros((5, 8, 8))
    far = scan(values, spaced(3, 2, 2, origin=(0, 400, 0)))
    assert place(far, CASE, 3).alignment == "centers"
    across = np.array([[0, 3, 0, 0], [3, 0, 0, 0], [0, 0, 2.0, 0], [0, 0, 0, 1]])
    turned = scan(np.zeros((8, 5, 8)), across)
    assert place(turned, CASE, 2).alignment == "centers"
    assert place(turned, CASE, 3).alignment == "scanner"
    assert place(scan(values, spaced(3, 2, 2), "p2"), CASE, 3).alignment == "centers"


def test_missing_slices_are_nested_and_filled_from_the_nearest_that_is_left() -> None:
    volume = np.arange(10.0).reshape(10, 1, 1).astype(np.float32)
    volume[0, 0, 0] = -5  # the lowest value, which blank slices get
    gone_before: set[int] = set()
    for share, count in ((0.0, 0), (0.25, 2), (0.5, 5), (0.75, 8), (1.0, 9)):
        blank = without_slices(volume, share, "blank", np.random.default_rng(1)).ravel()
        filled = without_slices(volume, share, "nearest", np.random.default_rng(1)).ravel()
        gone = {index for index in range(10) if filled[index] != volume[index, 0, 0]}
        kept = sorted(set(range(10)) - gone)
        assert len(gone) == count
        assert gone_before <= gone
        assert all(
            abs(index - volume.ravel().tolist().index(filled[index])) == min(abs(index - k) for k in kept)
            for index in gone
        )
        assert blank.tolist() == [-5 if index in gone else volume[index, 0, 0] for index in range(10)]
        gone_before = gone


def test_draws_depend_on_seed_and_scans_alone() -> None:
    partner = scan(np.random.default_rng(2).normal(size=(30, 40, 40)), spaced(2, 1.5, 1.5, origin=(-24, -22, -22)))
    wrong = Misalignment(10, 20, 0.5)
    first, again, other = (place(partner, CASE, 3, wrong, seed).volume for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "fields",
    [
        {"shift_mm": -1.0},
        {"shift_mm": np.nan},
        {"rotation_degrees": 200.0},
        {"missing_share": 1.5},
        {"missing": "nearst"},
    ],
)
def test_bad_amounts_are_one_line(fields) -> None:
    with pytest.raises(InputError) as error:
        Misalignment(**fields)
    assert "\n" not in str(error.value)
    assert next(iter(fields)).split("_")[0] in str(error.value)
