"""The 3D U-Net in the released code of UMMKD (Dou et al., TMI 2020), for its abdomen experiment (CT and T2-SPIR MR).

Axes here are (depth, height, width); the released code has depth last. With `width=16`, C classes and patches of
8x256x256:

    level      content                                                              channels      size
    encoder1   2 units of 3x3x3; then pooled by 2 along every axis                  16, 32        8x256x256
    encoder2   2 units of 3x3x3; then pooled                                        32, 64        4x128x128
    encoder3   2 units of 1x3x3; then pooled                                        64, 128       2x64x64
    encoder4   2 units of 1x3x3                                                     128, 256      1x32x32
    decoder3   transposed unit of 1x3x3; encoder3 beside it; 2 units of 1x3x3       128; 128, 128 2x64x64
    decoder2   transposed unit of 1x3x3; encoder2 beside it; 2 units of 3x3x3       128; 64, 64   4x128x128
    decoder1   transposed unit of 3x3x3; encoder1 beside it; 2 units of 3x3x3       64; 32, 32    8x256x256
    output     1x1x1 convolution, the only one with a bias                          C

A unit is convolution, batch norm (eps 1e-3, running average 0.90), LeakyReLU(0.2). A keep probability is fed in the
released code, but no layer uses it: there is no dropout. In 2D the depth axis is gone from every kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unpaired.configs import Width
from unpaired.networks.blocks import (
    CONVOLUTIONS,
    MAX_POOLINGS,
    TRANSPOSED_CONVOLUTIONS,
    Before,
    Initialization,
    Layers,
    Pair,
    Resized,
    Unit,
    check_spatial_dims,
    initialize_convolutions,
)
from unpaired.networks.modality_layers import Groups, NormKind
from unpaired.networks.network import NetworkConfig, NetworkOutput
from unpaired.networks.shared_network import SharedNetwork
from unpaired.shapes import Images

SLOPE = 0.2
"""LeakyReLU's slope below 0."""
CUBE, FLAT = (3, 3, 3), (1, 3, 3)
ENCODER = (((1, 2), CUBE), ((2, 4), CUBE), ((4, 8), FLAT), ((8, 16), FLAT))
"""For each level the channels of its two units, in widths, and their kernel."""
DECODER = (((4, 2, 2), CUBE, CUBE), ((8, 4, 4), FLAT, CUBE), ((8, 8, 8), FLAT, FLAT))
"""For decoder1, 2, 3 the channels of the transposed unit and the two others, then the kernels of either kind."""


@dataclass(frozen=True)
class UMMKDUNetConfig(NetworkConfig):
    """UMMKD's 3D U-Net; the defaults are the released ones (2.2 million weights)."""

    width: Width = 16
    """Channels of the first convolution; the others are multiples of it."""
    norm: NormKind = "batch"
    modality_norm: bool = True
    """A norm per modality; False is one for all (row Joint)."""
    initialization: Initialization = "official"
    """ "official": normal(0, 0.01), truncated at two deviations but for the transposed convolutions, as released; "he":
    by fan-in (Kaiming, leaky 0.2), for narrow networks and short runs."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "UMMKDUNet":
        """Raises InputError for images that are neither 2D nor 3D."""
        check_spatial_dims(spatial_dims)
        return UMMKDUNet(self, modalities, channels, classes, spatial_dims)


class UMMKDUNet(SharedNetwork):
    """See the module's docstring. Features "encoder1" to "encoder4" (before pooling) and "decoder1" to "decoder3"."""

    def __init__(
        self, config: UMMKDUNetConfig, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int
    ) -> None:
        super().__init__()
        self.modalities, self.channels, self.concatenate = tuple(modalities), channels, config.concatenate
        self.size_multiples = (2 ** len(DECODER),) * spatial_dims
        self.feature_names = tuple(
            [f"encoder{n}" for n in range(1, len(ENCODER) + 1)] + [f"decoder{n}" for n in range(1, len(DECODER) + 1)]
        )
        layers = Layers(self.modalities, spatial_dims, config.norm, config.modality_norm)
        self.mixed = layers.mixed
        width = config.width

        self.encoder = nn.ModuleList()
        before = channels
        for multiples, kernel in ENCODER:
            self.encoder.append(_pair(layers, before, [width * m for m in multiples], kernel))
            before = width * multiples[-1]
        self.pool = MAX_POOLINGS[spatial_dims](2)
        skips = [width * multiples[-1] for multiples, _ in ENCODER[:-1]]
        below = [width * multiples[-1] for multiples, _, _ in DECODER[1:]] + [before]
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for (multiples, up_kernel, kernel), deep, skip in zip(DECODER, below, skips, strict=True):
            raised, *after = [width * m for m in multiples]
            self.up.append(_up(layers, deep, raised, up_kernel))
            self.decoder.append(_pair(layers, raised + skip, after, kernel))
        self.output = CONVOLUTIONS[spatial_dims](width * DECODER[0][0][-1], classes, 1)
        initialize_convolutions(self, config.initialization, SLOPE)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        features: dict[str, Tensor] = {}
        for number, level in enumerate(self.encoder, start=1):
            x = level(x if number == 1 else self.pool(x), groups)
            features[f"encoder{number}"] = x
        for number in range(len(self.decoder), 0, -1):
            x = torch.cat([self.up[number - 1](x, groups), features[f"encoder{number}"]], dim=1)
            x = self.decoder[number - 1](x, groups)
            features[f"decoder{number}"] = x
        return NetworkOutput(self.output(x), {name: features[name] for name in self.feature_names})


class Doubling(nn.Module):
    """A transposed convolution by 2, cut to twice the size as TensorFlow's padding "SAME" does.

    Cell i reaches cells 2i to 2i + 2 under a kernel of 3; under a kernel of 1 it reaches 2i alone, and every other
    slice is zero before the norm. So it is in the released code.
    """

    def __init__(self, before: int, after: int, kernel: Sequence[int]) -> None:
        super().__init__()
        missing = tuple(int(size == 1) for size in kernel)
        build = TRANSPOSED_CONVOLUTIONS[len(kernel)]
        self.convolution = build(before, after, tuple(kernel), 2, output_padding=missing, bias=False)

    def forward(self, x: Before) -> Resized:
        """Twice the spatial size of `x`."""
        inside = [slice(2 * size) for size in x.shape[2:]]
        return self.convolution(x)[(..., *inside)]


def _pair(layers: Layers, before: int, after: Sequence[int], kernel: Sequence[int]) -> Pair:
    """Two units of so many channels; a kernel is cut to the network's axes, depth goes first."""
    first, second = after
    kernel = kernel[-layers.spatial_dims :]
    return Pair(
        Unit(layers.convolution(before, first, kernel), layers.norm(first), SLOPE),
        Unit(layers.convolution(first, second, kernel), layers.norm(second), SLOPE),
    )


def _up(layers: Layers, before: int, after: int, kernel: Sequence[int]) -> Unit:
    """A unit whose transposed convolution doubles the size."""
    return Unit(Doubling(before, after, kernel[-layers.spatial_dims :]), layers.norm(after), SLOPE)
