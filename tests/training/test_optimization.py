"""Learning rates by hand; weight decay on kernels only."""

import math

import pytest
import torch
from torch import nn

from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization
from unpaired.training.optimization import build_optimizer, learning_rate, parameter_counts


@pytest.mark.parametrize(
    ("config", "step", "expected"),
    [
        (Optimization(), 0, 1e-4),
        (Optimization(), 999, 1e-4),
        (Optimization(), 1000, 0.95e-4),
        (Optimization(), 2500, 0.95**2 * 1e-4),
        (Optimization(schedule="constant"), 5000, 1e-4),
        (Optimization(schedule="polynomial", decay=0.9), 5000, 1e-4 * 0.5**0.9),
        (Optimization(schedule="cosine"), 2500, 1e-4 * (1 + math.sqrt(0.5)) / 2),
        (Optimization(schedule="cosine", warmup_steps=10), 4, 0.5e-4),
        (Optimization(schedule="constant", warmup_steps=10), 10, 1e-4),
    ],
)
def test_the_rate_is_a_function_of_the_step(config: Optimization, step: int, expected: float) -> None:
    assert learning_rate(config, step, 10_000) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(("decayed", "elsewhere"), [("kernels", 0), ("all", 0.1)])
def test_what_decays_and_that_frozen_parameters_are_left_out(optimizer: str, decayed: str, elsewhere: float) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))
    module[2].weight.requires_grad_(False)
    built = build_optimizer(module, Optimization(optimizer=optimizer, weight_decay=0.1, decayed=decayed))
    decay = {id(p): group["weight_decay"] for group in built.param_groups for p in group["params"]}
    names = {name: decay.get(id(p)) for name, p in module.named_parameters()}
    kernels = {"0.weight": 0.1, "2.weight": None}
    assert names == {**kernels, **dict.fromkeys(("0.bias", "1.weight", "1.bias", "2.bias"), elsewhere)}


def test_adams_decay_is_the_l2_term_of_ummkd() -> None:
    """One Adam step with weight decay w equals one on loss + w * sum(k^2) / 2."""
    torch.manual_seed(0)
    start, x = torch.randn(1, 1, 3, 3), torch.randn(2, 1, 6, 6)

    def step(weight_decay: float, penalty: float) -> torch.Tensor:
        conv = nn.Conv2d(1, 1, 3, bias=False)
        conv.weight.data.copy_(start)
        built = build_optimizer(conv, Optimization(learning_rate=0.1, weight_decay=weight_decay))
        for _ in range(3):
            built.zero_grad()
            (conv(x).pow(2).mean() + penalty * conv.weight.pow(2).sum() / 2).backward()
            built.step()
        return conv.weight.detach()

    assert torch.allclose(step(0.3, 0), step(0, 0.3), atol=1e-6)
    assert not torch.allclose(step(0.3, 0), step(0, 0))


def test_a_teachers_parameters_are_neither_trained_nor_frozen() -> None:
    """They follow: a run of a whole network said that half of its parameters are trained."""
    network = UNetConfig(width=2, widest=4, blocks=(1, 1)).build(("ct", "mr"), 1, 3, 2)
    network.encoder.requires_grad_(False)  # shared with the teacher, and frozen all the same
    frozen = sum(parameter.numel() for parameter in network.encoder.parameters())
    every = sum(parameter.numel() for parameter in network.parameters())
    method = MeanTeacherConfig(SupervisedConfig()).build(network, 3)
    assert parameter_counts(method) == {"trained": every - frozen, "frozen": frozen}
