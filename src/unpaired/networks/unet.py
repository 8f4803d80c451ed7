"""The strong CNN: a residual-encoder U-Net in 2D and 3D, with a norm per modality.

The layout of nnU-Net's residual-encoder presets (Isensee et al., MICCAI 2024): a stem; stages of residual blocks, of
which each stage's first one strides; a decoder of one transposed convolution and one convolution a stage, with skips.
nnU-Net's own library for it, `dynamic_network_architectures`, installs timm and torchvision. A test compares this
network with that library's on equal weights where somebody has it.

With `fusion` it has CMC's awareness and fusion behind the deepest stage (`networks.fusion`). For encoders and decoders
of each modality, as in CMC, see `networks.specific_unets`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.fusion import Fusion
from unpaired.networks.modality_layers import Groups, ModalityNorm, NormKind, check_images, run_modalities
from unpaired.networks.network import Network, NetworkConfig, NetworkOutput
from unpaired.shapes import Images, Logits

Before = Float[Tensor, "batch before *spatial"]
After = Float[Tensor, "batch after *reduced"]
SLOPE = 0.01
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOLS = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """A residual-encoder U-Net; the defaults are nnU-Net's medium preset."""

    width: int = 32
    """Channels of the first stage; they double with every stage up to `widest`."""
    widest: int = 512
    """Most channels a stage has (nnU-Net: 512 in 2D, 320 in 3D)."""
    blocks: tuple[int, ...] = (1, 3, 4, 6, 6, 6)
    """Residual blocks of each stage; as many stages as numbers."""
    strides: tuple[tuple[int, ...], ...] | None = None
    """One tuple (stride per spatial axis) for each stage after the first; None is 2 along every axis. Across thick
    slices, an axis that isn't pooled yet while others are, the kernel is 1, as in nnU-Net."""
    norm: NormKind = "instance"
    modality_norm: bool = True
    """A norm per modality (CSA Eq. 1); False is one norm for all (row Joint)."""
    fusion: str | None = None
    """CMC's awareness and fusion of what the deepest stage returns. "paired": of all modalities in one pass, a lone one
    with itself; "alone": each with itself, in training too. None: the decoder gets what the encoder returns."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "UNet":
        """Raises InputError for a field out of range, or one that doesn't fit the number of spatial axes."""
        if spatial_dims not in CONVOLUTIONS:
            raise InputError(f"the network segments 2D or 3D images, got spatial_dims={spatial_dims}")
        if min(self.width, self.widest, *self.blocks) < 1 or len(self.blocks) < 2:
            raise InputError(
                "expected a positive width, widest and number of blocks in each of at least two stages, got "
                f"width={self.width}, widest={self.widest}, blocks={self.blocks}"
            )
        strides = self.strides or ((2,) * spatial_dims,) * (len(self.blocks) - 1)
        if len(strides) != len(self.blocks) - 1 or any(len(s) != spatial_dims or min(s) < 1 for s in strides):
            raise InputError(
                f"strides: expected {len(self.blocks) - 1} tuples of {spatial_dims} positive strides, one for each "
                f"stage after the first, got {strides}"
            )
        return UNet(self, modalities, channels, classes, strides)


class UNet(Network):
    """See the module's docstring. Features "encoder1" to "encoderN" by stage, "decoder1" (full size) and deeper.

    With a fusion also "awareness" (F_mia of CMC) and "fusion": what the decoder gets.
    """

    def __init__(
        self,
        config: UNetConfig,
        modalities: Sequence[str],
        channels: int,
        classes: int,
        strides: tuple[tuple[int, ...], ...],
    ) -> None:
        super().__init__()
        stages = len(config.blocks)
        dims = len(strides[0])
        self.modalities, self.channels, self.concatenate = tuple(modalities), channels, config.concatenate
        self.size_multiples = tuple(math.prod(axis) for axis in zip(*strides, strict=True))
        self.feature_names = feature_names(stages, config.fusion)
        self.mixed = config.fusion == "paired" or (not config.modality_norm and config.norm == "batch")
        layers = _Layers(config, self.modalities, dims)
        widths = [min(config.width * 2**stage, config.widest) for stage in range(stages)]
        self.bottleneck = widths[-1]
        kernels = _kernels(strides)
        all_strides = ((1,) * dims, *strides)

        self.stem = layers.unit(channels, widths[0], kernels[0], all_strides[0])
        self.encoder = nn.ModuleList()
        before = widths[0]
        for width, kernel, stride, count in zip(widths, kernels, all_strides, config.blocks, strict=True):
            first = ResidualBlock(layers, before, width, kernel, stride)
            rest = [ResidualBlock(layers, width, width, kernel, all_strides[0]) for _ in range(count - 1)]
            self.encoder.append(Stage([first, *rest]))
            before = width
        self.up = nn.ModuleList(
            TRANSPOSED[dims](deep, shallow, stride, stride)
            for deep, shallow, stride in zip(widths[1:], widths[:-1], strides, strict=True)
        )
        self.decoder = nn.ModuleList(
            layers.unit(2 * width, width, kernel, all_strides[0])
            for width, kernel in zip(widths[:-1], kernels[:-1], strict=True)
        )
        self.output = CONVOLUTIONS[dims](widths[0], classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Last, so that all else begins as it would without.
        self.fusion = None if config.fusion is None else Fusion(self.modalities, before, config.fusion, dims)

    def forward(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """Raises InputError for an unknown modality, or images whose channels or sizes don't fit."""
        check_images(images, self.modalities, self.channels, self.size_multiples)
        return run_modalities(self.run, images, self.concatenate, self.mixed)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        features = self.encode(x, groups)
        deepest = features[f"encoder{len(self.encoder)}"]
        if self.fusion is not None:
            features["awareness"], features["fusion"] = self.fusion(deepest, groups)
        logits = self.decode(features["fusion"] if self.fusion is not None else deepest, features, groups)
        return NetworkOutput(logits, {name: features[name] for name in self.feature_names})

    def encode(self, x: Images, groups: Groups) -> dict[str, Tensor]:
        """The map of each stage, by the name of its feature."""
        features: dict[str, Tensor] = {}
        x = self.stem(x, groups)
        for number, stage in enumerate(self.encoder, start=1):
            x = stage(x, groups)
            features[f"encoder{number}"] = x
        return features

    def decode(self, x: Tensor, features: dict[str, Tensor], groups: Groups) -> Logits:
        """Logits from the deepest map `x` and the skips in `features`, to which the decoder's maps are added."""
        for number in range(len(self.decoder), 0, -1):
            x = torch.cat([self.up[number - 1](x), features[f"encoder{number}"]], dim=1)
            x = self.decoder[number - 1](x, groups)
            features[f"decoder{number}"] = x
        return self.output(x)


class Unit(nn.Module):
    """Convolution, norm and, where asked for, LeakyReLU(0.01)."""

    def __init__(self, convolution: nn.Module, norm: ModalityNorm, active: bool) -> None:
        super().__init__()
        self.convolution, self.norm, self.active = convolution, norm, active

    def forward(self, x: Before, groups: Groups) -> After:
        """The spatial size is divided by the convolution's stride."""
        x = self.norm(self.convolution(x), groups)
        return F.leaky_relu(x, SLOPE) if self.active else x


class ResidualBlock(nn.Module):
    """Two units around a shortcut that is pooled and projected where size or channels change."""

    def __init__(
        self, layers: "_Layers", before: int, after: int, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        one = (1,) * len(kernel)
        self.first = layers.unit(before, after, kernel, stride)
        self.second = layers.unit(after, after, kernel, one, active=False)
        self.pool = POOLS[len(kernel)](tuple(stride), tuple(stride)) if max(stride) > 1 else None
        self.project = layers.unit(before, after, one, one, bias=False, active=False) if before != after else None

    def forward(self, x: Before, groups: Groups) -> After:
        """The spatial size is divided by the block's stride."""
        shortcut = x if self.pool is None else self.pool(x)
        if self.project is not None:
            shortcut = self.project(shortcut, groups)
        return F.leaky_relu(self.second(self.first(x, groups), groups) + shortcut, SLOPE)


class Stage(nn.Module):
    """Residual blocks, one after the other."""

    def __init__(self, blocks: Sequence[ResidualBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Before, groups: Groups) -> After:
        """The spatial size is divided by the first block's stride."""
        for block in self.blocks:
            x = block(x, groups)
        return x


class _Layers:
    """The layers of one network, so that 2D and 3D are the same code."""

    def __init__(self, config: UNetConfig, modalities: Sequence[str], spatial_dims: int) -> None:
        self.config, self.modalities, self.spatial_dims = config, modalities, spatial_dims

    def unit(
        self,
        before: int,
        after: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        bias: bool = True,
        active: bool = True,
    ) -> Unit:
        padding = tuple(size // 2 for size in kernel)
        convolution = CONVOLUTIONS[self.spatial_dims](before, after, tuple(kernel), tuple(stride), padding, bias=bias)
        shared = not self.config.modality_norm
        norm = ModalityNorm(self.config.norm, after, self.modalities, self.spatial_dims, shared, eps=1e-5)
        return Unit(convolution, norm, active)


def feature_names(stages: int, fusion: str | None) -> tuple[str, ...]:
    """Of a U-Net with so many stages."""
    return (
        *(f"encoder{n}" for n in range(1, stages + 1)),
        *(("awareness", "fusion") if fusion else ()),
        *(f"decoder{n}" for n in range(1, stages)),
    )


def _kernels(strides: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The kernel of each stage: 3, but 1 along an axis that the next stage leaves alone while it pools another."""
    dims = len(strides[0])
    kernels = []
    pooled, thick = [False] * dims, [False] * dims
    for stride in (*strides, (2,) * dims):  # nothing is left to wait for in the last stage
        pooled = [was or factor > 1 for was, factor in zip(pooled, stride, strict=True)]
        if max(stride) > 1:
            thick = [not was for was in pooled]
        kernels.append(tuple(1 if one else 3 for one in thick))
    return kernels
