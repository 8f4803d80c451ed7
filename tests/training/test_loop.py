"""The loop: resume is bit-equal however a run ended, two processes equal one, bad runs are refused in one line."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unpaired.data.dataset import Dataset, with_splits, without_labels
from unpaired.data.sampling import UnpairedSteps
from unpaired.data.splits import labeled_fraction
from unpaired.errors import InputError, Stopped
from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervisionConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.recipe import Optimization, Recipe, build_method, dumps
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run
from unpaired.training import loop
from unpaired.training.loop import Hardware, train

IN_PROCESS = Hardware(device="cpu", workers=0)


def tiny(**changes) -> Recipe:
    """Dropout and augmentation are on: both have to come back the same after a stop."""
    base = replace(
        csa(),
        network=FCNConfig(width=2, dropout=0.25, initialization="he"),
        patch_size=(32, 32),
        batch_size=2,
        steps=6,
        validate_every=3,
        save_every=2,
    )
    return replace(base, **changes)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def straight(phantom: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed."""
    return train(tiny(), phantom, tmp_path_factory.mktemp("runs") / "a", hardware=IN_PROCESS, cache=cache, show=False)


def test_the_page_of_the_runs_folder_names_what_training_writes(straight: Run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "run-folder.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(.+?)/?` \| train \|", page, re.M))
    assert named == {path.name for path in straight.folder.iterdir()}


def rows_without_times(run: Run) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.rows("log") + run.rows("validation")]


def assert_same(a: Run, b: Run) -> None:
    for which in ("last", "best"):
        first, second = load_file(a.weights(which)), load_file(b.weights(which))
        assert set(first) == set(second)
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert rows_without_times(a) == rows_without_times(b)


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
    assert [row["step"] for row in straight.rows("log")] == ["1"]
    assert list((straight.folder / "tensorboard").glob("events*"))


def test_training_moves_shared_kernels_and_every_modalitys_norms(straight: Run) -> None:
    fresh = build_method(straight.recipe, straight.modalities, 6).network.state_dict()
    trained = load_file(straight.weights("last"))
    still = [name for name in fresh if fresh[name].is_floating_point() and torch.equal(fresh[name], trained[name])]
    assert not still


@contextmanager
def power_cut_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Training inside dies at the beginning of a step (from 0), without a chance to save."""
    original = loop._training_step

    def crash(*arguments):
        if arguments[-1] == step:
            raise RuntimeError("power cut")
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_training_step", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            yield


def test_a_crash_between_saves_costs_only_the_steps_since(
    straight: Run, phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with power_cut_at(5, monkeypatch):
        train(tiny(), phantom, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False)
    state = Run.open(tmp_path / "b").load_state()
    assert state is not None
    assert state["step"] == 4
    resumed = train(tiny(), phantom, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False)
    assert_same(resumed, straight)


def test_ctrl_c_finishes_the_step_saves_and_goes_on_bit_equal(
    straight: Run, phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = loop._training_step

    def interrupted(*arguments):
        if arguments[-1] == 2:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(loop, "_training_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match="stopped after step 3"):
        train(tiny(), phantom, tmp_path / "c", hardware=IN_PROCESS, cache=cache, show=False)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr(loop, "_training_step", original)
    assert_same(train(tiny(), phantom, tmp_path / "c", hardware=IN_PROCESS, cache=cache, show=False), straight)


@pytest.mark.parametrize("state", [{}, [], {"method": {}}, {"method": 3}, torch.zeros(2)], ids=str)
def test_a_saved_state_that_does_not_fit_is_one_line(
    state: object, straight: Run, phantom: Dataset, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(straight.folder, tmp_path / "run")
    torch.save(state, tmp_path / "run" / "resume.pt")
    with pytest.raises(InputError, match=r"resume\.pt doesn't hold the state of this training") as caught:
        train(tiny(), phantom, tmp_path / "run", hardware=IN_PROCESS, cache=cache, show=False)
    assert "\n" not in str(caught.value)


def saved_step(folder: Path) -> int:
    state = Run.open(folder).load_state()
    assert state is not None
    return state["step"]


def command(recipe: Path, data: Path, run: Path, cache: Path, *options: str) -> list[str]:
    start = [sys.executable, "-m", "unpaired.cli", "train", f"{recipe}:stored", str(data), str(run)]
    return [*start, "--device", "cpu", "--cache", str(cache), *options]


def stored_recipe(folder: Path, recipe: Recipe) -> Path:
    """A recipe file of a user's own."""
    file = folder / "stored_recipe.py"
    file.write_text(
        "import json\nfrom unpaired.recipe import Recipe, from_json\n"
        f"def stored() -> Recipe:\n    return from_json(json.loads({dumps(recipe)!r}))\n"
    )
    return file


def recipe_held_at(step: int, folder: Path, recipe: Recipe) -> Path:
    """A recipe file whose training waits in a step (from 0) for a file called `go` beside it, however fast it is."""
    file = stored_recipe(folder, recipe)
    hold = f"""
import time
from pathlib import Path
from unpaired.training import loop

original = loop._training_step

def held(*arguments):
    while arguments[-1] == {step} and not (Path(__file__).parent / "go").exists():
        time.sleep(0.01)
    return original(*arguments)

loop._training_step = held
"""
    file.write_text(file.read_text() + hold)
    return file


def wait_for(file: Path, process: subprocess.Popen) -> None:
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_kill_9_leaves_a_run_that_goes_on_bit_equal(
    straight: Run, manifest: Path, phantom: Dataset, cache: Path, tmp_path: Path
) -> None:
    file, run = recipe_held_at(3, tmp_path, tiny()), tmp_path / "d"
    process = subprocess.Popen(
        command(file, manifest, run, cache, "--workers", "1"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    wait_for(run / "resume.pt", process)
    process.kill()
    process.communicate()
    assert process.returncode == (-signal.SIGKILL if os.name == "posix" else 1)
    assert saved_step(run) == 2
    assert_same(train(tiny(), phantom, run, hardware=IN_PROCESS, cache=cache, show=False), straight)


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
def test_ctrl_c_in_a_terminal_stops_every_process_in_one_line(
    straight: Run, manifest: Path, phantom: Dataset, cache: Path, tmp_path: Path
) -> None:
    """A terminal sends SIGINT to the whole process group: to the process that trains and to those that cut batches.

    While it trains, nobody else may train there.
    """
    file, run = recipe_held_at(2, tmp_path, tiny()), tmp_path / "terminal"
    process = subprocess.Popen(
        command(file, manifest, run, cache, "--workers", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(run / "resume.pt", process)
    with pytest.raises(InputError, match=rf"terminal is in use: process {process.pid} on .* is training there"):
        train(tiny(), phantom, run, hardware=IN_PROCESS, cache=cache, show=False)
    os.killpg(process.pid, signal.SIGINT)
    (tmp_path / "go").touch()
    _, messages = process.communicate()  # returns once the workers have let go of the pipe as well
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert messages.splitlines()[-1] == (
        f"unpaired: stopped after step 3 and saved in {run}; the same command goes on from there"
    )
    assert saved_step(run) == 3
    assert_same(train(tiny(), phantom, run, hardware=IN_PROCESS, cache=cache, show=False), straight)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_worker_ends_in_one_line(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: UnpairedSteps, step: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(UnpairedSteps, "__getitem__", killed)
    with pytest.raises(InputError, match=r"process that cuts batches was killed.*the same command") as caught:
        train(tiny(), phantom, tmp_path / "k", hardware=Hardware("cpu", workers=1), cache=cache, show=False)
    assert "\n" not in str(caught.value)


def test_a_worker_that_fails_ends_in_one_line(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: UnpairedSteps, step: int) -> None:
        raise FileNotFoundError(2, "No such file or directory", "volume.npy")

    monkeypatch.setattr(UnpairedSteps, "__getitem__", failing)
    with pytest.raises(InputError, match=r"failed: FileNotFoundError.*volume\.npy") as caught:
        train(tiny(), phantom, tmp_path / "k", hardware=Hardware("cpu", workers=1), cache=cache, show=False)
    assert "\n" not in str(caught.value)


def test_two_processes_equal_one_with_the_doubled_batch(
    manifest: Path, phantom: Dataset, cache: Path, tmp_path: Path
) -> None:
    """With losses and norms that are means over images (cross-entropy without class weights, group norm)."""
    recipe = tiny(
        network=FCNConfig(width=2, dropout=0.0, norm="group", initialization="he"),
        method=SupervisedConfig(dice_weight=0.0, class_weighting="none"),
        optimization=Optimization(optimizer="sgd", learning_rate=0.05, momentum=0.0, schedule="constant"),
        steps=3,
        batch_size=1,
        validate_every=3,
    )
    file, run = stored_recipe(tmp_path, recipe), tmp_path / "ddp"
    done = subprocess.run(
        command(file, manifest, run, cache, "--devices", "2", "--workers", "0"),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, done.stderr
    whole = train(
        replace(recipe, batch_size=2), phantom, tmp_path / "one", hardware=IN_PROCESS, cache=cache, show=False
    )
    ddp, one = load_file(run / "weights_last.safetensors"), load_file(whole.weights("last"))
    assert max((ddp[name] - one[name]).abs().max().item() for name in one) < 1e-6


def test_accumulated_batches_equal_one_larger_batch(phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    recipe = tiny(
        network=FCNConfig(width=2, dropout=0.0, norm="group", initialization="he"),
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


def test_unlabeled_training_cases_take_part_where_the_recipe_asks_for_them(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, made = loop.unpaired_steps, []
    monkeypatch.setattr(loop, "unpaired_steps", lambda *given: made.append(original(*given)) or made[-1])
    half = labeled_fraction(phantom, 0.5)
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


def test_teachers_and_second_networks_come_back_bit_equal_and_move_once_per_optimizer_step(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = labeled_fraction(phantom, 0.5)
    method = MeanTeacherConfig(CrossPseudoSupervisionConfig(SupervisedConfig(), labeled=False))
    recipe = tiny(
        method=method,
        modalities=("ct",),
        unlabeled_batch_size=1,
        batch_size=1,
        accumulate=2,
        steps=3,
        save_every=1,
        validate_every=3,
    )
    straight = train(recipe, half, tmp_path / "a", hardware=IN_PROCESS, cache=cache, show=False)
    with power_cut_at(2, monkeypatch):
        train(recipe, half, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False)
    resumed = train(recipe, half, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False)
    assert_same(straight, resumed)
    ours, theirs = (run.load_whole_method().state_dict() for run in (straight, resumed))
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert ours["_extra_state"] == 3
    assert not torch.equal(ours["method.method.network.output.weight"], ours["teacher.output.weight"])
    assert set(load_file(straight.weights("last"))) == set(straight.load_method("last").network.state_dict())


def test_a_method_for_unlabeled_images_wants_some(phantom: Dataset, tmp_path: Path) -> None:
    recipe = tiny(method=MeanTeacherConfig(SupervisedConfig()))
    with pytest.raises(InputError, match=r"MeanTeacherConfig is for unlabeled images, and .* is 0; set it"):
        train(recipe, labeled_fraction(phantom, 0.5), tmp_path / "run", hardware=IN_PROCESS, show=False)
    assert not list(tmp_path.iterdir())


def test_unlabeled_images_for_a_method_that_ignores_them_are_refused(phantom: Dataset, tmp_path: Path) -> None:
    recipe = tiny(method=SupervisedConfig(), unlabeled_batch_size=2)
    with pytest.raises(InputError, match=r"is 2, and recipe\.method SupervisedConfig makes no use .* set it to 0, or"):
        train(recipe, labeled_fraction(phantom, 0.5), tmp_path / "run", hardware=IN_PROCESS)
    assert not list(tmp_path.iterdir())


def test_both_networks_begin_with_pretrained_weights(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = []
    monkeypatch.setattr(FCNConfig, "load_pretrained", lambda config, network: filled.append(network))
    recipe = tiny(method=CrossPseudoSupervisionConfig(SupervisedConfig()), unlabeled_batch_size=1)
    method = build_method(recipe, ("ct",), 6)
    loop._first_weights(recipe, method, tmp_path / "run")
    assert {id(network) for network in filled} == {id(method.network), id(method.second.network)}


def test_unlabeled_cases_that_are_not_there_leave_no_run_behind(phantom: Dataset, tmp_path: Path) -> None:
    recipe = tiny(method=MeanTeacherConfig(SupervisedConfig()), unlabeled_batch_size=2)
    with pytest.raises(InputError, match=r"no unlabeled training case of ct, bssfp, lge .*`unpaired labeled-fraction`"):
        train(recipe, phantom, tmp_path / "run", hardware=IN_PROCESS, show=False)
    assert not list(tmp_path.iterdir())


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
            tiny(method=replace(csa().method, weight=0.1)), phantom, straight.folder, hardware=IN_PROCESS, cache=cache
        )
    moved = with_splits(phantom, {phantom.of("ct", "train")[0].id: "test"})
    with pytest.raises(InputError, match="another split"):
        train(tiny(), moved, straight.folder, hardware=IN_PROCESS, cache=cache)
    assert {path: path.stat().st_mtime_ns for path in straight.folder.rglob("*")} == listing


def test_a_folder_that_is_no_run_is_left_alone(phantom: Dataset, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="exists and is no run folder"):
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
