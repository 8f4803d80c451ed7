"""SpatialConfiguration-Net for segmentation (Payer, Stern, Bischof, Urschler, "Multi-label whole heart segmentation
using CNNs and anatomical label configurations", STACOM 2017), the winner of MM-WHS: what a voxel looks like, times
where it may be.

    local      a U-Net of four levels with average pooling and linear upsampling; then h_local = tanh(conv1(.)), a map
               for each class
    spatial    h_local pooled by 4, three convolutions of 5 with ReLU, one of 5 to a map for each class, upsampled:
               from where the other classes are it says where a class may be
    logits     h_local * h_spatial

As in the authors' code: 64 channels that double by level, 64 in the spatial part, reflected borders, He's
initialization. It has no norms; with `norm` each convolution but the two that return maps of classes is followed by one
per modality, which the paper, a network for each modality, has no need of.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.configs import Width
from unpaired.networks.blocks import (
    AVERAGE_POOLINGS,
    CONVOLUTIONS,
    After,
    Before,
    Layers,
    Resized,
    check_spatial_dims,
    initialize_convolutions,
)
from unpaired.networks.modality_layers import Groups, NormKind
from unpaired.networks.network import NetworkConfig, NetworkOutput
from unpaired.networks.shared_network import SharedNetwork
from unpaired.shapes import Images

LINEAR = {2: "bilinear", 3: "trilinear"}
SPATIAL_CONVOLUTIONS = 3
"""Before the one that returns maps of classes."""


@dataclass(frozen=True)
class SpatialConfigurationConfig(NetworkConfig):
    """SpatialConfiguration-Net; the defaults are the authors'."""

    width: Width = 64
    """Channels of the U-Net's first level; they double with every level."""
    levels: Annotated[int, Meta(ge=2, le=8)] = 4
    spatial_width: Width = 64
    """Channels of the spatial part."""
    downsampling: Annotated[int, Meta(ge=1, le=16)] = 4
    """By how much the spatial part is coarser than the image."""
    norm: NormKind | None = None
    """After each convolution; None, as published: none."""
    modality_norm: bool = True
    """A norm per modality (CSA Eq. 1), if there are norms; False is one norm for all."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def build(
        self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int
    ) -> "SpatialConfigurationNet":
        """Raises InputError for images that are neither 2D nor 3D."""
        check_spatial_dims(spatial_dims)
        return SpatialConfigurationNet(self, modalities, channels, classes, spatial_dims)


class SpatialConfigurationNet(SharedNetwork):
    """See the module's docstring. Features "encoder1" (full size) and deeper, "decoder1" and deeper, "local" and
    "spatial": the factors of the logits."""

    def __init__(
        self,
        config: SpatialConfigurationConfig,
        modalities: Sequence[str],
        channels: int,
        classes: int,
        spatial_dims: int,
    ) -> None:
        super().__init__()
        self.modalities, self.channels, self.concatenate = tuple(modalities), channels, config.concatenate
        self.size_multiples = (math.lcm(2 ** (config.levels - 1), config.downsampling),) * spatial_dims
        levels = range(1, config.levels + 1)
        maps = (*(f"encoder{n}" for n in levels), *(f"decoder{n}" for n in levels[:-1]))
        self.feature_names = (*maps, "local", "spatial")
        kind = config.norm or "instance"
        layers = Layers(self.modalities, spatial_dims, kind, config.modality_norm, eps=1e-5)
        self.mixed = config.norm is not None and layers.mixed
        build = partial(Convolution, layers, config.norm is not None)
        widths = [config.width * 2**level for level in range(config.levels)]
        self.encoder = nn.ModuleList(
            nn.ModuleList([build(before, width, 1), build(width, width, 1)])
            for before, width in pairwise([channels, *widths])
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList([build(width + deep, width, 1), build(width, width, 1)]) for width, deep in pairwise(widths)
        )
        self.pool = AVERAGE_POOLINGS[spatial_dims](2)
        self.local = CONVOLUTIONS[spatial_dims](widths[0], classes, 1)
        self.coarse = AVERAGE_POOLINGS[spatial_dims](config.downsampling)
        spatial = [classes, *[config.spatial_width] * SPATIAL_CONVOLUTIONS]
        self.spatial = nn.ModuleList(build(before, after, 2) for before, after in pairwise(spatial))
        self.configuration = CONVOLUTIONS[spatial_dims](spatial[-1], classes, 5)
        initialize_convolutions(self, "he", 0.0)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        features: dict[str, Tensor] = {}
        for number, level in enumerate(self.encoder, start=1):
            x = _both(level, x if number == 1 else self.pool(x), groups)
            features[f"encoder{number}"] = x
        for number in range(len(self.decoder), 0, -1):
            skip = features[f"encoder{number}"]
            x = _both(self.decoder[number - 1], torch.cat([skip, upsampled(x, skip.shape[2:])], dim=1), groups)
            features[f"decoder{number}"] = x
        local = torch.tanh(self.local(x))
        coarse = self.coarse(local)
        for convolution in self.spatial:
            coarse = convolution(coarse, groups)
        spatial = upsampled(self.configuration(bordered(coarse, 2)), local.shape[2:])
        features |= {"local": local, "spatial": spatial}
        return NetworkOutput(local * spatial, {name: features[name] for name in self.feature_names})


class Convolution(nn.Module):
    """Reflected borders, a convolution that reaches so many voxels to each side, a norm if there are some, ReLU."""

    def __init__(self, layers: Layers, normed: bool, before: int, after: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.convolution = CONVOLUTIONS[layers.spatial_dims](before, after, 2 * reach + 1, bias=not normed)
        self.norm = layers.norm(after) if normed else None

    def forward(self, x: Before, groups: Groups) -> After:
        """The spatial size stays."""
        x = self.convolution(bordered(x, self.reach))
        return F.relu(x if self.norm is None else self.norm(x, groups))


def _both(level: nn.Module, x: Tensor, groups: Groups) -> Tensor:
    """Through the two convolutions of a level."""
    for convolution in level.children():
        x = convolution(x, groups)
    return x


def bordered(x: Before, reach: int) -> Resized:
    """`x` with borders of so many voxels, reflected; repeated where the map is too small to be reflected."""
    mode = "reflect" if min(x.shape[2:]) > reach else "replicate"
    return F.pad(x, (reach, reach) * (x.ndim - 2), mode)


def upsampled(x: Before, size: Sequence[int]) -> Resized:
    """`x` at another size, linearly."""
    return F.interpolate(x, tuple(size), mode=LINEAR[x.ndim - 2], align_corners=False)
