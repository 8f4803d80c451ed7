"""The loop: what it leaves in a run folder, two processes equal one, bad runs are refused in one line."""

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import IN_PROCESS, assert_same, command, power_cut_at, stored_recipe, tiny

from processes import ended
from small_network import SMALL
from unpaired.data.dataset import Dataset, with_splits
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.recipe import Optimization, build_method
from unpaired.runs.progress import read_progress
from unpaired.runs.run import Run
from unpaired.training.loop import train
from warm_python import python


def test_a_run_folder_holds_what_its_readme_says(straight: Run) -> None:
    readme = (straight.folder / "README.txt").read_text(encoding="utf-8")
    names = {path.name for path in straight.folder.iterdir()}
    for name in names - {"README.txt"}:
        assert name in readme, f"README.txt is silent about {name}"
    assert {"recipe.json", "dataset.json", "split.json", "versions.json", "log.csv", "validation.csv"} <= names
    assert not list(straight.folder.rglob("*tmp*"))
    assert straight.recipe == tiny()
    validation = straight.rows("validation")
    assert {row["step"] for row in validation} == {"3", "6"}
    assert {row["modality"] for row in validation} == {"ct", "bssfp", "lge"}
    assert [row["step"] for row in straight.rows("log")] == ["1", "6"]
    assert read_progress(straight.folder).state == "finished"
    assert list((straight.folder / "tensorboard").glob("events*"))


def test_the_page_of_the_runs_folder_names_what_training_writes(straight: Run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "run-folder.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(.+?)/?` \| train \|", page, re.M))
    assert named - {"progress.png"} == {path.name for path in straight.folder.iterdir()}  # too short to be drawn


def test_training_moves_shared_kernels_and_every_modalitys_norms(straight: Run) -> None:
    fresh = build_method(straight.recipe, straight.modalities, 6).network.state_dict()
    trained = load_file(straight.weights("last"))
    still = [name for name in fresh if fresh[name].is_floating_point() and torch.equal(fresh[name], trained[name])]
    assert not still


@pytest.mark.slow
def test_two_processes_equal_one_with_the_doubled_batch(
    manifest: Path, phantom: Dataset, cache: Path, tmp_path: Path
) -> None:
    """With losses and norms that are means over images (cross-entropy without class weights, group norm)."""
    recipe = tiny(
        network=replace(SMALL, norm="group"),
        method=SupervisedConfig(dice_weight=0.0, class_weighting="none"),
        optimization=Optimization(optimizer="sgd", learning_rate=0.05, momentum=0.0, schedule="constant"),
        steps=3,
        batch_size=1,
        validate_every=3,
    )
    file, run = stored_recipe(tmp_path, recipe), tmp_path / "ddp"
    process = python(
        *command(file, manifest, run, cache, "--devices", "2", "--workers", "0"),
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )
    with ended(process):
        said = process.communicate()
    assert process.returncode == 0, said
    whole = train(
        replace(recipe, batch_size=2), phantom, tmp_path / "one", hardware=IN_PROCESS, cache=cache, show=False
    )
    ddp, single = load_file(run / "weights_last.safetensors"), load_file(whole.weights("last"))
    assert max((ddp[name] - single[name]).abs().max().item() for name in single) < 1e-6


def test_accumulated_batches_equal_one_larger_batch(phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    recipe = tiny(
        network=replace(SMALL, norm="group"),
        method=SupervisedConfig(dice_weight=0.0, class_weighting="none"),
        optimization=Optimization(optimizer="sgd", learning_rate=0.05, momentum=0.0, schedule="constant"),
        steps=3,
    )
    parts = train(
        replace(recipe, batch_size=1, accumulate=2),
        phantom,
        tmp_path / "p",
        hardware=IN_PROCESS,
        cache=cache,
        show=False,
    )
    whole = train(recipe, phantom, tmp_path / "w", hardware=IN_PROCESS, cache=cache, show=False)
    a, b = load_file(parts.weights("last")), load_file(whole.weights("last"))
    assert max((a[name] - b[name]).abs().max().item() for name in b) < 1e-6


def test_norms_taken_anew_leave_training_as_it_was_and_fit_the_network_that_predicts(
    straight: Run, phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(norm_batches=2)
    run = train(recipe, phantom, tmp_path / "n", hardware=IN_PROCESS, cache=cache, show=False)
    trailing, anew = load_file(straight.weights("last")), load_file(run.weights("last"))
    changed = {name for name in anew if not torch.equal(anew[name], trailing[name])}
    assert changed
    assert all(name.endswith(("running_mean", "running_var")) for name in changed)
    assert run.rows("validation") != straight.rows("validation")

    with power_cut_at(5, monkeypatch):
        train(recipe, phantom, tmp_path / "m", hardware=IN_PROCESS, cache=cache, show=False)
    assert_same(train(recipe, phantom, tmp_path / "m", hardware=IN_PROCESS, cache=cache, show=False), run)


def test_a_run_starts_from_another_runs_weights(straight: Run, phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    recipe = tiny(init_from=str(straight.folder), steps=1, optimization=Optimization(learning_rate=1e-12))
    run = train(recipe, phantom, tmp_path / "f", hardware=IN_PROCESS, cache=cache, show=False)
    before, after = load_file(straight.weights("best")), load_file(run.weights("last"))
    kernels = [name for name in before if before[name].ndim == 4]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in kernels)


def test_a_folder_of_another_recipe_or_split_is_left_alone(straight: Run, phantom: Dataset, cache: Path) -> None:
    listing = {path: path.stat().st_mtime_ns for path in straight.folder.rglob("*")}
    with pytest.raises(InputError, match=r"another recipe \(recipe\.method\.weight is 0\.5 there and 0\.1 here\)"):
        train(
            tiny(method=replace(tiny().method, weight=0.1)), phantom, straight.folder, hardware=IN_PROCESS, cache=cache
        )
    moved = with_splits(phantom, {phantom.of("ct", "train")[0].id: "test"})
    with pytest.raises(InputError, match="another split"):
        train(tiny(), moved, straight.folder, hardware=IN_PROCESS, cache=cache)
    assert {path: path.stat().st_mtime_ns for path in straight.folder.rglob("*")} == listing


def test_a_folder_that_is_no_run_is_left_alone(phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="exists and is not a run folder"):
        train(tiny(), phantom, tmp_path / "mine", hardware=IN_PROCESS, cache=cache)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_divergence_is_named_and_the_saved_weights_stay(phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    recipe = tiny(optimization=Optimization(optimizer="sgd", learning_rate=1e30), steps=10)
    with pytest.raises(InputError, match="diverged"):
        train(recipe, phantom, tmp_path / "g", hardware=IN_PROCESS, cache=cache, show=False)
    for file in (tmp_path / "g").glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(file).values())


def test_missing_training_cases_are_named(phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    nowhere = with_splits(phantom, {case.id: "test" for case in phantom.cases})
    with pytest.raises(InputError, match="no labeled training cases"):
        train(tiny(), nowhere, tmp_path / "h", hardware=IN_PROCESS, cache=cache)
    with pytest.raises(InputError, match="did you mean lge"):
        train(tiny(modalities=("lgee",)), phantom, tmp_path / "h", hardware=IN_PROCESS, cache=cache)
    assert not (tmp_path / "h").exists()


def test_the_log_is_plain_csv(straight: Run) -> None:
    with (straight.folder / "log.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert header[:2] == ["step", "loss"]
    assert {f"term/{kind}/{m}" for kind in ("dice", "ce") for m in ("ct", "bssfp", "lge")} <= set(header)
    assert header[-2:] == ["lr", "seconds"]
