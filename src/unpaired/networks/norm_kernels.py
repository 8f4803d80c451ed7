"""Instance norms computed by group norm's kernel, a group for each channel: the same values up to rounding.

On a processor torch computes an instance norm as a batch norm of one image with the channels of all: it reads a map
more often, and brings one with channels last into the other layout and leaves it there, so that what comes after has
maps of two layouts to deal with.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.networks.network import CHANNELS_LAST


class GroupInstanceNorm2d(nn.InstanceNorm2d):
    """`nn.InstanceNorm2d` by group norm's kernel, unless it tracks running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as `input`."""
        return super().forward(input) if self.track_running_stats else by_group_norm(self, input)


class GroupInstanceNorm3d(nn.InstanceNorm3d):
    """`nn.InstanceNorm3d` by group norm's kernel, unless it tracks running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as `input`."""
        return super().forward(input) if self.track_running_stats else by_group_norm(self, input)


GROUP_KERNELS: dict[type[nn.Module], type[nn.Module]] = {
    nn.InstanceNorm2d: GroupInstanceNorm2d,
    nn.InstanceNorm3d: GroupInstanceNorm3d,
}
"""Exactly these classes: what is derived from one may compute something else."""


def by_group_norm(norm: nn.InstanceNorm2d | nn.InstanceNorm3d, input: Tensor) -> Tensor:
    """What an instance norm without running statistics makes of maps (batch, channel, *spatial), laid out as they are.

    With channels last the kernel's gradient, and in bfloat16 the kernel itself, takes two to thirty times as long as
    with maps in the usual layout: then they are brought there and back.
    """
    if input.is_contiguous() or (input.dtype == torch.float32 and not torch.is_grad_enabled()):
        return F.group_norm(input, norm.num_features, norm.weight, norm.bias, norm.eps)
    normed = F.group_norm(input.contiguous(), norm.num_features, norm.weight, norm.bias, norm.eps)
    return normed.contiguous(memory_format=CHANNELS_LAST[input.ndim - 2])


def use_group_kernels(module: nn.Module) -> None:
    """Have all instance norms in a module computed so, in place; weights and their names stay."""
    for layer in module.modules():
        layer.__class__ = GROUP_KERNELS.get(type(layer), type(layer))
