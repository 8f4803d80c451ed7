"""The way to the network's grid and back. Oracles: world positions, scipy, loops over voxels."""

import json
import re
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes, inv_ornt_aff
from scipy import ndimage

from unpaired.data.case import Geometry
from unpaired.data.dataset import Modality
from unpaired.data.images import Image
from unpaired.data.preprocess import (
    Preprocessing,
    apply,
    apply_to_label,
    body_box,
)
from unpaired.data.restore import (
    Box,
    prepared_label_map,
    restore_boxes,
    restore_label_map,
    restore_probabilities,
    restore_probability,
)
from unpaired.documents import fitted
from unpaired.errors import InputError

RAW = Modality(normalization="none")
PLANES = ("native", "axial", "coronal", "sagittal")
ALL_48 = [
    np.array([[axis, flip] for axis, flip in zip(axes, flips, strict=True)])
    for axes, flips in product(permutations(range(3)), product((1, -1), repeat=3))
]


def rotation(*angles: float) -> np.ndarray:
    result = np.eye(3)
    for (first, second), angle in zip(((0, 1), (0, 2), (1, 2)), angles, strict=True):
        turn = np.eye(3)
        turn[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
        )  # fmt: skip
        result = result @ turn
    return result


def scan(shape: tuple[int, int, int], spacing: tuple[float, ...], turned: np.ndarray | None = None) -> Image:
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turned is None else turned) * np.array(spacing)
    affine[:3, 3] = -11, 7, 3
    return Image(np.random.default_rng(1).integers(-500, 500, shape).astype(np.int16), affine)


def stored_as(image: Image, ornt: np.ndarray) -> Image:
    """The same scan in another axis order and direction."""
    from nibabel.orientations import apply_orientation

    affine = image.affine @ inv_ornt_aff(ornt, image.array.shape)
    return Image(np.ascontiguousarray(apply_orientation(image.array, ornt)), affine)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("oblique", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.25)])
def test_round_trip_and_world_positions_for_all_48_orders(plane: str, oblique: tuple[float, ...]) -> None:
    original = scan((4, 5, 7), (0.8, 1.1, 3.0), rotation(*oblique))
    expected, _ = apply(original, Preprocessing(plane=plane), RAW)
    for ornt in ALL_48:
        image = stored_as(original, ornt)
        volume, geometry = apply(image, Preprocessing(plane=plane), RAW)
        np.testing.assert_array_equal(volume, expected)  # every patient looks alike, however the file is stored
        np.testing.assert_array_equal(restore_label_map(volume.astype(np.int16), geometry), image.array)
        np.testing.assert_array_equal(apply_to_label(image.array, geometry), volume)
        assert fitted(json.loads(json.dumps(geometry.to_json())), Geometry) == geometry
        # a voxel's value is found at the same place in the world
        inverse = np.linalg.inv(image.affine)
        for index in ((0, 0, 0), (1, 2, 0), tuple(size - 1 for size in volume.shape)):
            world = geometry.prepared_affine @ (*index, 1)
            file_index = np.rint(inverse @ world)[:3].astype(int)
            assert image.array[tuple(file_index)] == volume[index]


@given(st.data())
@settings(max_examples=60)
def test_resampled_grids_keep_world_positions(data: st.DataObject) -> None:
    """A linear ramp in world millimeters is reproduced by trilinear resampling wherever no edge is repeated."""
    shape = tuple(data.draw(st.integers(5, 12)) for _ in range(3))
    spacing = tuple(data.draw(st.floats(0.5, 3)) for _ in range(3))
    turned = rotation(*(data.draw(st.floats(-3, 3)) for _ in range(3)))
    image = scan(shape, spacing, turned)
    grid = np.stack([*np.meshgrid(*map(np.arange, shape), indexing="ij"), np.ones(shape)])
    slope = np.array([1.0, -2.0, 3.0])
    world = np.tensordot(image.affine, grid, 1)[:3]
    ramp = Image(np.tensordot(slope, world, 1).astype(np.float32), image.affine)
    target = tuple(data.draw(st.floats(0.6, 2.5)) for _ in range(3))
    size = tuple(data.draw(st.integers(1, 14)) for _ in range(3))
    recipe = data.draw(
        st.sampled_from([{}, {"roi": "center", "size": size}, {"roi": "center", "roi_size_mm": (9, 7.5, 8)}])
    )
    plane = data.draw(st.sampled_from(PLANES))
    volume, geometry = apply(ramp, Preprocessing(plane=plane, spacing_mm=target, **recipe), RAW)
    assert volume.shape == geometry.grid
    prepared = np.stack([*np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), np.ones(volume.shape)])
    places = np.tensordot(geometry.prepared_affine, prepared, 1)
    in_file = np.tensordot(np.linalg.inv(image.affine), places, 1)[:3]
    # inside the file, and half a voxel off the crop's rim, where the crop's own edge is repeated
    bounds = np.sort([[geometry.crop[k], geometry.crop[k]] for k in range(3)], axis=-1)[:, 0]
    inside = np.ones(volume.shape, bool)
    for k, (axis, flip) in enumerate(zip(geometry.axes, geometry.flips, strict=True)):
        place = shape[axis] - 1 - in_file[axis] if flip else in_file[axis]
        low, high = max(bounds[k][0], 0), min(bounds[k][1], shape[axis]) - 1
        inside &= (place >= low - 1e-6) & (place <= high + 1e-6)
    expected = np.tensordot(slope, places[:3], 1)
    np.testing.assert_allclose(volume[inside], expected[inside], atol=2e-3)


def test_values_equal_scipy_on_the_whole_scan() -> None:
    image = scan((21, 17, 9), (0.7, 0.9, 2.5))
    volume, geometry = apply(image, Preprocessing(spacing_mm=(1, 1, 1)), RAW)
    reoriented = image.array[::-1, ::-1].transpose(2, 1, 0).astype(np.float32)
    zoom = [count / size for count, size in zip(geometry.grid, reoriented.shape, strict=True)]
    expected = ndimage.zoom(reoriented, zoom, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(volume, expected, atol=1e-3)
    assert geometry.grid == (22, 15, 15)
    np.testing.assert_allclose(geometry.spacing_mm, (22.5 / 22, 15.3 / 15, 14.7 / 15))


@pytest.mark.parametrize("codes", ["LSP", "PSR", "LPS", "RAS", "PIR", "ASL", "SAR"])
def test_named_planes_hang_as_a_radiologist_expects(codes: str) -> None:
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    ras = scan((4, 5, 6), (1, 1, 1))
    image = stored_as(ras, ornt_transform(io_orientation(ras.affine), axcodes2ornt(codes)))
    assert "".join(aff2axcodes(image.affine)) == codes
    expected = {"axial": "SPL", "coronal": "PIL", "sagittal": "RIP"}
    for plane, letters in expected.items():
        _, geometry = apply(image, Preprocessing(plane=plane), RAW)
        assert "".join(aff2axcodes(geometry.prepared_affine)) == letters


def test_labels_nearest_neighbor_against_a_loop() -> None:
    image = scan((6, 8, 5), (1.0, 1.3, 2.7))
    label = np.random.default_rng(2).integers(0, 5, image.array.shape).astype(np.uint8)
    _, geometry = apply(image, Preprocessing(spacing_mm=(1, 1, 1), roi="center", size=(None, 14, 4)), RAW)
    prepared = apply_to_label(label, geometry, outside=9)
    inverse = np.linalg.inv(image.affine)
    for index in np.ndindex(prepared.shape):
        place = (inverse @ geometry.prepared_affine @ (*index, 1))[:3]
        if np.abs(place - np.floor(place) - 0.5).min() < 1e-9:
            continue  # a tie between two voxels
        nearest = np.rint(place).astype(int)
        outside = (nearest < 0).any() or (nearest >= label.shape).any()
        assert prepared[index] == (9 if outside else label[tuple(nearest)])
    back = restore_label_map(prepared, geometry)
    assert back.shape == label.shape
    assert not back[0].any()  # outside the crop
    to_prepared = np.linalg.inv(geometry.prepared_affine) @ image.affine
    for index in np.ndindex(label.shape):
        place = (to_prepared @ (*index, 1))[:3]
        nearest = np.rint(place).astype(int)
        if (nearest >= 0).all() and (nearest < prepared.shape).all() and np.abs(place % 1 - 0.5).min() > 1e-9:
            assert back[index] == prepared[tuple(nearest)]


def test_probabilities_against_scipy() -> None:
    image = scan((9, 8, 7), (1.0, 1.3, 2.7))
    _, geometry = apply(image, Preprocessing(spacing_mm=(1.5, 2, 1.8)), RAW)
    probabilities = np.random.default_rng(3).random((4, *geometry.grid), dtype=np.float32)
    size = [stop - start for start, stop in geometry.crop]
    zoom = [wanted / count for wanted, count in zip(size, geometry.grid, strict=True)]
    resampled = [ndimage.zoom(one, zoom, order=1, mode="nearest", grid_mode=True) for one in probabilities]
    expected = restore_label_map(np.argmax(resampled, 0), Geometry(**{**geometry.__dict__, "grid": tuple(size)}))
    got = restore_probabilities(probabilities, geometry)
    assert got.dtype == np.uint8
    assert got.shape == image.array.shape
    assert (got != expected).mean() < 0.005  # rounding of near ties
    wrong = np.sort(np.array(resampled), axis=0)
    close = (wrong[-1] - wrong[-2]) < 1e-5
    assert (got != expected).sum() <= close.sum()


def test_probabilities_that_were_not_resampled_are_exact() -> None:
    image = scan((6, 7, 3), (1, 1, 4))
    _, geometry = apply(image, Preprocessing(roi="center", size=(None, 9, 4)), RAW)
    probabilities = np.random.default_rng(3).random((3, *geometry.grid), dtype=np.float32)
    expected = restore_label_map(probabilities.argmax(0), geometry)
    np.testing.assert_array_equal(restore_probabilities(probabilities, geometry), expected)
    with pytest.raises(InputError, match="classes"):
        restore_probabilities(np.zeros((0, *geometry.grid), np.float32), geometry)


@pytest.mark.parametrize("spacing_mm", [None, (1.5, 1.2, 9.0)])
def test_of_equally_likely_classes_the_first_is_taken(spacing_mm: tuple[float, float, float] | None) -> None:
    _, geometry = apply(scan((9, 8, 7), (1.0, 1.3, 2.7)), Preprocessing(spacing_mm=spacing_mm), RAW)
    probabilities = np.zeros((4, *geometry.grid), np.float32)
    probabilities[1:3] = 0.5
    assert (restore_probabilities(probabilities, geometry) == 1).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("ends", [([4, 5], [1, 4], [2]), ([1], [], [1, 2, 3]), ([], [2], [])])
@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(spacing_mm=(1.5, 2, 1.8)),
        Preprocessing(spacing_mm=(1.5, 1.2, 9.0)),
        Preprocessing(spacing_mm=(40.0, 0.6, 0.7)),
        Preprocessing(roi="center", size=(None, 9, 4)),
    ],
)
def test_boxes_are_restored_as_the_whole_is(
    preprocessing: Preprocessing, ends: tuple[list[int], ...], order: tuple[int, int, int]
) -> None:
    """Probabilities cut anywhere, in any order of axes, against those of one piece."""
    _, geometry = apply(scan((9, 8, 7), (1.0, 1.3, 2.7)), preprocessing, RAW)
    probabilities = np.random.default_rng(4).random((3, *geometry.grid), dtype=np.float32)
    expected = restore_boxes([Box((0, 0, 0), probabilities)], geometry)
    turned, grid = probabilities.transpose(0, *(axis + 1 for axis in order)), geometry.transposed(order).grid
    cuts = [[0, *(end for end in axis if end < size), size] for axis, size in zip(ends, grid, strict=True)]
    boxes = [
        Box((d[0], h[0], w[0]), turned[:, slice(*d), slice(*h), slice(*w)])
        for d, h, w in product(*(list(pairwise(axis)) for axis in cuts))
    ]
    np.testing.assert_array_equal(restore_boxes(boxes, geometry.transposed(order)), expected)
    np.testing.assert_array_equal(prepared_label_map(boxes, grid), turned.argmax(0))
    with pytest.raises(InputError, match="voxels are missing"):
        restore_boxes(boxes[1:], geometry.transposed(order))
    with pytest.raises(InputError, match=r"expected prepared boxes within .*, got one that ends at"):
        restore_boxes([Box((1, 0, 0), probabilities)], geometry)


def test_one_class_is_restored_as_all_together_are() -> None:
    """Class by class, the likeliest one afterwards is the one that `restore_probabilities` finds."""
    for preprocessing in (
        Preprocessing(spacing_mm=(1.5, 2, 1.8)),
        Preprocessing(roi="center", size=(None, 9, 4)),
        Preprocessing(roi="center", spacing_mm=(3, 2, 2), size=(2, 3, 3)),
    ):
        image = scan((6, 7, 5), (1, 1.3, 4))
        _, geometry = apply(image, preprocessing, RAW)
        said = np.random.default_rng(3).dirichlet([1, 1, 1], geometry.grid).astype(np.float32)
        back = [restore_probability(said[..., n], geometry, float(n == 0)) for n in range(3)]
        np.testing.assert_allclose(np.sum(back, axis=0), 1, atol=1e-6)
        found = restore_probabilities(np.moveaxis(said, -1, 0), geometry)
        np.testing.assert_array_equal(np.argmax(back, axis=0), found)
        outside = restore_label_map(np.ones(geometry.grid, np.uint8), geometry) == 0
        assert (back[0][outside] == 1).all()
    assert outside.any()


def test_a_voxel_on_the_edge_of_the_scan_is_padding_in_image_and_label_map() -> None:
    """Voxels of 2 mm whose centers lie at -2, 0, 2, 4 and 6 mm of a row that is 4 mm long."""
    image = Image(np.full((1, 4, 1), 7.0, np.float32) + np.arange(4, dtype=np.float32).reshape(1, 4, 1), np.eye(4))
    preprocessing = Preprocessing(roi="center", spacing_mm=(None, 2, None), size=(None, 5, None), normalization="none")
    volume, geometry = apply(image, preprocessing, RAW)
    assert (geometry.crop[1], geometry.grid) == ((-3, 7), (1, 5, 1))
    labels = apply_to_label(np.ones((1, 4, 1), np.uint8), geometry, outside=9)
    assert labels[0, :, 0].tolist() == [9, 9, 1, 9, 9]
    assert len(set(volume[0, :, 0].tolist())) == 1, "the padding has the lowest value inside, of which there is one"


def test_a_scan_thinner_than_the_voxels_it_becomes_is_said_to_be() -> None:
    image = Image(np.zeros((1, 4, 1), np.float32), np.eye(4))
    preprocessing = Preprocessing(roi="center", spacing_mm=(2, None, None), size=(4, None, None))
    with pytest.raises(InputError, match="no prepared voxel of 2 mm has its center within the scan's 1 mm of depth"):
        apply(image, preprocessing, RAW)


def test_padding_does_not_enter_the_statistics() -> None:
    image = scan((10, 12, 4), (1, 1, 5))
    volume, geometry = apply(
        image, Preprocessing(roi="center", size=(None, 20, 20), normalization="zscore"), Modality()
    )
    assert volume.shape == (4, 20, 20)
    inside = apply_to_label(np.ones(image.array.shape, np.uint8), geometry).astype(bool)
    assert inside.sum() == image.array.size
    assert volume[inside].mean() == pytest.approx(0, abs=1e-5)
    assert volume[inside].std() == pytest.approx(1, abs=1e-5)
    assert (volume[~inside] == volume[inside].min()).all()


def test_body_box_holds_the_body_and_not_the_air() -> None:
    for air, tissue in ((-1000, 40), (5, 300)):
        view = np.random.default_rng(0).normal(air, 3, (30, 60, 50)).astype(np.float32)
        view[4:26, 20:45, 11:31] = tissue
        view[2, 2, 2] = tissue  # a speck of noise is not the body
        box = body_box(view, np.array([2.0, 1.0, 1.0]))
        for (start, stop), (first, last), spacing in zip(box, ((4, 26), (20, 45), (11, 31)), (2, 1, 1), strict=True):
            assert first - 8 / spacing <= start <= first
            assert last <= stop <= last + 8 / spacing
    assert body_box(np.zeros((4, 5, 6)), np.ones(3)) == ((0, 4), (0, 5), (0, 6))


def test_body_box_of_a_scan_thinner_than_it_is_looked_at() -> None:
    for thickness in (1, 2):  # a single picture has one slice, of 1 mm where nothing says more
        view = np.zeros((thickness, 60, 50), np.float32)
        view[:, 20:45, 11:31] = 300
        depth, (top, bottom), (left, right) = body_box(view, np.ones(3))
        assert depth == (0, thickness)
        assert 12 <= top <= 20 < 45 <= bottom <= 53
        assert 3 <= left <= 11 < 31 <= right <= 39


def test_label_box_is_marked_as_a_leak_and_holds_the_reference() -> None:
    image = scan((20, 20, 6), (1, 1, 5))
    label = np.zeros(image.array.shape, np.uint8)
    label[5:9, 8:15, 2:4] = 1
    preprocessing = Preprocessing(roi="label", roi_margin_mm=2)
    assert preprocessing.leaks_reference
    assert not Preprocessing(roi="body").leaks_reference
    _, geometry = apply(image, preprocessing, RAW, Image(label, image.affine))
    assert geometry.grid == (4, 11, 8)
    assert apply_to_label(label, geometry).sum() == label.sum()
    with pytest.raises(InputError, match="needs the reference"):
        apply(image, preprocessing, RAW)
    with pytest.raises(InputError, match="found none"):
        apply(image, preprocessing, RAW, Image(np.zeros_like(label), image.affine))


@pytest.mark.parametrize(
    "fields",
    [
        {"spacing_mm": (1, 0, 1)},
        {"spacing_mm": (1, 1)},
        {"spacing_mm": (1, float("nan"), 1)},
        {"roi": "center"},
        {"size": (1, 2, 3)},
        {"roi_margin_mm": -1.0},
        {"roi_margin_mm": 1e7, "roi": "body"},
        {"spacing_mm": (1, 1e-9, 1)},
        {"spacing_mm": (1, 1, 1e300)},
        {"roi": "center", "roi_size_mm": (1e9, 1, 1)},
        {"normalization": "zscor"},
    ],
)
def test_impossible_preprocessing(fields: dict) -> None:
    from jaxtyping import TypeCheckError

    with pytest.raises((InputError, TypeCheckError)):  # the type hook, on under pytest only, comes first for some
        Preprocessing(**fields)


@pytest.mark.parametrize(
    ("voxels_mm", "fields", "became"),
    [
        ((90, 90, 90), {"spacing_mm": (1, 1, 1)}, "900 x 3600 x 3600, with up to 46.7 GB"),
        ((1, 1, 1), {"spacing_mm": (1e-6, 1e-6, 1e-6)}, "10000000 x 40000000 x 40000000, with up to 6.4e"),
        ((1, 1, 1), {"roi": "center", "size": (50_000, 50_000, 50_000)}, "50000 x 50000 x 50000, with up to 5e"),
        ((1, 1, 1), {"roi": "center", "roi_size_mm": (1e5, 1e5, 1e5)}, "100000 x 100000 x 100000, with up to 4e"),
        ((1, 1, 1), {"roi": "center", "size": (1, 1, 1), "spacing_mm": (1e5, 1e5, 1e5)}, "1 x 1 x 1, with up to 1e"),
    ],
)
def test_a_volume_that_no_memory_holds_is_refused_before_it_is_made(
    voxels_mm: tuple, fields: dict, became: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNPAIRED_MAX_IMAGE_GB", "20")
    with pytest.raises(InputError, match=rf"would become {re.escape(became)}.* where 20 GB may be taken; check"):
        apply(scan((40, 40, 10), voxels_mm), Preprocessing(**fields), RAW)


def test_bad_images() -> None:
    image = scan((5, 6, 7), (1, 1, 3))
    with pytest.raises(InputError, match="invertible"):
        apply(Image(image.array, np.diag([1.0, 0, 1, 1])), Preprocessing(), RAW)
    broken = image.array.astype(np.float32)
    broken[1, 2, 3] = np.nan
    with pytest.raises(InputError, match=r"NaN, infinity or values beyond 3.4e\+38 \(1 voxels"):
        apply(Image(broken, image.affine), Preprocessing(), RAW)
    _, geometry = apply(image, Preprocessing(), RAW)
    with pytest.raises(InputError, match="shape"):
        apply_to_label(np.zeros((5, 6, 8), np.uint8), geometry)
    with pytest.raises(InputError, match="shape"):
        restore_label_map(np.zeros((5, 6, 8), np.uint8), geometry)
