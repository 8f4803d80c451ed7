"""The nine-group network of CSA and UMMKD, in 2D and 3D.

CSA (Chen et al., MICCAI 2020) says: nine convolution groups, one deconvolution group, softmax; two to four shared
convolutions per group, each with a norm per modality. That is the 2D network in the released code of UMMKD (Dou et al.,
TMI 2020), which fixes the rest. With `width=16`, C classes and 256x256 images:

    group  content                                       channels  size
    1      convolution, residual block; then pooled      16        256
    2      residual block; then pooled                   32        128
    3      2 residual blocks; then pooled                64        64
    4      2 residual blocks                             128       32
    5, 6   2 residual blocks each                        256       32
    7      2 residual blocks                             512       32
    8      2 residual blocks, dilation 2                 512       32
    9      2 units without shortcut                      512       32
    10     symmetric padding, convolution to 512 C channels, norm, LeakyReLU, sub-pixel shuffle by 8 to 8 C channels
    out    symmetric padding, 5x5 convolution to C channels

A unit is norm, LeakyReLU(0.2), 3x3 convolution, dropout. No convolution has a bias.

In 3D every kernel gets a third axis of the same length. A shuffle by 8 along three axes would need 8 times the channels
in group 10 (283 million weights at width 16), so the rule that holds for both is: group 10 has 32 x width x C channels,
and after the shuffle each class keeps what is left of them (8 in 2D, 1 in 3D, 8 again for 3D patches pooled in plane
only).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.modality_layers import Groups, ModalityNorm, NormKind, check_images, run_modalities
from unpaired.networks.network import Network, NetworkConfig, NetworkOutput
from unpaired.shapes import Features, Images

Before = Float[Tensor, "batch before *spatial"]
After = Float[Tensor, "batch after *spatial"]

CHANNEL_MULTIPLES = (1, 2, 4, 8, 16, 16, 32, 32, 32)
RESIDUAL_BLOCKS = (1, 1, 2, 2, 2, 2, 2, 2, 0)
POOLED_GROUPS = 3
DILATED_GROUP = 8


@dataclass(frozen=True)
class FCNConfig(NetworkConfig):
    """The nine-group network; the defaults are the papers'. Smaller widths are for small machines."""

    width: int = 16
    """Channels of the first group; the others are multiples of it."""
    dropout: float = 0.25
    """The share dropped. CSA prints "drop rate of 0.75", which is the keep probability of the released code (in
    TensorFlow `dropout(x, 0.75)` keeps 75 %). Measured: dropout in front of batch norm makes the running statistics of
    a short run unfit for prediction (width 8, 120 steps, a toy: Dice 0, where the batch's own statistics gave 0.8;
    with dropout 0.1 or 0 both gave 0.8 and more). So short or narrow runs want 0."""
    norm: NormKind = "batch"
    modality_norm: bool = True
    """A norm per modality (CSA Eq. 1); False is one norm for all (row Joint)."""
    pool_strides: tuple[tuple[int, ...], ...] | None = None
    """One tuple (stride per spatial axis) for each of the three poolings, such as `((1, 2, 2),) * 3` for thin 3D
    patches; None is 2 along every axis."""
    maps_per_class: int | None = None
    """Channels that each class keeps after the shuffle; None is the rule in the module's docstring."""
    initialization: Literal["official", "he"] = "official"
    """ "official": normal(0, 0.01) truncated at two deviations, as released; "he": by fan-in (Kaiming, leaky 0.2)."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "FCN":
        """Raises InputError for a field out of range, or one that doesn't fit the number of spatial axes."""
        if self.width < 1 or not 0 <= self.dropout < 1 or (self.maps_per_class is not None and self.maps_per_class < 1):
            raise InputError(
                f"expected width and maps_per_class of at least 1 and 0 <= dropout < 1, got width={self.width}, "
                f"maps_per_class={self.maps_per_class}, dropout={self.dropout}"
            )
        return FCN(self, modalities, channels, classes, spatial_dims)

    def strides(self, spatial_dims: int) -> tuple[tuple[int, ...], ...]:
        """The stride per spatial axis of the three poolings."""
        strides = self.pool_strides or ((2,) * spatial_dims,) * POOLED_GROUPS
        if len(strides) != POOLED_GROUPS or any(len(s) != spatial_dims or min(s) < 1 for s in strides):
            raise InputError(
                f"pool_strides: expected {POOLED_GROUPS} tuples of {spatial_dims} positive strides, got {strides}"
            )
        return strides


class FCN(Network):
    """See the module's docstring. Features "group1" to "group9": each group's last sum, before pooling and norm.

    `size_multiples` are also what the sub-pixel shuffle scales up by.
    """

    def __init__(
        self, config: FCNConfig, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int
    ) -> None:
        super().__init__()
        strides = config.strides(spatial_dims)
        self.modalities = tuple(modalities)
        self.channels = channels
        self.size_multiples = tuple(math.prod(axis) for axis in zip(*strides, strict=True))
        self.feature_names = tuple(f"group{number}" for number in range(1, 10))
        self.concatenate = config.concatenate
        self.mixed = not config.modality_norm and config.norm == "batch"
        layers = _Layers(config, self.modalities, spatial_dims)

        self.first = layers.convolution(channels, config.width)
        self.groups = nn.ModuleList()
        before = config.width
        for number, (multiple, blocks) in enumerate(zip(CHANNEL_MULTIPLES, RESIDUAL_BLOCKS, strict=True), start=1):
            after = multiple * config.width
            self.groups.append(_group(layers, before, after, blocks, dilation=2 if number == DILATED_GROUP else 1))
            before = after
        self.pools = nn.ModuleList(layers.max_pool(stride) for stride in strides)

        maps = config.maps_per_class or max(1, 32 * config.width // math.prod(self.size_multiples))
        wide = maps * classes * math.prod(self.size_multiples)
        self.deconvolution = layers.convolution(before, wide, padded=False)
        self.deconvolution_norm = layers.norm(wide)
        self.output = layers.convolution(maps * classes, classes, size=5, padded=False)
        _initialize(self, config.initialization)

    def forward(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """Raises InputError for an unknown modality, or images whose channels or sizes don't fit."""
        check_images(images, self.modalities, self.channels, self.size_multiples)
        return run_modalities(self.run, images, self.concatenate, self.mixed)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        features: dict[str, Tensor] = {}
        x = self.first(x)
        for number, group in enumerate(self.groups, start=1):
            x = group(x, groups)
            features[f"group{number}"] = x
            if number <= POOLED_GROUPS:
                x = self.pools[number - 1](x)
        x = self.deconvolution(symmetric_pad(x, 1))
        x = F.leaky_relu(self.deconvolution_norm(x, groups), 0.2)
        x = sub_pixel_shuffle(x, self.size_multiples)
        return NetworkOutput(self.output(symmetric_pad(x, 2)), features)


class Unit(nn.Module):
    """Norm, LeakyReLU(0.2), 3x3 convolution, dropout."""

    def __init__(self, norm: ModalityNorm, convolution: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm = norm
        self.convolution = convolution
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Before, groups: Groups) -> After:
        """Same spatial size as `x`."""
        return self.dropout(self.convolution(F.leaky_relu(self.norm(x, groups), 0.2)))


class ResidualBlock(nn.Module):
    """Two units around an identity. New channels of the identity are zeros, half of them before and half after."""

    def __init__(self, first: Unit, second: Unit, new_channels: int) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.before = new_channels // 2
        self.after = new_channels - self.before

    def forward(self, x: Before, groups: Groups) -> After:
        """Same spatial size as `x`."""
        identity = F.pad(x, (0, 0) * (x.ndim - 2) + (self.before, self.after)) if self.before or self.after else x
        return identity + self.second(self.first(x, groups), groups)


def symmetric_pad(x: Features, amount: int) -> Float[Tensor, "batch channel *padded"]:
    """Pad every spatial axis by `amount` with its mirror image, edge voxels included (numpy's "symmetric").

    torch has no such mode: "reflect" leaves the edge out, and "replicate" equals it for an amount of 1 only.
    """
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        position = torch.arange(-amount, size + amount, device=x.device) % (2 * size)
        x = x.index_select(axis, torch.minimum(position, 2 * size - 1 - position))
    return x


def sub_pixel_shuffle(x: Features, upscale: Sequence[int]) -> Float[Tensor, "batch maps *upscaled"]:
    """(batch, c * prod(upscale), *spatial) -> (batch, c, *(spatial * upscale)); torch's PixelShuffle for any axes.

    The released code of UMMKD orders the channels of a block column first; the same functions, so weights ported from
    it must be permuted.
    """
    dims = len(upscale)
    batch, wide = x.shape[:2]
    x = x.reshape(batch, wide // math.prod(upscale), *upscale, *x.shape[2:])
    order = [axis for i in range(dims) for axis in (2 + dims + i, 2 + i)]
    sizes = [size * factor for size, factor in zip(x.shape[2 + dims :], upscale, strict=True)]
    return x.permute(0, 1, *order).reshape(batch, -1, *sizes)


class Group(nn.Module):
    """Units or residual blocks, one after the other."""

    def __init__(self, layers: Iterable[Unit | ResidualBlock]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Before, groups: Groups) -> After:
        """Same spatial size as `x`."""
        for layer in self.layers:
            x = layer(x, groups)
        return x


class _Layers:
    """The layers of one network, so that 2D and 3D are the same code."""

    def __init__(self, config: FCNConfig, modalities: Sequence[str], spatial_dims: int) -> None:
        if spatial_dims not in (2, 3):
            raise InputError(f"the network segments 2D or 3D images, got spatial_dims={spatial_dims}")
        self.config = config
        self.modalities = modalities
        self.spatial_dims = spatial_dims
        self.convolution_type = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims]
        self.pool_type = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[spatial_dims]

    def convolution(self, before: int, after: int, size: int = 3, dilation: int = 1, padded: bool = True) -> nn.Module:
        padding = dilation * (size // 2) if padded else 0
        return self.convolution_type(before, after, size, padding=padding, dilation=dilation, bias=False)

    def max_pool(self, stride: Sequence[int]) -> nn.Module:
        return self.pool_type(tuple(stride), tuple(stride))

    def norm(self, channels: int) -> ModalityNorm:
        shared = not self.config.modality_norm
        return ModalityNorm(self.config.norm, channels, self.modalities, self.spatial_dims, shared)

    def unit(self, before: int, after: int, dilation: int) -> Unit:
        convolution = self.convolution(before, after, dilation=dilation)
        return Unit(self.norm(before), convolution, self.config.dropout)

    def block(self, before: int, after: int, dilation: int) -> ResidualBlock:
        return ResidualBlock(
            self.unit(before, after, dilation), self.unit(after, after, dilation), new_channels=after - before
        )


def _group(layers: _Layers, before: int, after: int, blocks: int, dilation: int) -> Group:
    """`blocks` residual blocks, or two units without shortcut if there are none."""
    if blocks == 0:
        return Group([layers.unit(before, after, dilation), layers.unit(after, after, dilation)])
    return Group([layers.block(before if i == 0 else after, after, dilation) for i in range(blocks)])


def _initialize(network: nn.Module, initialization: str) -> None:
    if initialization not in ("official", "he"):
        raise InputError(f"initialization {initialization!r} is not known; known: official, he")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            if initialization == "official":
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)
            else:
                nn.init.kaiming_normal_(module.weight, a=0.2)
