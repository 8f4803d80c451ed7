# pyright: reportPrivateUsage=false
# (torch keeps to itself the base class of its batch norms)
"""Batch norm's running statistics, taken anew for the network that predicts.

While a network trains, running statistics trail its weights, and with dropout they are those of a network whose units
drop out: the one that predicts has other variances (Li et al., CVPR 2019, "variance shift"). Taken anew over a few
batches with the weights standing still and dropout off, they fit (Wu & Johnson, 2021, "precise BN"): mean and variance
of all that a norm is given, as if it were one batch.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


def refresh_norms(network: nn.Module, batches: Iterator[Mapping[str, Tensor]]) -> None:
    """Replace every batch norm's running statistics by those over `batches` ({modality: images} each).

    See `taking_statistics`; without batches nothing changes.
    """
    with taking_statistics(network):
        for images in batches:
            network(images)


def norms_with_statistics(network: nn.Module) -> list[BatchNorm]:
    """The batch norms of a network that predict by running statistics; other norms have none."""
    return [module for module in network.modules() if isinstance(module, BatchNorm) and module.track_running_stats]


@contextmanager
def taking_statistics(network: nn.Module) -> Generator[None]:
    """Batch norms' running statistics become mean and variance of all that they are given in this block, without
    gradient. Each value counts alike, however many images it came with.

    Only batch norms run as in training; dropout and the like are off. A norm that nothing reaches keeps what it had,
    and all do where the block raises. Modes and weights are left as they were.
    """
    norms = norms_with_statistics(network)
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    moments = [Moments() for _ in norms]
    hooks = [norm.register_forward_pre_hook(partial(_noted, of)) for norm, of in zip(norms, moments, strict=True)]
    taken = False
    try:
        with _only_norms_learn(network, norms), torch.no_grad():
            yield
        taken = True
    finally:
        for hook in hooks:
            hook.remove()
        for norm, buffers, of in zip(norms, before, moments, strict=True):
            for name, buffer in buffers.items():
                norm.get_buffer(name).copy_(buffer)
            if taken and of.count:
                norm.get_buffer("running_mean").copy_(of.mean)
                norm.get_buffer("running_var").copy_(of.variance())


class Moments:
    """Mean and variance of each channel over maps that come one after the other (Chan, Golub, LeVeque, 1983)."""

    def __init__(self) -> None:
        self.count = 0
        """Values of a channel so far."""
        self.mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, maps: Tensor) -> None:
        """Count in maps (batch, channel, *spatial)."""
        values = maps.detach().float()
        new = values.numel() // values.shape[1]
        variance, mean = torch.var_mean(values, [axis for axis in range(values.ndim) if axis != 1], correction=0)
        difference, total = mean - self.mean, self.count + new
        self._squares = self._squares + new * variance + difference.square() * (self.count * new / total)
        self.mean = self.mean + difference * (new / total)
        self.count = total

    def variance(self) -> Tensor:
        """The unbiased one, as torch's running variance; needs two values."""
        return self._squares / (self.count - 1)


def _noted(moments: Moments, norm: nn.Module, given: tuple[Any, ...]) -> None:
    moments.add(given[0])


@contextmanager
def _only_norms_learn(network: nn.Module, norms: list[BatchNorm]) -> Generator[None]:
    """Evaluation mode but for `norms`."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        for norm in norms:
            norm.train()
        yield
    finally:
        for module, mode in modes:
            module.training = mode
