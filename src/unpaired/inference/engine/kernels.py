"""A trained network made ready for a plan: the same weights and answer, by other kernels or in another layout.

For one image torch computes many 3D convolutions by an own, slower kernel where oneDNN has a faster one, and instance
norm by that of batch norm (`networks.norm_kernels`).
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from unpaired.inference.engine.plans import WindowPlan
from unpaired.networks.network import CHANNELS_LAST, Network, to_channels_last
from unpaired.networks.norm_kernels import GROUP_KERNELS, use_group_kernels

COMPILER = "inductor"


def prepared_network(network: Network, plan: WindowPlan) -> nn.Module:
    """The network as the plan has it, in evaluation mode; its own weights where the layout is left, else a copy.

    The network that is given stays as it is.
    """
    if plan.layout == "channels last":
        copied = copy.deepcopy(network).eval()
        use_group_kernels(copied)
        to_channels_last(copied, len(network.size_multiples))
        return copied
    if plan.kernels == "torch":
        return network
    if plan.kernels == "compiled":
        return compiled(network)
    shared = copy.deepcopy(network, {id(t): t for t in (*network.parameters(), *network.buffers())}).eval()
    for module in shared.modules():
        for kind, other in OTHER_KERNELS.items():
            if type(module) is kind:
                module.__class__ = other
    return shared


def compiled(network: Network) -> nn.Module:
    """The network as `torch.compile` makes it, for windows of one size; on a GPU its kernels are replayed as a CUDA
    graph, whose results the next call overwrites. Compiling happens at the first call for each modality."""
    on_gpu = next(network.parameters()).device.type == "cuda"
    mode = "reduce-overhead" if on_gpu else None
    return cast(nn.Module, torch.compile(network, backend=COMPILER, mode=mode, dynamic=False))


def laid_out(images: Tensor, plan: WindowPlan) -> Tensor:
    """Images (batch, channel, *spatial) as the plan wants them in memory."""
    return images.contiguous(memory_format=CHANNELS_LAST[images.ndim - 2]) if plan.layout != "contiguous" else images


class _OneDNNConvolution2d(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _by_onednn(self, input, weight, bias)


class _OneDNNConvolution3d(nn.Conv3d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _by_onednn(self, input, weight, bias)


def _by_onednn(layer: nn.Conv2d | nn.Conv3d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str) or input.dtype != torch.float32:
        kind = nn.Conv3d if isinstance(layer, nn.Conv3d) else nn.Conv2d
        return kind._conv_forward(layer, input, weight, bias)  # type: ignore[arg-type]
    return torch.mkldnn_convolution(input, weight, bias, layer.padding, layer.stride, layer.dilation, layer.groups)


OTHER_KERNELS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: _OneDNNConvolution2d,
    nn.Conv3d: _OneDNNConvolution3d,
    **GROUP_KERNELS,
}
"""Exactly these classes: what is derived from one may compute something else."""
