"""Mean maps that remember: the recursion by hand, the batch's whole gradient, kept with a run."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from random_batches import random_batches

from unpaired.errors import InputError
from unpaired.methods.anatomical_consistency import AnatomicalConsistencyConfig
from unpaired.methods.anatomy import AnatomyConfig, anatomical_consistency
from unpaired.methods.ramp import Ramp
from unpaired.methods.running_maps import RunningMaps
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig


def test_the_mean_of_the_last_steps_by_hand() -> None:
    running = RunningMaps(0.75)
    values = [running("ct", torch.tensor([m])).item() for m in (4.0, 8.0, 0.0)]
    assert values == [4.0, 0.75 * 4 + 0.25 * 8, 0.75 * 5.0]
    assert running("mr", torch.tensor([1.0])).item() == 1.0
    running.eval()
    running("ct", torch.tensor([100.0]))
    assert running.maps["ct"].item() == 3.75


def test_the_gradient_is_the_whole_one_of_the_batch() -> None:
    running = RunningMaps(0.9)
    running("ct", torch.zeros(3))
    mean = torch.ones(3, requires_grad=True)
    running("ct", mean).square().sum().backward()
    assert torch.allclose(mean.grad, torch.full((3,), 2 * 0.1))  # type: ignore[arg-type]


def test_processes_remember_the_mean_of_all_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a part of the batch: they remember what one process with the whole batch does, with its gradient."""
    parts = [torch.tensor([[4.0, 1.0], [0.0, 3.0]]), torch.tensor([[8.0, 5.0], [2.0, 9.0]])]  # of each: two steps
    whole = RunningMaps(0.75)
    expected = [whole("ct", (first + second) / 2).tolist() for first, second in zip(*parts, strict=True)]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for own, others in (parts, parts[::-1]):
        running = RunningMaps(0.75)
        for step in range(2):
            monkeypatch.setattr(torch.distributed, "all_reduce", partial(torch.Tensor.add_, other=others[step]))
            mean = own[step].clone().requires_grad_()
            given = running("ct", mean)
            assert given.tolist() == expected[step]
            (gradient,) = torch.autograd.grad(given.sum(), mean)
            assert gradient.tolist() == [1.0, 1.0]
        assert running.maps["ct"].tolist() == whole.maps["ct"].tolist()
        monkeypatch.setattr(torch.distributed, "all_reduce", None)  # nobody else is asked outside of training
        running.eval()
        running("ct", own[0])


def test_it_is_less_noise_between_batches_of_one_kind() -> None:
    """The same class at random places in both modalities: nothing to see but sampling."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        return 4 * torch.randn(2, 3, 12, 12, generator=generator)

    config, running = AnatomyConfig(frame_size=8), RunningMaps(0.9)
    values: dict[float, list[float]] = {0.0: [], 0.9: []}
    for _ in range(40):
        logits = {"ct": draw(), "mr": draw()}
        values[0.0].append(anatomical_consistency(logits, config).item())
        values[0.9].append(anatomical_consistency(logits, config, running).item())
    assert sum(values[0.9][10:]) < 0.5 * sum(values[0.0][10:])


def test_a_method_remembers_and_gives_it_to_the_run_that_goes_on() -> None:
    config = AnatomicalConsistencyConfig(
        SupervisedConfig(), anatomy=AnatomyConfig(momentum=0.8, frame_size=6), ramp=Ramp(length=0)
    )
    torch.manual_seed(0)
    method = config.build(UNetConfig(width=2, widest=4, blocks=(1, 1)).build(("ct", "mr"), 1, 3, 2), 3)
    batches = random_batches(("ct", "mr"), (8, 8), unlabeled={"ct": 2, "mr": 2})
    first = method(batches, 0.5).terms["cac"].item()
    other = config.build(UNetConfig(width=2, widest=4, blocks=(1, 1)).build(("ct", "mr"), 1, 3, 2), 3)
    other.load_state_dict(method.state_dict())
    assert isinstance(other.running, RunningMaps)
    assert set(other.running.maps) == {"ct", "mr"}
    assert other(batches, 0.5).terms["cac"].item() == pytest.approx(method(batches, 0.5).terms["cac"].item())
    assert first == pytest.approx(method(batches, 0.5).terms["cac"].item(), rel=1e-3)  # the same batch again


def test_only_mean_maps_can_be_remembered() -> None:
    with pytest.raises(InputError, match="momentum is of mean maps"):
        AnatomyConfig("shape", momentum=0.5)
    with pytest.raises(InputError, match="momentum is of mean maps"):
        replace(AnatomyConfig(momentum=0.5), compared="pairs")
