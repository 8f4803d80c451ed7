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

from collections.abc import Mapping, Sequence
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

SLOPE = 0.2
CUBE, FLAT = (3, 3, 3), (1, 3, 3)
ENCODER = (((1, 2), CUBE), ((2, 4), CUBE), ((4, 8), FLAT), ((8, 16), FLAT))
"""For each level the channels of its two units, in widths, and their kernel."""
DECODER = (((4, 2, 2), CUBE, CUBE), ((8, 4, 4), FLAT, CUBE), ((8, 8, 8), FLAT, FLAT))
"""For decoder1, 2, 3 the channels of the transposed unit and the two others, then the kernels of either kind."""
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


@dataclass(frozen=True)
class UMMKDUNetConfig(NetworkConfig):
    """UMMKD's 3D U-Net; the defaults are the released ones (2.2 million weights)."""

    width: int = 16
    """Channels of the first convolution; the others are multiples of it."""
    norm: NormKind = "batch"
    modality_norm: bool = True
    """A norm per modality; False is one for all (row Joint)."""
    initialization: Literal["official", "he"] = "official"
    """ "official": normal(0, 0.01), truncated at two deviations but for the transposed convolutions, as released; "he":
    by fan-in (Kaiming, leaky 0.2), for narrow networks and short runs."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "UMMKDUNet":
        """Raises InputError for a width below 1, an unknown initialization, or images that are neither 2D nor 3D."""
        if self.width < 1:
            raise InputError(f"expected a width of at least 1, got {self.width}")
        if self.initialization not in ("official", "he"):
            raise InputError(f"initialization {self.initialization!r} is not known; known: official, he")
        if spatial_dims not in CONVOLUTIONS:
            raise InputError(f"the network segments 2D or 3D images, got spatial_dims={spatial_dims}")
        return UMMKDUNet(self, modalities, channels, classes, spatial_dims)


class UMMKDUNet(Network):
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
        self.mixed = not config.modality_norm and config.norm == "batch"
        layers = _Layers(config, self.modalities, spatial_dims)
        width = config.width

        self.encoder = nn.ModuleList()
        before = channels
        for multiples, kernel in ENCODER:
            self.encoder.append(layers.pair(before, [width * m for m in multiples], kernel))
            before = width * multiples[-1]
        self.pool = POOLS[spatial_dims](2)
        skips = [width * multiples[-1] for multiples, _ in ENCODER[:-1]]
        below = [width * multiples[-1] for multiples, _, _ in DECODER[1:]] + [before]
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for (multiples, up_kernel, kernel), deep, skip in zip(DECODER, below, skips, strict=True):
            raised, *after = [width * m for m in multiples]
            self.up.append(layers.up(deep, raised, up_kernel))
            self.decoder.append(layers.pair(raised + skip, after, kernel))
        self.output = CONVOLUTIONS[spatial_dims](width * DECODER[0][0][-1], classes, 1)
        _initialize(self, config.initialization)

    def forward(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """Raises InputError for an unknown modality, or images whose channels or sizes don't fit."""
        check_images(images, self.modalities, self.channels, self.size_multiples)
        return run_modalities(self.run, images, self.concatenate, self.mixed)

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


class Unit(nn.Module):
    """Convolution (plain or transposed), norm, LeakyReLU(0.2)."""

    def __init__(self, convolution: nn.Module, norm: ModalityNorm) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Features, groups: Groups) -> Float[Tensor, "batch after *resized"]:
        """Same spatial size as `x`, or twice that if the convolution is transposed."""
        return F.leaky_relu(self.norm(self.convolution(x), groups), SLOPE)


class Pair(nn.Module):
    """Two units, one after the other."""

    def __init__(self, first: Unit, second: Unit) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Features, groups: Groups) -> Float[Tensor, "batch after *spatial"]:
        """Same spatial size as `x`."""
        return self.second(self.first(x, groups), groups)


class Doubling(nn.Module):
    """A transposed convolution by 2, cut to twice the size as TensorFlow's padding "SAME" does.

    Cell i reaches cells 2i to 2i + 2 under a kernel of 3; under a kernel of 1 it reaches 2i alone, and every other
    slice is zero before the norm. So it is in the released code.
    """

    def __init__(self, before: int, after: int, kernel: Sequence[int]) -> None:
        super().__init__()
        missing = tuple(int(size == 1) for size in kernel)
        transposed = TRANSPOSED[len(kernel)]
        self.convolution = transposed(before, after, tuple(kernel), 2, output_padding=missing, bias=False)

    def forward(self, x: Features) -> Float[Tensor, "batch after *doubled"]:
        """Twice the spatial size of `x`."""
        inside = [slice(2 * size) for size in x.shape[2:]]
        return self.convolution(x)[(..., *inside)]


class _Layers:
    """The layers of one network, so that 2D and 3D are the same code: 2D kernels lack the depth axis."""

    def __init__(self, config: UMMKDUNetConfig, modalities: Sequence[str], spatial_dims: int) -> None:
        self.config, self.modalities, self.spatial_dims = config, modalities, spatial_dims

    def pair(self, before: int, after: Sequence[int], kernel: Sequence[int]) -> Pair:
        first, second = after
        return Pair(self.unit(before, first, kernel), self.unit(first, second, kernel))

    def unit(self, before: int, after: int, kernel: Sequence[int]) -> Unit:
        kernel = tuple(kernel[-self.spatial_dims :])
        padding = tuple(size // 2 for size in kernel)
        convolution = CONVOLUTIONS[self.spatial_dims](before, after, kernel, padding=padding, bias=False)
        return Unit(convolution, self.norm(after))

    def up(self, before: int, after: int, kernel: Sequence[int]) -> Unit:
        return Unit(Doubling(before, after, kernel[-self.spatial_dims :]), self.norm(after))

    def norm(self, channels: int) -> ModalityNorm:
        shared = not self.config.modality_norm
        return ModalityNorm(self.config.norm, channels, self.modalities, self.spatial_dims, shared)


def _initialize(network: nn.Module, initialization: str) -> None:
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            continue
        if initialization == "he":
            nn.init.kaiming_normal_(module.weight, a=SLOPE)
        elif isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.normal_(module.weight, std=0.01)
        else:
            nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
