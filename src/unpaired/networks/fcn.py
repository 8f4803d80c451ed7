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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.configs import Axes, BelowOne, Width
from unpaired.errors import InputError
from unpaired.networks.blocks import (
    CONVOLUTIONS,
    MAX_POOLINGS,
    After,
    Before,
    Initialization,
    Layers,
    check_spatial_dims,
    initialize_convolutions,
)
from unpaired.networks.modality_layers import Groups, ModalityNorm, NormKind
from unpaired.networks.network import NetworkConfig, NetworkOutput
from unpaired.networks.own_stages import Stages, require_stages, through
from unpaired.networks.shared_network import SharedNetwork
from unpaired.shapes import Features, Images

CHANNEL_MULTIPLES = (1, 2, 4, 8, 16, 16, 32, 32, 32)
RESIDUAL_BLOCKS = (1, 1, 2, 2, 2, 2, 2, 2, 0)
POOLED_GROUPS = 3
DILATED_GROUP = 8
SLOPE = 0.2
"""LeakyReLU's slope below 0."""


@dataclass(frozen=True)
class FCNConfig(NetworkConfig):
    """The nine-group network; the defaults are the papers'. Smaller widths are for small machines."""

    width: Width = 16
    """Channels of the first group; the others are multiples of it."""
    dropout: BelowOne = 0.25
    """The share dropped. CSA prints "drop rate of 0.75", which is the keep probability of the released code (in
    TensorFlow `dropout(x, 0.75)` keeps 75 %). Measured: dropout in front of batch norm makes the running statistics of
    a short run unfit for prediction (width 8, 120 steps, a toy: Dice 0, where the batch's own statistics gave 0.8;
    with dropout 0.1 or 0 both gave 0.8 and more). So short or narrow runs want 0."""
    norm: NormKind = "batch"
    modality_norm: bool = True
    """A norm per modality (CSA Eq. 1); False is one norm for all (row Joint)."""
    own: tuple[str, ...] = ()
    """Stages that each modality has a copy of: "group1", ..., "group10", "output"; all others are shared. The first
    convolution belongs to "group1". Dual streams (Valindria et al., WACV 2018)."""
    pool_strides: tuple[Axes, Axes, Axes] | None = None
    """One tuple (stride per spatial axis) for each of the three poolings, such as `((1, 2, 2),) * 3` for thin 3D
    patches; None is 2 along every axis."""
    maps_per_class: Width | None = None
    """Channels that each class keeps after the shuffle; None is the rule in the module's docstring."""
    initialization: Initialization = "official"
    """ "official": normal(0, 0.01) truncated at two deviations, as released; "he": by fan-in (Kaiming, leaky 0.2)."""
    zscore_input: bool = False
    """Bring each image, its neighboring slices together, to mean 0 and deviation 1 first. Where patches are slices this
    is one mean for a stack of them, whatever linear normalization the volume had."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_stages(self.own, [*(f"group{number}" for number in range(1, 11)), "output"], "FCNConfig.own")

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "FCN":
        """Raises InputError for strides that don't fit the number of spatial axes."""
        check_spatial_dims(spatial_dims)
        return FCN(self, modalities, channels, classes, spatial_dims)

    def strides(self, spatial_dims: int) -> tuple[tuple[int, ...], ...]:
        """The stride per spatial axis of the three poolings."""
        strides = self.pool_strides or ((2,) * spatial_dims,) * POOLED_GROUPS
        if any(len(stride) != spatial_dims for stride in strides):
            such = (2,) * spatial_dims
            raise InputError(
                f"pool_strides: expected {spatial_dims} strides for each pooling, such as {such}, got {strides}"
            )
        return strides


class FCN(SharedNetwork):
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
        self.concatenate, self.zscore_input = config.concatenate, config.zscore_input
        layers = Layers(self.modalities, spatial_dims, config.norm, config.modality_norm)
        own = Stages(layers, config.own)
        self.mixed = layers.mixed

        kernel = (3,) * spatial_dims
        self.first = own.build("group1", lambda its: its.convolution(channels, config.width, kernel), False)
        self.groups = nn.ModuleList()
        before = config.width
        for number, (multiple, blocks) in enumerate(zip(CHANNEL_MULTIPLES, RESIDUAL_BLOCKS, strict=True), start=1):
            after = multiple * config.width
            dilation = 2 if number == DILATED_GROUP else 1
            settings = {"before": before, "after": after, "blocks": blocks, "dilation": dilation}
            self.groups.append(own.build(f"group{number}", partial(_group, **settings, dropout=config.dropout)))
            before = after
        self.pools = nn.ModuleList(MAX_POOLINGS[spatial_dims](stride, stride) for stride in strides)

        maps = config.maps_per_class or max(1, 32 * config.width // math.prod(self.size_multiples))
        wide = maps * classes * math.prod(self.size_multiples)
        build = CONVOLUTIONS[spatial_dims]
        self.deconvolution = own.build("group10", lambda _: build(before, wide, 3, bias=False), False)
        self.deconvolution_norm = own.build("group10", lambda its: its.norm(wide))
        self.output = own.build("output", lambda _: build(maps * classes, classes, 5, bias=False), False)
        initialize_convolutions(self, config.initialization, SLOPE)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        features: dict[str, Tensor] = {}
        x = through(self.first, zscored(x) if self.zscore_input else x, groups)
        for number, group in enumerate(self.groups, start=1):
            x = group(x, groups)
            features[f"group{number}"] = x
            if number <= POOLED_GROUPS:
                x = self.pools[number - 1](x)
        x = through(self.deconvolution, symmetric_pad(x, 1), groups)
        x = F.leaky_relu(self.deconvolution_norm(x, groups), SLOPE)
        x = sub_pixel_shuffle(x, self.size_multiples)
        return NetworkOutput(through(self.output, symmetric_pad(x, 2), groups), features)


class Unit(nn.Module):
    """Norm, LeakyReLU(0.2), 3x3 convolution, dropout."""

    def __init__(self, norm: ModalityNorm, convolution: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm = norm
        self.convolution = convolution
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Before, groups: Groups) -> After:
        """Same spatial size as `x`."""
        return self.dropout(self.convolution(F.leaky_relu(self.norm(x, groups), SLOPE)))


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


def _unit(layers: Layers, before: int, after: int, dilation: int, dropout: float) -> Unit:
    convolution = layers.convolution(before, after, (3,) * layers.spatial_dims, dilation=dilation)
    return Unit(layers.norm(before), convolution, dropout)


def zscored(images: Images) -> Images:
    """Each image less its mean, over its deviation (at least 1e-6), both over all channels and positions together."""
    x = images.to(torch.promote_types(images.dtype, torch.float32))
    deviation, mean = torch.std_mean(x, dim=tuple(range(1, x.ndim)), correction=0, keepdim=True)
    return ((x - mean) / deviation.clamp(min=1e-6)).to(images.dtype)


def _group(layers: Layers, before: int, after: int, blocks: int, dilation: int, dropout: float) -> Group:
    """`blocks` residual blocks, or two units without shortcut if there are none."""
    members: list[Unit | ResidualBlock] = []
    for _ in range(max(blocks, 1)):
        first, second = (_unit(layers, width, after, dilation, dropout) for width in (before, after))
        members += [ResidualBlock(first, second, new_channels=after - before)] if blocks else [first, second]
        before = after
    return Group(members)
