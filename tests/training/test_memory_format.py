"""Channels last: the same training up to rounding, chosen where it is faster, and kept to by whoever goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import IN_PROCESS, assert_same, power_cut_at, tiny

from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.methods.method import Method, Objective
from unpaired.methods.supervised import Supervised, SupervisedConfig
from unpaired.networks.norm_kernels import GROUP_KERNELS, use_group_kernels
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe
from unpaired.training import memory_format, probe
from unpaired.training.layout import laid_out, lay_out
from unpaired.training.loop import train
from unpaired.training.memory_format import faster_format
from unpaired.training.probe import StepCost

UNET = UNetConfig(width=4, widest=8, blocks=(1, 1))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_step_has_the_same_loss_and_gradients(dims: int) -> None:
    """Laid out as it comes, and with channels last and the norms' other kernel, as a run on a processor trains."""
    torch.manual_seed(0)
    size = (8, 12, 16)[:dims]
    images = torch.randn(2, 1, *size, dtype=torch.float64)
    labels = torch.randint(3, (2, *size))
    batches = {"ct": Batch(images, labels, torch.eye(3, dtype=torch.bool), images[:1])}
    losses, gradients = [], []
    for layout in ("contiguous", "channels_last"):
        torch.manual_seed(1)
        method = SupervisedConfig().build(UNET.build(("ct",), 1, 3, dims), 3).double()
        lay_out(method, layout)
        if layout == "channels_last":
            use_group_kernels(method)
            assert not any(type(module) in GROUP_KERNELS for module in method.modules())
        given = laid_out(batches, layout)
        objective = method(given, 0.0)
        objective.loss.backward()
        losses.append(objective.loss.detach())
        gradients.append([parameter.grad for parameter in method.parameters()])
    last = torch.channels_last if dims == 2 else torch.channels_last_3d
    for tensor in (given["ct"].images, given["ct"].unlabeled):
        assert tensor is not None
        assert tensor.is_contiguous(memory_format=last)
    assert method.network.stem.convolution.weight.is_contiguous(memory_format=last)
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def run_of(recipe: Recipe, phantom: Dataset, folder: Path, cache: Path):
    return train(recipe, phantom, folder, hardware=IN_PROCESS, cache=cache, show=False)


def test_what_was_faster_at_the_start_is_kept_to(
    phantom: Dataset, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that says "auto" and is cut off ends with the bits of one that says what was chosen; timed once."""
    timed: list[str] = []

    def cost(recipe: Recipe, *_: object) -> StepCost:
        timed.append(recipe.memory_format)
        return StepCost(1.0 if recipe.memory_format == "contiguous" else 0.5, 0.1)

    monkeypatch.setattr(memory_format, "time_step", cost)
    straight = run_of(tiny(memory_format="channels_last"), phantom, tmp_path / "straight", cache)
    assert timed == []
    auto = tiny(memory_format="auto")
    with power_cut_at(5, monkeypatch):
        run_of(auto, phantom, tmp_path / "auto", cache)
    assert timed == ["contiguous", "channels_last"]
    resumed = run_of(auto, phantom, tmp_path / "auto", cache)
    assert timed == ["contiguous", "channels_last"]
    assert_same(straight, resumed)
    state = resumed.load_state()
    assert state is not None
    assert state["memory_format"] == "channels_last"


@pytest.mark.parametrize(("seconds", "chosen"), [(0.94, "channels_last"), (0.96, "contiguous"), (2.0, "contiguous")])
def test_it_has_to_be_worth_it(seconds: float, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {"contiguous": 1.0, "channels_last": seconds}
    monkeypatch.setattr(memory_format, "time_step", lambda recipe, *_: StepCost(costs[recipe.memory_format], 0.1))
    assert faster_format(replace(tiny(), memory_format="auto"), ["ct"], 3, "cpu") == chosen


def test_a_step_that_gives_no_answer_is_never_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Supervised):
        def forward(self, batches: object, progress: float) -> Objective:
            objective = super().forward(batches, progress)  # type: ignore[arg-type]
            return objective._replace(loss=objective.loss * torch.nan)

    def broken(recipe: Recipe, modalities: list[str], classes: int) -> Method:
        return Broken(UNET.build(modalities, 1, classes, 2), SupervisedConfig())

    monkeypatch.setattr(probe, "build_method", broken)
    recipe = replace(tiny(), patch_size=(16, 16), context_slices=1, method=SupervisedConfig(), network=UNET)
    assert probe.time_step(recipe, ["ct"], 3).seconds == float("inf")
