"""However a run ended, the same command goes on from its last saved step and ends with the same bits."""

import os
import shutil
import signal
import time
from pathlib import Path
from subprocess import Popen

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import IN_PROCESS, assert_same, command, power_cut_at, stored_recipe, tiny

from processes import ended
from unpaired.data.dataset import Dataset
from unpaired.data.fewer_labels import labeled_fraction
from unpaired.errors import InputError, Stopped
from unpaired.methods.anatomical_consistency import AnatomicalConsistencyConfig
from unpaired.methods.anatomy import AnatomyConfig
from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervisionConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.ramp import Ramp
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.recipe import Recipe
from unpaired.runs.run import Run
from unpaired.training import loop
from unpaired.training.loop import Hardware, train
from warm_python import Fork, python


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


def wait_for(file: Path, process: Fork | Popen[str]) -> None:
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


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


def test_dropout_comes_back_bit_equal_with_a_worker_or_without(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(
        network=FCNConfig(width=2, dropout=0.25, initialization="he"),
        method=SupervisedConfig(),
        modalities=("ct",),
        batch_size=1,
        steps=3,
        save_every=1,
        validate_every=3,
    )
    straight = train(recipe, phantom, tmp_path / "a", hardware=IN_PROCESS, cache=cache, show=False)
    with power_cut_at(2, monkeypatch):
        train(recipe, phantom, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False)
    resumed = train(recipe, phantom, tmp_path / "b", hardware=Hardware("cpu", workers=1), cache=cache, show=False)
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


@pytest.mark.slow
def test_kill_9_leaves_a_run_that_goes_on_bit_equal(
    straight: Run, manifest: Path, phantom: Dataset, cache: Path, tmp_path: Path
) -> None:
    file, run = recipe_held_at(3, tmp_path, tiny()), tmp_path / "d"
    process = python(*command(file, manifest, run, cache, "--workers", "1"))
    with ended(process):
        wait_for(run / "resume.pt", process)
        process.kill()
        process.communicate()
    assert process.returncode == (-signal.SIGKILL if os.name == "posix" else 1)
    assert saved_step(run) == 2
    assert_same(train(tiny(), phantom, run, hardware=IN_PROCESS, cache=cache, show=False), straight)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
def test_ctrl_c_in_a_terminal_stops_every_process_in_one_line(
    straight: Run, manifest: Path, phantom: Dataset, cache: Path, tmp_path: Path
) -> None:
    """A terminal sends SIGINT to the whole process group: to the process that trains and to those that cut batches.

    While it trains, nobody else may train there.
    """
    file, run = recipe_held_at(2, tmp_path, tiny()), tmp_path / "terminal"
    process = python(*command(file, manifest, run, cache, "--workers", "1"), start_new_session=True)
    with ended(process):
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


def test_teachers_and_second_networks_come_back_bit_equal_and_move_once_per_optimizer_step(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = labeled_fraction(phantom, 0.5).apply(phantom)
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
    weights, resumed_weights = (run.load_whole_method().state_dict() for run in (straight, resumed))
    assert set(weights) == set(resumed_weights)
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)
    assert weights["_extra_state"] == 3
    assert not torch.equal(weights["method.method.network.output.weight"], weights["teacher.output.weight"])
    assert set(load_file(straight.weights("last"))) == set(straight.load_method("last").network.state_dict())


def test_remembered_maps_come_back_bit_equal(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a method keeps besides its tensors: such a run could not go on, as its state was looked through for NaN."""
    half = labeled_fraction(phantom, 0.5).apply(phantom)
    cac = AnatomicalConsistencyConfig(SupervisedConfig(), anatomy=AnatomyConfig(momentum=0.9), ramp=Ramp(length=0))
    recipe = tiny(method=cac, unlabeled_batch_size=1, steps=3, save_every=1, validate_every=3)
    straight = train(recipe, half, tmp_path / "a", hardware=IN_PROCESS, cache=cache, show=False)
    with power_cut_at(2, monkeypatch):
        train(recipe, half, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False)
    assert_same(straight, train(recipe, half, tmp_path / "b", hardware=IN_PROCESS, cache=cache, show=False))
    state = torch.load(straight.folder / "resume.pt", weights_only=True)
    maps = state["method"]["running._extra_state"]
    maps["ct"][0] = torch.nan
    torch.save(state, straight.folder / "resume.pt")
    with pytest.raises(InputError, match=r"'running\._extra_state/ct' holds NaN"):
        straight.load_state()
