"""Optimizer and learning rate. The rate is a function of the step alone, so a resumed run stays on its curve."""

import math

from torch import nn, optim

from unpaired.methods.teacher import Taught
from unpaired.recipe import Optimization


def build_optimizer(module: nn.Module, config: Optimization) -> optim.Optimizer:
    """The optimizer over all trainable parameters, with weight decay on those that `config.decayed` names."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    elsewhere = config.weight_decay if config.decayed == "all" else 0.0
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": elsewhere},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)
    kind = optim.AdamW if config.optimizer == "adamw" else optim.Adam
    return kind(groups, lr=config.learning_rate)


def parameter_counts(module: nn.Module) -> dict[str, int]:
    """How many numbers the optimizer moves ("trained") and how many stay as they begin ("frozen").

    A teacher's own are neither: they follow the network in training.
    """
    counts = {"trained": 0, "frozen": 0}
    following = _of_teachers(module)
    for parameter in module.parameters():
        if id(parameter) not in following:
            counts["trained" if parameter.requires_grad else "frozen"] += parameter.numel()
    return counts


def _of_teachers(module: nn.Module) -> set[int]:
    """The ids of parameters that only a teacher has."""
    return {
        id(parameter)
        for taught in module.modules()
        if isinstance(taught, Taught)
        for parameter in set(taught.teacher.parameters()) - set(taught.network.parameters())
    }


def learning_rate(config: Optimization, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`, after a linear warm-up of `warmup_steps`."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = step / steps
    factor = {
        "constant": 1.0,
        "step_decay": config.decay ** (step // config.decay_every),
        "polynomial": (1 - progress) ** config.decay,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
    }[config.schedule]
    return config.learning_rate * factor
