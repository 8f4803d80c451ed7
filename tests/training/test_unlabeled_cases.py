"""Unlabeled training cases: who gets them, and one line for a recipe and a method that don't fit."""

from pathlib import Path

import pytest
import torch
from tiny_runs import IN_PROCESS, tiny

from small_network import LAYERS
from unpaired.data.dataset import Dataset, without_labels
from unpaired.data.fewer_labels import labeled_fraction
from unpaired.errors import InputError
from unpaired.methods.anatomical_consistency import AnatomicalConsistencyConfig
from unpaired.methods.cmc_released import CMCReleasedConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.training import loop
from unpaired.training.loop import train


def test_unlabeled_training_cases_take_part_where_the_recipe_asks_for_them(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, made = loop.unpaired_steps, []
    monkeypatch.setattr(loop, "unpaired_steps", lambda *given: made.append(original(*given)) or made[-1])
    half = labeled_fraction(phantom, 0.5).apply(phantom)
    ct_whole = without_labels(phantom, {case.id for case in half.cases if case.label is None and case.modality != "ct"})
    for name, size in (("with", 3), ("without", 0)):
        method = MeanTeacherConfig(SupervisedConfig()) if size else SupervisedConfig()
        recipe = tiny(steps=1, method=method, unlabeled_batch_size=size)
        train(recipe, ct_whole, tmp_path / name, hardware=IN_PROCESS, cache=cache, show=False)
    with_unlabeled, without = (steps[0] for steps in made)
    assert {name: batch.unlabeled is not None for name, batch in with_unlabeled.items()} == {
        "ct": False,
        "bssfp": True,
        "lge": True,
    }
    for name, batch in with_unlabeled.items():
        assert batch.unlabeled is None or batch.unlabeled.shape == (3, *batch.images.shape[1:])
        assert torch.equal(batch.images, without[name].images)
        assert without[name].unlabeled is None


def test_a_method_for_unlabeled_images_wants_some(phantom: Dataset, tmp_path: Path) -> None:
    recipe = tiny(method=MeanTeacherConfig(SupervisedConfig()))
    with pytest.raises(InputError, match=r"MeanTeacherConfig is for unlabeled images, and .* is 0; set it"):
        train(recipe, labeled_fraction(phantom, 0.5).apply(phantom), tmp_path / "run", hardware=IN_PROCESS, show=False)
    assert not list(tmp_path.iterdir())


def test_unlabeled_images_for_a_method_that_ignores_them_are_refused(phantom: Dataset, tmp_path: Path) -> None:
    recipe = tiny(method=SupervisedConfig(), unlabeled_batch_size=2)
    with pytest.raises(InputError, match=r"is 2, and recipe\.method SupervisedConfig makes no use .* set it to 0, or"):
        train(recipe, labeled_fraction(phantom, 0.5).apply(phantom), tmp_path / "run", hardware=IN_PROCESS)
    assert not list(tmp_path.iterdir())


def test_unlabeled_cases_that_are_not_there_leave_no_run_behind(phantom: Dataset, tmp_path: Path) -> None:
    recipe = tiny(method=MeanTeacherConfig(SupervisedConfig()), unlabeled_batch_size=2)
    with pytest.raises(InputError, match=r"no unlabeled training case of ct, bssfp, lge .*`unpaired labeled-fraction`"):
        train(recipe, phantom, tmp_path / "run", hardware=IN_PROCESS, show=False)
    assert not list(tmp_path.iterdir())


def test_terms_that_compare_unlabeled_scans_are_said_to_be_0_with_those_of_one_modality(
    phantom: Dataset, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = labeled_fraction(phantom, 0.5).apply(phantom)
    but_lge = {case.id for case in half.cases if case.label is None and case.modality == "lge"}
    recipe = tiny(steps=1, method=CMCReleasedConfig(layer=LAYERS[1]), unlabeled_batch_size=2)
    for name, dataset in (("lge alone", without_labels(phantom, but_lge)), ("all", half)):
        train(recipe, dataset, tmp_path / name, hardware=IN_PROCESS, cache=cache)
        said = " ".join(capsys.readouterr().err.split())
        assert ("warning: CMCReleasedConfig: its terms compare" in said) == (name == "lge alone")
        assert ("only lge has some: they are 0 throughout" in said) == (name == "lge alone")


def test_what_was_measured_of_a_method_is_said_before_it_trains(
    phantom: Dataset, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = labeled_fraction(phantom, 0.5).apply(phantom)
    for method in (AnatomicalConsistencyConfig(SupervisedConfig()), MeanTeacherConfig(SupervisedConfig())):
        name = type(method).__name__
        recipe = tiny(steps=1, method=method, unlabeled_batch_size=2)
        train(recipe, half, tmp_path / name, hardware=IN_PROCESS, cache=cache)
        said = " ".join(capsys.readouterr().err.split())
        assert ("warning: CAC harmed" in said) == (name == "AnatomicalConsistencyConfig")
