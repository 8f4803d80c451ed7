"""Smoothing and the largest connected part: against plain loops, by hand, and what they must never touch."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from unpaired.data.dataset import Dataset
from unpaired.data.image import Image
from unpaired.data.postprocess import (
    Postprocessing,
    keep_largest_component,
    parse_largest_component,
    postprocess,
    shifted,
    smoothed,
)
from unpaired.data.prepare import prepare
from unpaired.data.restore import restore_probabilities
from unpaired.errors import InputError
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.predictor import Predictor
from unpaired.inference.prepared import segment_prepared
from unpaired.inference.windows import whole
from unpaired.recipe import build_method, from_json, override, to_json
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run
from unpaired.training.validate import validate


def largest_by_flood_fill(label_map: np.ndarray, number: int) -> np.ndarray:
    """The largest 26-connected (8 in 2D) part of a class, first in C order among equals, in plain loops."""
    voxels = {tuple(int(i) for i in place) for place in np.argwhere(label_map == number)}
    steps = [step for step in product((-1, 0, 1), repeat=label_map.ndim) if any(step)]
    parts: list[set[tuple[int, ...]]] = []
    for start in sorted(voxels):
        if any(start in part for part in parts):
            continue
        part, edge = {start}, [start]
        while edge:
            here = edge.pop()
            for step in steps:
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                if there in voxels and there not in part:
                    part.add(there)
                    edge.append(there)
        parts.append(part)
    best = max(parts, key=len, default=set())  # the first of equals
    mask = np.zeros(label_map.shape, bool)
    for place in best:
        mask[place] = True
    return mask


def smoothed_by_loops(values: np.ndarray, deviation: float, axis: int) -> np.ndarray:
    """Along one axis: each voxel the weighted mean of those up to three deviations away; the outermost go on."""
    result = np.zeros(values.shape)
    length, reach = values.shape[axis], math.floor(3 * deviation + 0.5)
    weights = {step: math.exp(-(step**2) / (2 * deviation**2)) for step in range(-reach, reach + 1)}
    for place in np.ndindex(*values.shape):
        for step, weight in weights.items():
            near = list(place)
            near[axis] = min(max(place[axis] + step, 0), length - 1)
            result[place] += weight * values[tuple(near)]
    return result / sum(weights.values())


def test_smoothing_is_a_gaussian_in_millimeters() -> None:
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), size=(3, 6, 4)).transpose(3, 0, 1, 2)
    before = probabilities.copy()
    result = smoothed(probabilities, (10.0, 1.5, 2.0), 3.0)
    for number in range(3):
        expected = probabilities[number]
        for axis, spacing in enumerate((10.0, 1.5, 2.0)):
            expected = smoothed_by_loops(expected, 3.0 / spacing, axis)
        np.testing.assert_allclose(result[number], expected, atol=1e-6)
    np.testing.assert_allclose(result.sum(0), 1, atol=1e-6)
    np.testing.assert_array_equal(probabilities, before)
    assert smoothed(probabilities, (10.0, 1.5, 2.0), 0) is probabilities
    with pytest.raises(InputError, match="smoothing_mm"):
        Postprocessing(smoothing_mm=-1)


@pytest.mark.parametrize("spacing", [(10.0, 0.02, 0.05), (0.003, 4.0, 0.01)])
def test_smoothing_that_reaches_beyond_the_volume_weighs_its_outermost_voxels(
    spacing: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By kernels no longer than the volume, however many voxels a millimeter has."""
    probabilities = np.random.default_rng(0).dirichlet((1, 1), size=(3, 4, 1)).transpose(3, 0, 1, 2)
    kernels: list[int] = []

    def correlate(values: np.ndarray, kernel: np.ndarray, *rest: int, **options: object) -> None:
        kernels.append(len(kernel))
        correlate1d(values, kernel, *rest, **options)

    correlate1d = ndimage.correlate1d
    monkeypatch.setattr(ndimage, "correlate1d", correlate)
    result = smoothed(probabilities, spacing, 3.0)
    for number in range(2):
        expected = probabilities[number]
        for axis, size in enumerate(spacing):
            expected = smoothed_by_loops(expected, 3.0 / size, axis)
        np.testing.assert_allclose(result[number], expected, atol=1e-6)
    finest = smoothed(probabilities, (1e-4, 1e-4, 1e-4), 30.0)
    assert finest.std(axis=(1, 2, 3)).max() < 1e-4
    assert max(kernels) <= 2 * 4 - 1
    np.testing.assert_allclose(smoothed(probabilities, spacing, 1e-323), probabilities, atol=1e-7)


def test_background_gets_log_odds_and_the_others_keep_theirs() -> None:
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), size=(3, 6, 4)).transpose(3, 0, 1, 2)
    before = probabilities.copy()
    result = shifted(probabilities, 0.7)
    np.testing.assert_allclose(
        np.log(result[0] / (1 - result[0])), np.log(before[0] / (1 - before[0])) + 0.7, rtol=1e-5
    )
    np.testing.assert_allclose(result[1] / result[2], before[1] / before[2], rtol=1e-5)
    np.testing.assert_allclose(result.sum(0), 1, rtol=1e-6)
    np.testing.assert_array_equal(probabilities, before)
    assert shifted(probabilities, 0) is probabilities
    certain = np.array([1.0, 0.0, 0.0], np.float32).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(shifted(certain, -10), certain)
    with pytest.raises(InputError, match="background_log_odds"):
        Postprocessing(background_log_odds=11)


@pytest.mark.parametrize("smoothing_mm", [0.0, 2.0])
def test_the_predictor_gives_background_its_odds_alone_and_with_others(
    phantom: Dataset, tmp_path: Path, smoothing_mm: float
) -> None:
    asked = Postprocessing(smoothing_mm=smoothing_mm, background_log_odds=2.0)
    recipe = replace(csa(), patch_size=(32, 32), postprocessing=asked)
    run = Run.create(tmp_path / "run", recipe, phantom)
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    scan = Image(np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32), np.diag([1.0, 1, 4, 1]))
    raw, geometry = Predictor(run, device="cpu", postprocessing=Postprocessing()).probabilities(scan, "ct")
    expected = restore_probabilities(smoothed(shifted(raw, 2.0), geometry.spacing_mm, smoothing_mm), geometry)
    without = restore_probabilities(smoothed(raw, geometry.spacing_mm, smoothing_mm), geometry)
    assert (expected != without).any(), "nothing changed: the comparison below would say nothing"
    predictor = Predictor(run, device="cpu")
    np.testing.assert_array_equal(predictor.segment(scan, "ct"), expected)
    np.testing.assert_array_equal(Ensemble([predictor, predictor]).segment_case(scan, "ct").label_map, expected)
    other = Predictor(run, device="cpu", postprocessing=Postprocessing(background_log_odds=-2.0))
    np.testing.assert_array_equal(Ensemble([predictor, other]).segment(scan, "ct"), expected)  # the first run's hold
    assert other.recipe.postprocessing.background_log_odds == -2.0


def test_the_predictor_smooths_before_it_chooses_alone_and_with_others(phantom: Dataset, tmp_path: Path) -> None:
    recipe = replace(csa(), patch_size=(32, 32), postprocessing=Postprocessing(smoothing_mm=2.0))
    run = Run.create(tmp_path / "run", recipe, phantom)
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    scan = Image(np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32), np.diag([1.0, 1, 4, 1]))
    plain, predictor = Predictor(run, device="cpu", postprocessing=Postprocessing()), Predictor(run, device="cpu")
    raw, geometry = plain.probabilities(scan, "ct")
    expected = np.zeros(raw.shape[1:], np.uint8)
    expected[...] = smoothed(raw, geometry.spacing_mm, 2.0).argmax(0)
    np.testing.assert_allclose(predictor.probabilities(scan, "ct")[0], smoothed(raw, geometry.spacing_mm, 2.0))
    segmented = predictor.segment(scan, "ct")
    assert (segmented != plain.segment(scan, "ct")).any(), "nothing changed: the comparison below would say nothing"
    assert sorted(segmented.ravel()) == sorted(expected.ravel())
    together = Ensemble([predictor, predictor]).segment_case(scan, "ct")
    for label_map in (together.label_map, *together.members):
        np.testing.assert_array_equal(label_map, segmented)
    np.testing.assert_array_equal(np.stack(list(together.probabilities())).argmax(0), segmented)


@pytest.mark.parametrize("shape", [(9, 8), (6, 7, 5), (30,)])
def test_random_label_maps_equal_a_flood_fill(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(15):
        labels = rng.choice(3, size=shape, p=[0.7, 0.2, 0.1]).astype(np.uint8)
        found = keep_largest_component(labels, [1, 2])
        expected = np.zeros_like(labels)
        for number in (1, 2):
            expected[largest_by_flood_fill(labels, number)] = number
        np.testing.assert_array_equal(found, expected)


def test_an_island_goes_and_other_classes_stay() -> None:
    labels = np.zeros((4, 6, 2), np.uint8)
    labels[:2, :2] = 1
    labels[3, 5, 0] = 1  # an island of class 1
    labels[0, 4], labels[2, 4] = 2, 2  # two parts of class 2, equally large
    kept = keep_largest_component(labels, [1])
    assert kept[3, 5, 0] == 0
    assert (kept == 1).sum() == 8
    np.testing.assert_array_equal(kept == 2, labels == 2)
    assert labels[3, 5, 0] == 1, "the input was changed"
    assert keep_largest_component(labels, [1, 2])[0, 4].tolist() == [2, 2]
    assert keep_largest_component(labels, [1, 2])[2, 4].tolist() == [0, 0]


def test_corners_connect() -> None:
    """Slices of a thick-sliced scan that shifted by a voxel stay one part."""
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[2, 2, 2] = 1
    assert keep_largest_component(labels, [1]) is labels


@pytest.mark.parametrize("labels", [np.zeros((3, 3, 3), np.uint8), np.zeros((0, 2, 2), np.uint8), np.ones((2, 2))])
def test_nothing_to_do_returns_the_input(labels: np.ndarray) -> None:
    labels = labels.astype(np.uint8)
    assert keep_largest_component(labels, [1, 2, 3]) is labels
    assert keep_largest_component(labels, []) is labels


def test_doing_it_twice_changes_nothing_more() -> None:
    labels = np.random.default_rng(1).integers(0, 4, (12, 12, 6)).astype(np.int64)
    once = keep_largest_component(labels, [1, 3])
    assert keep_largest_component(once, [1, 3]) is once
    assert once.dtype == labels.dtype


def test_classes_are_chosen_by_name() -> None:
    classes = ["background", "LV", "myo", "RV"]
    assert Postprocessing().class_numbers(classes) == ()
    assert Postprocessing("all").class_numbers(classes) == (1, 2, 3)
    assert Postprocessing(("RV", "LV")).class_numbers(classes) == (1, 3)
    for wrong in ("rv", "background"):
        with pytest.raises(InputError, match=f"names '{wrong}', which is no foreground class"):
            Postprocessing((wrong,)).class_numbers(classes)
    labels = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [2, 0, 2, 2]])
    assert postprocess(labels, Postprocessing(("myo",)), classes).tolist()[2] == [0, 0, 2, 2]
    assert postprocess(labels, Postprocessing(), classes) is labels


def test_the_flag_is_read() -> None:
    assert parse_largest_component("all") == Postprocessing("all")
    assert parse_largest_component("none") == Postprocessing()
    assert parse_largest_component("LV, myo") == Postprocessing(("LV", "myo"))
    with pytest.raises(InputError, match='expects "all", "none" or class names'):
        parse_largest_component("LV,,myo")


def test_it_is_a_field_of_the_recipe() -> None:
    recipe = override(csa(), ["postprocessing.largest_component=all"])
    assert recipe.postprocessing == Postprocessing("all")
    assert from_json(to_json(recipe)) == recipe
    named = override(csa(), ['postprocessing.largest_component=["LV"]'])
    assert from_json(to_json(named)).postprocessing == Postprocessing(("LV",))
    with pytest.raises(InputError, match="largest_component"):
        override(csa(), ["postprocessing.largest_component=LV"])


def test_a_run_refuses_a_class_that_its_dataset_lacks(phantom: Dataset, tmp_path: Path) -> None:
    recipe = replace(csa(), postprocessing=Postprocessing(("liver",)))
    with pytest.raises(InputError, match="names 'liver'"):
        Run.create(tmp_path / "run", recipe, phantom)
    assert not (tmp_path / "run").exists()


def test_a_run_without_the_field_is_resumed(phantom: Dataset, tmp_path: Path) -> None:
    """Run folders of a version that had no post-processing."""
    run = Run.create(tmp_path / "run", csa(), phantom)
    path = run.folder / "recipe.json"
    text = path.read_text(encoding="utf-8")
    start, stop = text.index(' "postprocessing"'), text.index(' "validate_every"')
    path.write_text(text[:start] + text[stop:])
    assert Run.create(run.folder, csa(), phantom).recipe == csa()


def test_the_predictor_applies_the_recipes_or_what_it_is_told(phantom: Dataset, tmp_path: Path) -> None:
    recipe = replace(csa(), patch_size=(32, 32), window_overlap=0.0, postprocessing=Postprocessing("all"))
    run = Run.create(tmp_path / "run", recipe, phantom)
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    scan = Image(np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32), np.eye(4))
    raw = Predictor(run, device="cpu", postprocessing=Postprocessing()).segment(scan, "ct")
    expected = keep_largest_component(raw, range(1, len(phantom.classes)))
    assert (expected != raw).any(), "nothing to remove: the comparison below would say nothing"
    np.testing.assert_array_equal(Predictor(run, device="cpu").segment(scan, "ct"), expected)
    with pytest.raises(InputError, match="names 'liver'"):
        Predictor(run, device="cpu", postprocessing=Postprocessing(("liver",)))


def test_validation_smooths_as_the_predictor_does(phantom: Dataset, tmp_path: Path) -> None:
    asked = Postprocessing(smoothing_mm=4.0, background_log_odds=0.1)
    recipe = replace(csa(), patch_size=(32, 32), postprocessing=asked)
    method = build_method(recipe, tuple(phantom.modalities), len(phantom.classes))
    (first,) = phantom.of("ct", labeled=True)[:1]
    case = prepare(phantom, recipe.preprocessing, tmp_path, only=[first.id]).cases[first.id]
    seen: list[np.ndarray] = []
    for asked in (recipe, replace(recipe, postprocessing=Postprocessing())):
        scores = validate(method, asked, phantom, {case.modality: [case]}, "cpu", lambda _, labels: seen.append(labels))
        assert scores
    plain = replace(recipe, postprocessing=Postprocessing())
    boxes = segment_prepared(method.eval(), plain, np.array(case.volume()), case.modality, "cpu")
    expected = smoothed(shifted(whole(boxes, case.shape).numpy(), 0.1), case.spacing_mm, 4.0).argmax(0)
    np.testing.assert_array_equal(seen[0], expected)
    assert (seen[0] != seen[1]).any(), "nothing changed: the comparison above would say nothing"
