"""Scans of a modality that a run was not trained on, segmented as another; batch norms that adapt to each scan."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from small_network import SMALL
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import Image, read_image, write_image
from unpaired.data.prediction_record import read_record
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError
from unpaired.inference.predictor import Predictor
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run

RECIPE = replace(
    msbn(),
    network=SMALL,
    preprocessing=Preprocessing(plane="axial"),
    patch_size=(16, 16),
    window_overlap=0.0,
    modalities=("ct", "lge"),
)


def new_run(dataset: Dataset, folder: Path, recipe: Recipe = RECIPE) -> Run:
    """A run with fresh weights whose modalities differ in their norms."""
    run = Run.create(folder, recipe, dataset)
    network = build_method(recipe, run.modalities, len(dataset.classes)).network
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "by_modality" in name:
                parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    run.save_weights(network, "best")
    return run


@pytest.fixture(scope="module")
def run(phantom: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return new_run(phantom, tmp_path_factory.mktemp("norms") / "run")


def scan(slices: int = 3) -> Image:
    values = np.random.default_rng(0).normal(size=(18, 14, slices)).astype(np.float32)
    return Image(values, np.diag([1.0, 1.5, 6.0, 1.0]))


def test_an_unknown_modality_is_segmented_as_the_one_that_is_named(run: Run) -> None:
    with pytest.raises(InputError, match=r"has no modality 'pet'.*--norms-of ct .*--norms adaptive") as caught:
        Predictor(run, device="cpu").segment(scan(), "pet")
    assert "\n" not in str(caught.value)
    plain = Predictor(run, device="cpu")
    for name in ("ct", "lge"):
        predictor = Predictor(run, device="cpu", norms_of=name)
        assert np.array_equal(predictor.segment(scan(), "pet"), plain.segment(scan(), name))
        assert np.array_equal(predictor.segment(scan(), "lge"), plain.segment(scan(), "lge")), "one that it knows"
    assert not np.array_equal(plain.segment(scan(), "ct"), plain.segment(scan(), "lge"))
    with pytest.raises(InputError, match=r"norms of 'mri': run .* has no such modality"):
        Predictor(run, device="cpu", norms_of="mri")


def test_what_the_dataset_says_of_the_modality_still_holds(run: Run, phantom: Dataset) -> None:
    """bssfp is in the dataset but wasn't trained: its own clipping and label values, the norms of lge."""
    norms = Predictor(run, device="cpu", norms_of="lge").norms
    assert norms.options("bssfp") == phantom.modalities["bssfp"]
    assert norms.values("bssfp") == phantom.source_values("bssfp")
    assert norms.values("pet") == phantom.source_values("lge")
    assert norms.options("pet") == phantom.modalities["lge"]


def test_adaptive_norms_are_those_of_the_scan(run: Run) -> None:
    predictor = Predictor(run, device="cpu", adaptive_norms=True)
    network = predictor.method.network
    norm = next(m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d) and name.endswith("ct"))
    seen: list[torch.Tensor] = []
    hook = norm.register_forward_pre_hook(
        lambda module, given: seen.append(given[0].detach()) if module.training else None
    )
    values = np.pad(scan(slices=11).array, ((0, 0), (1, 1), (0, 0)), mode="edge")
    values[..., 5:] = 0.5
    image = Image(values, scan().affine)
    first = predictor.segment(image, "ct")
    hook.remove()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert len({len(x) for x in seen}) == 2, "the last group of windows is smaller"
    every = torch.cat(seen)
    assert len(every) == 11 * 2, "two windows of each slice, those of one value too"
    torch.testing.assert_close(norm.running_mean, every.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, every.var((0, 2, 3)))
    assert not any(module.training for module in network.modules())
    predictor.segment(scan(), "lge")
    predictor.segment(Image(scan().array ** 3, scan().affine), "ct")
    assert np.array_equal(predictor.segment(image, "ct"), first), "whatever was segmented before"
    assert not np.array_equal(first, Predictor(run, device="cpu").segment(image, "ct"))


def test_adaptive_norms_where_nothing_can_adapt_are_one_line(run: Run, phantom: Dataset, tmp_path: Path) -> None:
    network = UNetConfig(width=2, widest=4, blocks=(1, 1), norm="instance")
    instance = new_run(phantom, tmp_path / "run", replace(RECIPE, network=network, method=SupervisedConfig()))
    with pytest.raises(InputError, match=r"has no batch norm with running statistics") as caught:
        Predictor(instance, device="cpu", adaptive_norms=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"backend onnxruntime can't follow"):
        Predictor(run, device="cpu", adaptive_norms=True).norms.require_statistics(nn.Identity(), "onnxruntime")


def test_the_command_records_what_it_did_and_does_it_anew_when_that_changes(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "scan.nii.gz", scan().array, scan().affine)
    image, out = str(tmp_path / "scan.nii.gz"), str(tmp_path / "out")
    shared = ["predict", str(run.folder), image, out, "--device", "cpu", "--no-worker", "--modality"]
    assert main([*shared, "pet"]) == 2
    assert "--norms-of ct" in capsys.readouterr().err
    assert main([*shared, "pet", "--norms-of", "lge"]) == 0
    assert "was not trained on pet: its scans are segmented as lge" in capsys.readouterr().err
    record = read_record(tmp_path / "out" / "scan.nii.gz")
    assert record is not None
    assert record.modality == "pet"
    assert record.settings["norms"] == ["lge"]
    assert main([*shared, "pet", "--norms-of", "lge"]) == 0, "done already"
    assert main([*shared, "pet", "--norms-of", "ct"]) == 1
    assert "made in another way" in capsys.readouterr().err
    assert main([*shared, "pet", "--norms-of", "lge", "--norms", "adaptive", "--overwrite"]) == 0
    record = read_record(tmp_path / "out" / "scan.nii.gz")
    assert record is not None
    assert record.settings["norms"] == ["lge, statistics of each scan"]
    assert read_image(tmp_path / "out" / "scan.nii.gz").array.shape == scan().array.shape
