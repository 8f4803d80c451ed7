# pyright: reportPrivateUsage=false
# (torch keeps to itself the base class of its batch norms)
"""Batch norm's running statistics, taken anew for the network that predicts.

While a network trains, running statistics trail its weights, and with dropout they are those of a network whose units
drop out: the one that predicts has other variances (Li et al., CVPR 2019, "variance shift"). Taken anew over a few
batches with the weights standing still and dropout off, they fit (Wu & Johnson, 2021, "precise BN").
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


def refresh_norms(network: nn.Module, batches: Iterator[Mapping[str, Tensor]]) -> None:
    """Replace every batch norm's running statistics by their mean over `batches` ({modality: images} each).

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
    """Batch norms' running statistics become the mean over all that the network is given in this block, without
    gradient.

    Only batch norms run as in training; dropout and the like are off. A norm that nothing reaches keeps what it had.
    Modes, momenta and weights are left as they were.
    """
    norms = norms_with_statistics(network)
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    with _only_norms_learn(network, norms), torch.no_grad():
        yield
    for norm, buffers in zip(norms, before, strict=True):
        reached = int(norm.get_buffer("num_batches_tracked")) > 0
        for name, buffer in buffers.items():
            if not reached or name == "num_batches_tracked":
                norm.get_buffer(name).copy_(buffer)


@contextmanager
def _only_norms_learn(network: nn.Module, norms: list[BatchNorm]) -> Generator[None]:
    """Evaluation mode but for `norms`, which average over all batches alike (momentum None)."""
    modes = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    try:
        network.eval()
        for norm in norms:
            norm.train()
            norm.momentum = None
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
