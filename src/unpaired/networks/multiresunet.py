"""MultiResUNet (Ibtehaz, Rahman; Neural Networks 121, 2020): a U-Net of MultiRes blocks and Res paths, in 2D and 3D.

A stage for which U-Net has U channels gets W = alpha * U, shared out over three chained 3x3 convolutions, whose fields
of view are those of a 3x3, a 5x5 and a 7x7 one:

    MultiRes block   a, b, c: units of int(0.167 W), int(0.333 W), int(0.5 W) channels, each on the one before;
                     y = BN(ReLU(BN(concat(a, b, c)) + BN(conv1(x))))
    Res path         before a skip joins the decoder, units y = BN(ReLU(ReLU(BN(conv3(x))) + BN(conv1(x)))): 4, 3, 2, 1
                     of them from the first stage to the fourth, as many as there are stages below

Between stages pooling by 2 and transposed 2x2 convolutions with U channels, as in U-Net. Convolutions have no bias but
the transposed ones and the last. In 3D every kernel has one more axis.

As in the authors' Keras code, whose count of kernels is tested; the paper's text leaves out where the norms stand.
Different here: norms are one per modality, scale everywhere (there the units' norms only shift), and average over steps
as in the package's other networks; the last convolution gives logits of all classes (there one class, normed, through a
sigmoid); weights begin by He's rule (there Glorot's).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.configs import Positive, Width
from unpaired.networks.blocks import (
    CONVOLUTIONS,
    MAX_POOLINGS,
    TRANSPOSED_CONVOLUTIONS,
    After,
    Before,
    Layers,
    Unit,
    check_spatial_dims,
    initialize_convolutions,
)
from unpaired.networks.modality_layers import Groups, NormKind
from unpaired.networks.network import NetworkConfig, NetworkOutput
from unpaired.networks.shared_network import SharedNetwork
from unpaired.shapes import Images

SHARES = (0.167, 0.333, 0.5)
"""Of W, that the three convolutions of a MultiRes block get."""
RELU = 0.0
"""The slope that makes a LeakyReLU a ReLU."""


@dataclass(frozen=True)
class MultiResUNetConfig(NetworkConfig):
    """MultiResUNet; the defaults are the paper's (7.2 million weights in 2D, 18.6 million in 3D)."""

    width: Width = 32
    """U of the first stage; it doubles with every stage."""
    alpha: Positive = 1.67
    """W / U. The paper's keeps the number of weights slightly below U-Net's."""
    stages: Annotated[int, Meta(ge=2, le=8)] = 5
    """Stages of the encoder, the deepest included."""
    norm: NormKind = "batch"
    modality_norm: bool = True
    """A norm per modality (CSA Eq. 1); False is one norm for all (row Joint)."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "MultiResUNet":
        """Raises InputError for images that are neither 2D nor 3D."""
        check_spatial_dims(spatial_dims)
        return MultiResUNet(self, modalities, channels, classes, spatial_dims)


class MultiResUNet(SharedNetwork):
    """See the module's docstring. Features "encoder1" to "encoderN" (before pooling), "path1", ... (what the decoder
    gets of them), and "decoder1" (full size) and deeper."""

    def __init__(
        self, config: MultiResUNetConfig, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int
    ) -> None:
        super().__init__()
        self.modalities, self.channels, self.concatenate = tuple(modalities), channels, config.concatenate
        self.size_multiples = (2 ** (config.stages - 1),) * spatial_dims
        skips = range(1, config.stages)
        self.feature_names = (
            *(f"encoder{n}" for n in range(1, config.stages + 1)),
            *(f"path{n}" for n in skips),
            *(f"decoder{n}" for n in skips),
        )
        layers = Layers(self.modalities, spatial_dims, config.norm, config.modality_norm)
        self.mixed = layers.mixed
        widths = [config.width * 2**stage for stage in range(config.stages)]
        each = [block_channels(config.alpha * width) for width in widths]
        whole = [sum(three) for three in each]

        self.encoder = nn.ModuleList(
            MultiResBlock(layers, before, three) for before, three in zip([channels, *whole[:-1]], each, strict=True)
        )
        self.pool = MAX_POOLINGS[spatial_dims](2)
        self.paths, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths[:-1]):
            self.paths.append(ResPath(layers, whole[level], width, units=config.stages - 1 - level))
            self.up.append(TRANSPOSED_CONVOLUTIONS[spatial_dims](whole[level + 1], width, 2, 2))
            self.decoder.append(MultiResBlock(layers, 2 * width, each[level]))
        self.output = CONVOLUTIONS[spatial_dims](whole[0], classes, 1)
        initialize_convolutions(self, "he", RELU)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        features: dict[str, Tensor] = {}
        for number, block in enumerate(self.encoder, start=1):
            x = block(x if number == 1 else self.pool(x), groups)
            features[f"encoder{number}"] = x
        for number in range(len(self.decoder), 0, -1):
            skip = self.paths[number - 1](features[f"encoder{number}"], groups)
            x = self.decoder[number - 1](torch.cat([self.up[number - 1](x), skip], dim=1), groups)
            features[f"path{number}"], features[f"decoder{number}"] = skip, x
        return NetworkOutput(self.output(x), {name: features[name] for name in self.feature_names})


class MultiResBlock(nn.Module):
    """Three chained units whose outputs are joined, beside a projected shortcut; `each` are the units' channels."""

    def __init__(self, layers: Layers, before: int, each: Sequence[int]) -> None:
        super().__init__()
        after = sum(each)
        self.units = nn.ModuleList(
            _unit(layers, first, channels, 3, RELU) for first, channels in zip([before, *each[:-1]], each, strict=True)
        )
        self.shortcut = _unit(layers, before, after, 1, None)
        self.joined_norm = layers.norm(after)
        self.norm = layers.norm(after)

    def forward(self, x: Before, groups: Groups) -> After:
        """The spatial size stays."""
        shortcut = self.shortcut(x, groups)
        outputs: list[Tensor] = []
        for unit in self.units:
            x = unit(x, groups)
            outputs.append(x)
        joined = self.joined_norm(torch.cat(outputs, dim=1), groups)
        return self.norm(F.relu(joined + shortcut), groups)


class ResPath(nn.Module):
    """Residual units between an encoder stage and the decoder, all of `after` channels."""

    def __init__(self, layers: Layers, before: int, after: int, units: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(ResUnit(layers, before if n == 0 else after, after) for n in range(units))

    def forward(self, x: Before, groups: Groups) -> After:
        """The spatial size stays."""
        for unit in self.units:
            x = unit(x, groups)
        return x


class ResUnit(nn.Module):
    """A unit beside a projected shortcut."""

    def __init__(self, layers: Layers, before: int, after: int) -> None:
        super().__init__()
        self.unit = _unit(layers, before, after, 3, RELU)
        self.shortcut = _unit(layers, before, after, 1, None)
        self.norm = layers.norm(after)

    def forward(self, x: Before, groups: Groups) -> After:
        """The spatial size stays."""
        return self.norm(F.relu(self.unit(x, groups) + self.shortcut(x, groups)), groups)


def block_channels(w: float) -> tuple[int, ...]:
    """Channels of the three units of a MultiRes block of width W, at least one each."""
    return tuple(max(1, int(w * share)) for share in SHARES)


def _unit(layers: Layers, before: int, after: int, kernel: int, slope: float | None) -> Unit:
    return Unit(layers.convolution(before, after, (kernel,) * layers.spatial_dims), layers.norm(after), slope)
