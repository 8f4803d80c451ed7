"""Several predictions of one scan: averages against plain loops, what may be averaged and what may not."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from small_network import SMALL
from unpaired.data.augment import NO_AUGMENTATION
from unpaired.data.dataset import Dataset, Modality
from unpaired.data.images import Image
from unpaired.data.postprocess import Postprocessing, keep_largest_component
from unpaired.data.preprocess import Preprocessing, apply
from unpaired.data.restore import restore_probabilities
from unpaired.errors import InputError
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.mirroring import mirroring_of
from unpaired.inference.predictor import Predictor
from unpaired.inference.prepared import segment_prepared
from unpaired.inference.segmentation import Part, averaged, likeliest
from unpaired.inference.windows import whole
from unpaired.recipe import Recipe, build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.postprocessing import FoundPostprocessing, weights_hash, write_found
from unpaired.runs.run import Run

RECIPE = replace(
    msbn(),
    network=SMALL,
    preprocessing=Preprocessing(plane="axial"),
    patch_size=(16, 16),
    window_overlap=0.0,
)
SCAN = Image(
    np.random.default_rng(0).normal(size=(18, 14, 3)).astype(np.float32),
    np.diag([1.0, 1.5, 6.0, 1.0]),
)


def new_run(dataset: Dataset, folder: Path, recipe: Recipe = RECIPE) -> Run:
    """A run with fresh weights, different for different seeds."""
    run = Run.create(folder, recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, len(dataset.classes)).network, "best")
    return run


@pytest.fixture(scope="module")
def runs(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two that prepare images alike, and one that crops and resamples them."""
    folder = tmp_path_factory.mktemp("runs")
    other = Preprocessing(plane="axial", spacing_mm=(6.0, 2.0, 2.0), roi="center", size=(3, 6, 8))
    return [
        new_run(phantom, folder / "first"),
        new_run(phantom, folder / "second", replace(RECIPE, seed=1)),
        new_run(phantom, folder / "third", replace(RECIPE, seed=2, preprocessing=other)),
    ]


def native_probabilities(run: Run) -> np.ndarray:
    """One run's probabilities (class, x, y, z), brought back voxel by voxel: linear between prepared voxel centers."""
    predictor = Predictor(run, device="cpu")
    volume, geometry = apply(SCAN, run.recipe.preprocessing, run.dataset.modalities["ct"])
    prepared = whole(segment_prepared(predictor.method, run.recipe, volume, "ct", "cpu"), volume.shape).numpy()
    to_prepared = np.linalg.inv(geometry.prepared_affine) @ SCAN.affine
    result = np.zeros((len(prepared), *SCAN.array.shape))
    for voxel in product(*(range(size) for size in SCAN.array.shape)):
        place = (to_prepared @ [*voxel, 1])[:3]
        if any(p < -0.5 - 1e-9 or p > n - 0.5 + 1e-9 for p, n in zip(place, geometry.grid, strict=True)):
            result[(0, *voxel)] = 1  # beyond what the run looked at
            continue
        place = [min(max(p, 0), n - 1) for p, n in zip(place, geometry.grid, strict=True)]
        for corner in product((0, 1), repeat=3):
            base = [int(np.floor(p + 1e-9)) for p in place]
            weight = np.prod([abs(1 - c - (p - b)) for c, p, b in zip(corner, place, base, strict=True)])
            at = [min(b + c, n - 1) for b, c, n in zip(base, corner, geometry.grid, strict=True)]
            result[:, *voxel] += weight * prepared[:, *at]
    return result


def test_it_says_what_it_segments(runs: list[Run]) -> None:
    predictor = Predictor(runs[0], device="cpu")
    assert predictor.classes == runs[0].classes == runs[0].dataset.classes
    assert predictor.modalities == runs[0].modalities


def test_an_ensemble_answers_to_what_a_predictor_does(runs: list[Run], phantom: Dataset, tmp_path: Path) -> None:
    predictor = Predictor(runs[0], device="cpu")
    alone = Ensemble(predictor)
    public = {name for name in dir(predictor) if not name.startswith("_")}
    of_each_run = {"run", "recipe", "weights", "weights_hash", "device", "method", "segmenter", "check", "norms"}
    of_each_run |= {"modality_anyway", "mirroring", "mirrored", "turned", "forms", "prepared", "backend", "precision"}
    assert public - of_each_run <= set(dir(alone))
    assert of_each_run <= public
    for name in ("classes", "modalities", "postprocessing"):
        assert getattr(alone, name) == getattr(predictor, name)
    likelier = Postprocessing(background_log_odds=1.0)
    assert alone.with_postprocessing(likelier).postprocessing == likelier
    assert predictor.with_postprocessing(likelier).postprocessing == likelier
    assert alone.postprocessing == predictor.postprocessing != likelier
    assert alone.runs == (runs[0],)
    assert (alone.knows("ct"), predictor.knows("ct"), alone.knows("pet"), predictor.knows("pet")) == (1, 1, 0, 0)
    np.testing.assert_array_equal(alone.label_map(SCAN, "ct"), predictor.label_map(SCAN, "ct"))
    np.testing.assert_array_equal(alone.probabilities(SCAN, "ct")[0], predictor.probabilities(SCAN, "ct")[0])

    ct_only = new_run(phantom, tmp_path / "ct_only", replace(RECIPE, modalities=("ct",)))
    assert Ensemble([predictor, Predictor(ct_only, device="cpu")]).modalities == ("ct",)
    pair = Ensemble([predictor, Predictor(runs[1], device="cpu")])
    values, geometry = pair.probabilities(SCAN, "ct")
    expected = sum(probabilities for probabilities, _ in pair.members(SCAN, "ct")) / 2
    np.testing.assert_allclose(values, expected, atol=1e-6)
    np.testing.assert_array_equal(pair.label_map(SCAN, "ct"), restore_probabilities(values, geometry))
    with pytest.raises(InputError, match=r"on 2 different grids; take segment_case\(image, modality\)\.probabilities"):
        Ensemble([predictor, Predictor(runs[2], device="cpu")]).probabilities(SCAN, "ct")


def test_an_ensemble_is_made_of_whatever_stands_for_runs(phantom: Dataset, tmp_path: Path) -> None:
    folds = [new_run(phantom, tmp_path / f"fold{number}", replace(RECIPE, seed=number)) for number in (0, 1)]
    found = FoundPostprocessing(True, (), tuple(weights_hash(fold.weights("best")) for fold in folds), 2, ())
    write_found(found, tmp_path)
    for given in (tmp_path, [str(tmp_path)]):
        ensemble = Ensemble(given)
        assert ensemble.runs == tuple(folds)
        assert ensemble.postprocessing.largest_foreground
    apart = Ensemble(folds)
    assert apart.runs == tuple(folds)
    assert not apart.postprocessing.largest_foreground, "it was found for the folds together"
    alone = FoundPostprocessing(True, (), (weights_hash(folds[0].weights("best")),), 2, ())
    write_found(alone, folds[0].folder)
    assert Ensemble(folds[0]).postprocessing.largest_foreground
    assert not Ensemble(folds).postprocessing.largest_foreground, "nor does what one has by itself hold for both"
    chosen = Ensemble([Predictor(folds[0], device="cpu"), folds[1]])
    assert chosen.postprocessing.largest_foreground, "a predictor is as its caller made it"


def test_runs_are_averaged_on_the_images_own_grid(runs: list[Run]) -> None:
    ensemble = Ensemble([Predictor(run, device="cpu") for run in runs])
    found = ensemble.segment_case(SCAN, "ct")
    expected = sum(native_probabilities(run) for run in runs) / 3
    np.testing.assert_allclose(np.stack(list(found.probabilities())), expected, atol=1e-5)
    np.testing.assert_allclose(sum(found.probabilities()), 1, atol=1e-5)
    ordered = np.sort(expected, axis=0)
    clear = ordered[-1] - ordered[-2] > 3e-5
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(found.label_map[clear], expected.argmax(axis=0)[clear])
    assert len(found.parts) == 2, "two runs share a grid, so their average is held once"
    for run, member in zip(runs, found.members, strict=True):
        np.testing.assert_array_equal(member, Predictor(run, device="cpu").segment(SCAN, "ct"))


def test_the_order_of_runs_changes_nothing_but_whose_post_processing_counts(runs: list[Run]) -> None:
    predictors = [Predictor(run, device="cpu") for run in runs]
    there, back = (Ensemble(order).segment_case(SCAN, "ct") for order in (predictors, predictors[::-1]))
    np.testing.assert_allclose(list(there.probabilities()), list(back.probabilities()), atol=1e-6)
    predictors[0] = Predictor(runs[0], device="cpu", postprocessing=Postprocessing("all"))
    together = Ensemble(predictors).segment_case(SCAN, "ct")
    kept = together.label_map
    for member, raw in zip(together.members, there.members, strict=True):
        np.testing.assert_array_equal(member, keep_largest_component(raw, range(1, len(runs[0].classes))))
    assert (together.members[0] != there.members[0]).any()
    assert (kept != there.label_map).any()
    assert ((kept == there.label_map) | (kept == 0)).all()


def test_of_equally_likely_classes_on_several_grids_the_first_is_taken() -> None:
    parts = []
    for spacing_mm in (None, (6.0, 2.0, 2.0)):
        _, geometry = apply(SCAN, Preprocessing(plane="axial", spacing_mm=spacing_mm), Modality())
        probabilities = np.zeros((4, *geometry.grid), np.float32)
        probabilities[1:3] = 0.25
        parts.append(Part(probabilities, geometry, 0.5))
    assert (likeliest(parts) == 1).all()


def test_mirrored_predictions_are_averaged(runs: list[Run]) -> None:
    run = runs[0]
    plain, mirrored = Predictor(run, device="cpu"), Predictor(run, device="cpu", mirror_anyway=True)
    volume, geometry = apply(SCAN, run.recipe.preprocessing, run.dataset.modalities["ct"])
    total = 0
    for height, width in product((1, -1), repeat=2):
        flipped = np.ascontiguousarray(volume[:, ::height, ::width])
        said = whole(segment_prepared(plain.method, run.recipe, flipped, "ct", "cpu"), flipped.shape).numpy()
        total = total + said[:, :, ::height, ::width] / 4
    found = Ensemble([mirrored]).segment_case(SCAN, "ct")
    np.testing.assert_allclose(found.parts[0].probabilities, total, atol=1e-6)
    np.testing.assert_array_equal(found.label_map, restore_probabilities(found.parts[0].probabilities, geometry))
    np.testing.assert_array_equal(mirrored.probabilities(SCAN, "ct")[0], found.parts[0].probabilities)
    assert len(found.members) == 4
    np.testing.assert_array_equal(found.members[0], plain.segment(SCAN, "ct"))
    assert (found.members[0] != found.members[3]).any()
    np.testing.assert_array_equal(mirrored.segment(SCAN, "ct"), found.label_map)


def test_every_run_counts_alike_however_many_mirrored_forms_it_has(runs: list[Run]) -> None:
    mixed = Ensemble([Predictor(runs[0], device="cpu", mirror_anyway=True), Predictor(runs[1], device="cpu")])
    parts = mixed.segment_case(SCAN, "ct").parts
    alone = [Ensemble([one]).segment_case(SCAN, "ct").parts[0].probabilities for one in mixed.predictors]
    assert mixed.size == 5
    np.testing.assert_allclose(parts[0].probabilities, (alone[0] + alone[1]) / 2, atol=1e-6)


def test_a_symmetric_network_is_not_changed_by_mirroring(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Voxelwise logits: every mirrored form says the same, so they all agree."""
    predictor = Predictor(runs[0], device="cpu", mirror_anyway=True)

    def voxelwise(images: torch.Tensor, modality: str) -> torch.Tensor:
        middle = images[:, images.shape[1] // 2]
        return torch.stack([middle, -middle, middle**2, middle * 0], dim=1)

    monkeypatch.setattr(predictor.method, "predict", voxelwise)
    found = Ensemble([predictor]).segment_case(SCAN, "ct")
    assert len(np.unique(found.label_map)) > 1
    for member in found.members:
        np.testing.assert_array_equal(member, found.members[0])
    np.testing.assert_array_equal(found.label_map, found.members[0])


def test_one_run_has_no_members_and_saves_what_it_labels(runs: list[Run]) -> None:
    for run in runs:
        found = Ensemble([Predictor(run, device="cpu")]).segment_case(SCAN, "ct")
        assert found.members == ()
        np.testing.assert_array_equal(np.argmax(list(averaged(found.parts)), axis=0), found.label_map)


def test_the_axes_are_those_that_training_mirrored(phantom: Dataset, tmp_path: Path) -> None:
    for mirrored, patch, axes in (
        ((), (32, 32), ("height", "width")),
        (("width",), (32, 32), ("width",)),
        (("depth", "width"), (8, 32, 32), ("depth", "width")),
    ):
        augmentation = replace(NO_AUGMENTATION, mirror=mirrored)
        context = RECIPE.context_slices if len(patch) == 2 else 1
        recipe = replace(RECIPE, augmentation=augmentation, patch_size=patch, context_slices=context)
        run = Run.create(tmp_path / "-".join(mirrored or ("none",)), recipe, phantom)
        assert mirroring_of(run).axes == axes


def test_mirroring_a_run_that_never_saw_mirrored_scans_has_to_be_asked_for_twice(
    runs: list[Run], phantom: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"trained without mirroring .*; leave --mirror out, or say --mirror-anyway"):
        Predictor(runs[0], device="cpu", mirror=True)
    assert Predictor(runs[0], device="cpu", mirror=True, mirror_anyway=True).mirrored == ("height", "width")
    recipe = replace(RECIPE, augmentation=replace(NO_AUGMENTATION, mirror=("width",)))
    run = Run.create(tmp_path / "mirrored", recipe, phantom)
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    assert Predictor(run, device="cpu", mirror=True).mirrored == ("width",)
    assert Predictor(run, device="cpu").mirrored == ()


def test_runs_that_cannot_be_averaged_are_named(runs: list[Run], phantom: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one run"):
        Ensemble([])
    renamed = Predictor(runs[1], device="cpu")
    renamed.run = Run(runs[1].folder)
    renamed.run.__dict__["dataset"] = replace(phantom, classes=(*phantom.classes[:-1], "aorta"))
    with pytest.raises(InputError, match=r"run .*second has the classes .*aorta, run .*first has .*class by class"):
        Ensemble([Predictor(runs[0], device="cpu"), renamed])
    without = new_run(phantom, tmp_path / "ct_only", replace(RECIPE, modalities=("ct",)))
    pair = Ensemble([Predictor(runs[0], device="cpu"), Predictor(without, device="cpu")])
    with pytest.raises(InputError, match="ct_only has no modality 'lge'"):
        pair.check_modality("lge")
    pair.check_modality("ct")
