"""Prediction: a scan's storage order changes nothing, values are the source's own, one plan for files and datasets."""

import os
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch

from small_network import SMALL
from unpaired.data.dataset import Dataset, with_splits
from unpaired.data.images import Image, read_image, write_image
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError, UnwritableError
from unpaired.inference.devices import choose_device
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Job, plan
from unpaired.inference.predict_files import predict_files
from unpaired.inference.predictor import Predictor
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.recipe import Recipe, build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run

RECIPE = replace(
    msbn(),
    network=SMALL,
    preprocessing=Preprocessing(plane="axial"),
    patch_size=(32, 32),
    window_overlap=0.0,
)


def predictor(dataset: Dataset, folder: Path, recipe: Recipe = RECIPE) -> Predictor:
    """A run with fresh weights: what is tested here does not depend on how good they are."""
    run = Run.create(folder, recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, len(dataset.classes)).network, "best")
    return Predictor(run, device="cpu")


@pytest.fixture(scope="module")
def fresh(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return predictor(phantom, tmp_path_factory.mktemp("runs") / "run")


def reordered(image: Image, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Image:
    """The same scan stored with other axes: every voxel keeps its place in the world."""
    matrix = np.eye(4)[:, [*axes, 3]]  # new voxel -> old voxel
    array = image.array.transpose(axes)
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            back = np.eye(4)
            back[axis, axis], back[axis, 3] = -1, array.shape[axis] - 1
            matrix = matrix @ back
    return Image(array, image.affine @ matrix)


def test_storage_order_does_not_change_the_prediction(fresh: Predictor) -> None:
    """All 48 orders of a scan with three different spacings and sizes."""
    rng = np.random.default_rng(0)
    scan = Image(rng.normal(size=(20, 16, 3)).astype(np.float32), np.diag([1.0, 1.5, 6.0, 1.0]))
    expected = fresh.segment(scan, "ct")
    assert len(np.unique(expected)) > 1, "a constant prediction would agree with itself in any order"
    for axes in permutations(range(3)):
        for flips in product([False, True], repeat=3):
            stored = reordered(scan, axes, flips)
            found = fresh.segment(stored, "ct")
            np.testing.assert_array_equal(found, reordered(Image(expected, scan.affine), axes, flips).array)


@pytest.mark.parametrize(
    ("affine", "value", "words"),
    [
        (np.diag([1.0, 1, np.nan, 1]), 0.0, "invertible affine"),
        (np.diag([1.0, 1, 0, 1]), 0.0, "invertible affine"),
        (np.diag([1.0, 1, 1e30, 1]), 0.0, "voxel sizes"),
        (np.eye(4), np.nan, "NaN or infinity in 960 of 960 voxels"),
        (np.eye(4), 4e38, r"values such as 4e\+38 in 960 of 960 voxels, expected none beyond 3.4e\+38"),
    ],
)
def test_what_no_file_may_hold_is_refused_in_python_too(
    fresh: Predictor, affine: np.ndarray, value: float, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        fresh.segment(Image(np.full((20, 16, 3), value), affine), "lge")


def test_the_modality_decides_which_norms_are_used(fresh: Predictor) -> None:
    with pytest.raises(InputError, match=r"no modality 'cta'; known: ct, bssfp, lge\. If the scan is of one of these"):
        fresh.segment(Image(np.zeros((8, 8, 2), np.float32), np.eye(4)), "cta")


def test_training_parts_of_the_method_are_never_called(fresh: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Image(np.random.default_rng(2).normal(size=(16, 16, 2)).astype(np.float32), np.eye(4))
    expected = fresh.segment(scan, "ct")

    def forbidden(*_: object) -> None:
        raise AssertionError("the objective was called")

    monkeypatch.setattr(type(fresh.method), "forward", forbidden)
    np.testing.assert_array_equal(fresh.segment(scan, "ct"), expected)


def test_independent_networks_segment_each_their_own(phantom: Dataset, tmp_path: Path) -> None:
    single = predictor(phantom, tmp_path / "run", replace(RECIPE, network=IndependentNetworksConfig(RECIPE.network)))
    scan = Image(np.random.default_rng(3).normal(size=(16, 16, 2)).astype(np.float32), np.eye(4))
    before, other = single.segment(scan, "ct"), single.segment(scan, "lge")
    with torch.no_grad():
        for name, parameter in single.method.network.named_parameters():
            if "lge" in name:
                parameter.normal_()
    np.testing.assert_array_equal(single.segment(scan, "ct"), before)
    assert (single.segment(scan, "lge") != other).any()


@pytest.mark.parametrize(("value", "kind"), [(255, np.uint8), (820, np.int16), (40_000, np.int32), (-1, np.int16)])
def test_source_values_of_any_size_are_kept(fresh: Predictor, value: int, kind: type, phantom: Dataset) -> None:
    table = {0: ("background",), value: ("LV",)}
    cases = tuple(replace(case, label_map="odd") for case in phantom.cases)
    fresh.run.__dict__["dataset"] = replace(phantom, label_maps={"odd": table}, cases=cases)
    try:
        written = fresh.source_values(np.array([[[0, 1]]], np.uint8), "ct")
    finally:
        del fresh.run.__dict__["dataset"]
    assert written.dtype == kind
    assert written.tolist() == [[[0, value]]]


def test_a_plan_of_a_dataset_names_files_like_cases(phantom: Dataset, tmp_path: Path) -> None:
    jobs = plan(phantom, tmp_path, split="test")
    assert [job.name for job in jobs] == [case.id for case in phantom.of(split="test")]
    assert {job.output.parent for job in jobs} == {tmp_path}
    assert {job.modality for job in plan(phantom, tmp_path, "lge")} == {"lge"}
    with pytest.raises(InputError, match="split 'validation'"):
        plan(with_splits(phantom, {case.id: "train" for case in phantom.cases}), tmp_path, split="validation")


def test_a_plan_of_files_leaves_other_files_out(tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for name in ("a.nii.gz", "B.NII", "c.2.nrrd", "notes.txt", ".hidden.nii"):
        (scans / name).touch()
    names = {job.output.name for job in plan(scans, out, "ct")}
    assert names == {"a.nii.gz", "B.nii.gz", "c.2.nii.gz"}
    assert plan(scans / "a.nii.gz", out, "ct") == [Job("a", scans / "a.nii.gz", "ct", out / "a.nii.gz")]
    assert plan(scans / "a.nii.gz", out / "x.nii", "ct")[0].output == out / "x.nii"


def test_a_plan_never_writes_over_an_image(phantom: Dataset, tmp_path: Path) -> None:
    scan = phantom.cases[0].image
    (tmp_path / "link").symlink_to(scan.parent)
    for images, output in ((scan, scan), (scan.parent, tmp_path / "link"), (phantom, scan.parent)):
        with pytest.raises(InputError, match="would overwrite the image"):
            plan(images, output, None if isinstance(images, Dataset) else "ct")


def test_what_is_no_file_costs_its_own_case(fresh: Predictor, tmp_path: Path) -> None:
    """A link to nowhere, one in a circle (at which `Path.resolve` raises), a pipe and an endless device."""
    scans = tmp_path / "scans"
    write_image(scans / "good.nii", np.random.default_rng(0).normal(0, 1, (8, 8, 2)).astype(np.float32), np.eye(4))
    (scans / "gone.nii").symlink_to("nowhere.nii")
    (scans / "loop.nii").symlink_to("loop.nii")
    (scans / "endless.nii").symlink_to("/dev/zero")
    os.mkfifo(scans / "pipe.nii")
    outcome = predict_files(fresh, plan(scans, tmp_path / "out", fresh.run.modalities[0]))
    assert outcome.written == ["good"]
    assert {name: said.split(" at ")[0] for name, said in outcome.failures} == {
        "gone": "expected an image, found a link to nowhere.nii, where nothing is,",
        "loop": "expected an image, found a link to loop.nii, where nothing is,",
        "endless": "expected an image, found a pipe, socket or device",
        "pipe": "expected an image, found a pipe, socket or device",
    }


def test_a_place_that_cant_be_written_stops_all_before_the_first_case(
    fresh: Predictor, phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cost every case its own failure, when it had been segmented."""
    monkeypatch.setattr(Ensemble, "segment_case", lambda *_, **__: pytest.fail("segmented"))
    (tmp_path / "file").write_text("in the way")
    modality = fresh.run.modalities[0]
    scans = [case.image for case in phantom.of(modality)]
    for out in ("file", "file/out"):
        with pytest.raises(UnwritableError, match=r"can't write .*/file is a file where a folder was expected"):
            predict_files(fresh, plan(scans, tmp_path / out, modality))
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_plan_never_writes_over_a_reference(phantom: Dataset, tmp_path: Path) -> None:
    case = phantom.cases[0]
    labeled = replace(phantom, cases=(replace(case, label=tmp_path / f"{case.id}.nii.gz"),))
    with pytest.raises(InputError, match="would overwrite the reference"):
        plan(labeled, tmp_path)


def test_an_unknown_modality_is_refused_before_anything_is_written(fresh: Predictor, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii", np.zeros((8, 8, 2), np.float32), np.eye(4))
    out = tmp_path / "out"
    jobs = [Job("a", tmp_path / "a.nii", m, out / f"{m}.nii") for m in ("pet", "spect")]
    with pytest.raises(InputError, match="no modality 'pet'"):
        predict_files(fresh, jobs)
    assert not out.exists()


def test_what_a_header_left_open_is_told(fresh: Predictor, tmp_path: Path) -> None:
    from PIL import Image as Picture

    Picture.fromarray(np.zeros((20, 16), np.uint8)).save(tmp_path / "a.png")
    lines: list[str] = []
    outcome = predict_files(fresh, plan(tmp_path / "a.png", tmp_path / "out", "ct"), report=lines.append)
    assert outcome.written == ["a"]
    assert lines[-1].startswith("a: note: PNG holds no voxel size and no place in the body")


def test_odd_but_legal_images_are_segmented(fresh: Predictor, tmp_path: Path) -> None:
    """One voxel, one row, a constant: no NaN, no crash."""
    for shape in ((1, 1, 1), (1, 40, 2), (50, 3, 1)):
        write_image(tmp_path / "odd.nii", np.full(shape, 7, np.int16), np.eye(4))
        outcome = predict_files(fresh, plan(tmp_path / "odd.nii", tmp_path / "out", "ct"), overwrite=True)
        assert outcome.failures == []
        assert read_image(tmp_path / "out" / "odd.nii.gz").array.shape == shape


def test_a_device_that_is_not_here_is_named() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="device 'abacus' can't be used here"):
        choose_device("abacus")
