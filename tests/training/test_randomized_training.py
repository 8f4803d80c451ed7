"""Training with random intensities: of chosen samples, bit-equal after a stop; modalities that borrow."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import IN_PROCESS, assert_same, power_cut_at, tiny

from unpaired.data.dataset import Dataset, with_splits, without_labels
from unpaired.data.images import read_image
from unpaired.data.randomization import Randomization
from unpaired.errors import InputError
from unpaired.inference.predictor import Predictor
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.runs.run import Run
from unpaired.training import loop
from unpaired.training.loop import Hardware, train
from unpaired.training.modalities import modalities_to_train

RECIPE = replace(tiny(), randomization=Randomization(share=0.5, borrowed=0.5))


@pytest.fixture(scope="module")
def no_lge(phantom: Dataset) -> Dataset:
    """The phantom without any label of lge in training and validation."""
    return without_labels(phantom, {case.id for case in phantom.of("lge") if case.split != "test"})


@pytest.fixture(scope="module")
def borrowed(no_lge: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("borrowed") / "run"
    return train(RECIPE, no_lge, folder, hardware=IN_PROCESS, cache=cache, show=False)


def test_a_modality_without_labels_is_trained_and_predicted(borrowed: Run, no_lge: Dataset) -> None:
    assert set(borrowed.modalities) == set(no_lge.modalities)
    assert {row["modality"] for row in borrowed.rows("validation")} == set(no_lge.modalities) - {"lge"}
    case = no_lge.of("lge", "train")[0]
    image = read_image(case.image)
    assert Predictor(borrowed, device="cpu").segment(image, "lge").shape == image.array.shape


def test_a_stopped_run_goes_on_with_the_same_bits_with_workers_or_without(
    borrowed: Run, no_lge: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with power_cut_at(3, monkeypatch):
        train(RECIPE, no_lge, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False)
    resumed = train(RECIPE, no_lge, tmp_path / "b", hardware=Hardware("cpu", workers=1), cache=cache, show=False)
    assert_same(resumed, borrowed)


def test_methods_get_randomized_images_and_no_numbers(
    no_lge: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = loop.on_device

    def noted(batches, *arguments):
        moved = original(batches, *arguments)
        seen.append((batches, moved))
        return moved

    monkeypatch.setattr(loop, "on_device", noted)
    recipe = replace(RECIPE, steps=2, randomization=Randomization(borrowed=0.5))
    train(recipe, no_lge, tmp_path / "run", hardware=IN_PROCESS, cache=cache, show=False)
    assert len(seen) == 2
    for batches, moved in seen:
        assert {name: torch.equal(batches[name].images, batch.images) for name, batch in moved.items()} == {
            "ct": True,
            "bssfp": True,
            "lge": False,
        }
        assert all(batch.random_numbers is None for batch in moved.values())
        assert all(torch.equal(batches[name].label_map, batch.label_map) for name, batch in moved.items())


def test_who_is_trained_when_modalities_borrow(phantom: Dataset, no_lge: Dataset) -> None:
    assert set(modalities_to_train(RECIPE, no_lge)) == set(phantom.modalities)
    with pytest.raises(InputError, match=r"or let it borrow from the others: --set randomization\.borrowed"):
        modalities_to_train(tiny(), no_lge)
    with pytest.raises(InputError, match=r"lge.*--set randomization\.borrowed"):
        modalities_to_train(replace(tiny(), modalities=("ct", "lge")), no_lge)
    assert modalities_to_train(replace(RECIPE, modalities=("ct", "lge")), no_lge) == ("ct", "lge")
    with pytest.raises(InputError, match=r"none of the modalities lge has a labeled training case"):
        modalities_to_train(replace(RECIPE, modalities=("lge",)), no_lge)
    tested = with_splits(no_lge, {case.id: "test" for case in no_lge.of("lge")})
    assert "lge" in modalities_to_train(RECIPE, tested), "scans of test patients alone"
    nowhere = replace(no_lge, cases=tuple(c for c in no_lge.cases if c.modality != "lge"))
    assert "lge" not in modalities_to_train(RECIPE, nowhere)


def test_norms_of_a_modality_without_labels_take_the_statistics_of_its_own_scans(
    no_lge: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    original = loop.images_over_the_run

    def noted(steps, count, fabric):
        for number, images in enumerate(original(steps, count, fabric)):
            given.append((steps[number * len(steps) // count], images))
            yield images

    monkeypatch.setattr(loop, "images_over_the_run", noted)
    recipe = replace(
        RECIPE,
        method=MeanTeacherConfig(SupervisedConfig()),
        unlabeled_batch_size=1,
        norm_batches=2,
        steps=1,
        randomization=Randomization(borrowed=0.5, enough=1),
    )
    train(recipe, no_lge, tmp_path / "run", hardware=IN_PROCESS, cache=cache, show=False)
    assert len(given) == 2
    for batches, images in given:
        unlabeled = batches["lge"].unlabeled
        assert unlabeled is not None
        assert torch.equal(images["lge"], unlabeled)
        assert torch.equal(images["ct"], batches["ct"].images)
