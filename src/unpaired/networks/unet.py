"""The strong CNN: a residual-encoder U-Net in 2D and 3D, with a norm per modality.

The layout of nnU-Net's residual-encoder presets (Isensee et al., MICCAI 2024): a stem; stages of residual blocks, of
which each stage's first one strides; a decoder of one transposed convolution and one convolution a stage, with skips.
nnU-Net's own library for it, `dynamic_network_architectures`, installs timm and torchvision. A test compares this
network with that library's on equal weights where somebody has it.

With `fusion` it has CMC's awareness and fusion behind the deepest stage (`networks.fusion`). For encoders and decoders
of each modality, as in CMC, see `networks.specific_unets`; for `deep_supervision`, `networks.deep_supervision`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.configs import Axes, Depth, Digest, Name, Width
from unpaired.errors import InputError
from unpaired.networks.blocks import (
    AVERAGE_POOLINGS,
    CONVOLUTIONS,
    TRANSPOSED_CONVOLUTIONS,
    Before,
    Layers,
    Resized,
    Unit,
    check_spatial_dims,
    initialize_convolutions,
)
from unpaired.networks.deep_supervision import FEWEST_STAGES, AuxiliaryOutputs
from unpaired.networks.fusion import Fusion, Partners
from unpaired.networks.modality_layers import Groups, NormKind
from unpaired.networks.network import Network, NetworkConfig, NetworkOutput
from unpaired.networks.own_stages import Stages, require_stages, through
from unpaired.networks.residual_encoder_weights import load_into_unet
from unpaired.networks.shared_network import SharedNetwork
from unpaired.shapes import Images, Logits

MOST_STAGES = 12
SLOPE = 0.01
"""LeakyReLU's slope below 0, as in nnU-Net."""


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """A residual-encoder U-Net; the defaults are nnU-Net's medium preset."""

    width: Width = 32
    """Channels of the first stage; they double with every stage up to `widest`."""
    widest: Width = 512
    """Most channels a stage has (nnU-Net: 512 in 2D, 320 in 3D)."""
    blocks: Annotated[tuple[Depth, ...], Meta(min_length=2, max_length=MOST_STAGES)] = (1, 3, 4, 6, 6, 6)
    """Residual blocks of each stage; as many stages as numbers."""
    strides: tuple[Axes, ...] | None = None
    """One tuple (stride per spatial axis) for each stage after the first; None is 2 along every axis. Across thick
    slices, an axis that isn't pooled yet while others are, the kernel is 1, as in nnU-Net."""
    norm: NormKind = "instance"
    stage_norms: tuple[tuple[Name, NormKind], ...] = ()
    """Stages (named as in `own`) whose norms are of another kind. (("encoder1", "instance"),) beside norm "batch" takes
    the contrast of a scan out where it is met and keeps deeper maps comparable between slices (IBN-Net; Pan et al.,
    ECCV 2018): docs/results/organ-sizes.md."""
    modality_norm: bool = True
    """A norm per modality (CSA Eq. 1); False is one norm for all (row Joint)."""
    own: tuple[str, ...] = ()
    """Stages that each modality has a copy of: "encoder1", ..., "decoder1", ..., "output"; all others are shared. The
    stem belongs to "encoder1", the upsampling before a decoder stage to it. Dual streams (Valindria et al., WACV 2018).
    """
    fusion: Partners | None = None
    """CMC's awareness and fusion of what the deepest stage returns. "paired": of all modalities in one pass, a lone one
    with itself; "alone": each with itself, in training too. None: the decoder gets what the encoder returns."""
    deep_supervision: bool = False
    """nnU-Net's: in training also logits of the decoder stages between the finest and the coarsest, as features
    "logits/2", "logits/4", ..., whose losses every method adds (`SegmentationTerms.deep_supervision`)."""
    pretrained: Name | None = None
    """A checkpoint of nnU-Net or nnssl to start from: see `networks.residual_encoder_weights`."""
    pretrained_sha256: Digest | None = None
    """SHA-256 that the file must have."""
    pretrained_decoder: bool = False
    """Whether its decoder is loaded too: for checkpoints that learned to segment."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strides is not None and len(self.strides) != len(self.blocks) - 1:
            raise InputError(
                f"UNetConfig.strides: expected {len(self.blocks) - 1} strides, one for each stage after the first, got "
                f"{self.strides}; give as many, or change blocks"
            )
        stages = len(self.blocks)
        normed = [*(f"encoder{n + 1}" for n in range(stages)), *(f"decoder{n + 1}" for n in range(stages - 1))]
        require_stages(self.own, [*normed, "output"], "UNetConfig.own")
        require_stages([stage for stage, _ in self.stage_norms], normed, "UNetConfig.stage_norms")
        if self.deep_supervision and stages < FEWEST_STAGES:
            raise InputError(
                f"UNetConfig.deep_supervision: expected at least {FEWEST_STAGES} stages, as neither the finest nor the "
                f"coarsest of the decoder gets coarser logits, got blocks {self.blocks}; add stages or leave it off"
            )

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "UNet":
        """Raises InputError for strides that don't fit the number of spatial axes."""
        check_spatial_dims(spatial_dims)
        strides = self.strides or ((2,) * spatial_dims,) * (len(self.blocks) - 1)
        if any(len(stride) != spatial_dims for stride in strides):
            such = (2,) * spatial_dims
            raise InputError(f"strides: expected {spatial_dims} numbers for each stage, such as {such}, got {strides}")
        return UNet(self, modalities, channels, classes, strides)

    def load_pretrained(self, network: Network) -> dict[str, Any] | None:
        """Fill the network from the file that `pretrained` names, if any. Raises what `load_into_unet` raises."""
        if self.pretrained is None:
            return None
        return load_into_unet(network, self.pretrained_decoder, self.pretrained, self.pretrained_sha256).as_json()


class UNet(SharedNetwork):
    """See the module's docstring. Features "encoder1" to "encoderN" by stage, "decoder1" (full size) and deeper.

    With a fusion also "awareness" (F_mia of CMC) and "fusion": what the decoder gets. With deep supervision also
    "logits/2" of decoder2, "logits/4" of decoder3, ..., in training alone: they are not among `feature_names`.
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
        layers = Layers(self.modalities, dims, config.norm, config.modality_norm, eps=1e-5)
        own = Stages(layers, config.own, dict(config.stage_norms))
        self.mixed = config.fusion == "paired" or own.mixed
        widths = [min(config.width * 2**stage, config.widest) for stage in range(stages)]
        self.bottleneck = widths[-1]
        kernels = _kernels(strides)
        whole = (1,) * dims

        self.stem = own.build("encoder1", lambda its: unit(its, channels, widths[0], kernels[0], whole))
        self.encoder = _encoder(own, widths, kernels, (whole, *strides), config.blocks)
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for number, (deep, width, stride, kernel) in enumerate(
            zip(widths[1:], widths[:-1], strides, kernels[:-1], strict=True), start=1
        ):
            self.up.append(own.build(f"decoder{number}", partial(_up, deep=deep, width=width, stride=stride), False))
            self.decoder.append(own.build(f"decoder{number}", partial(_merged, width=width, kernel=kernel)))
        self.output = own.build("output", lambda _: CONVOLUTIONS[dims](widths[0], classes, 1), False)
        initialize_convolutions(self, "he", SLOPE)
        # Last, so that all else begins as it would without.
        self.fusion = None if config.fusion is None else Fusion(self.modalities, widths[-1], config.fusion, dims)
        supervised = widths[1 : stages - 2] if config.deep_supervision else ()
        self.auxiliary_outputs = AuxiliaryOutputs(own, supervised, classes)
        initialize_convolutions(self.auxiliary_outputs, "he", SLOPE)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        features = self.encode(x, groups)
        deepest = features[f"encoder{len(self.encoder)}"]
        if self.fusion is not None:
            features["awareness"], features["fusion"] = self.fusion(deepest, groups)
        logits = self.decode(features["fusion"] if self.fusion is not None else deepest, features, groups)
        named = {name: features[name] for name in self.feature_names}
        return NetworkOutput(logits, named | self.coarser_logits(features, groups))

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
            x = torch.cat([through(self.up[number - 1], x, groups), features[f"encoder{number}"]], dim=1)
            x = self.decoder[number - 1](x, groups)
            features[f"decoder{number}"] = x
        return through(self.output, x, groups)

    def coarser_logits(self, features: dict[str, Tensor], groups: Groups) -> dict[str, Tensor]:
        """Those of deep supervision, by name, from the decoder's maps; none in evaluation mode."""
        maps = [features[f"decoder{number}"] for number, _ in enumerate(self.auxiliary_outputs, start=2)]
        return self.auxiliary_outputs.named(maps, groups)


class ResidualBlock(nn.Module):
    """Two units around a shortcut that is pooled and projected where size or channels change."""

    def __init__(self, layers: Layers, before: int, after: int, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        whole = (1,) * len(kernel)
        self.first = unit(layers, before, after, kernel, stride)
        self.second = Unit(layers.convolution(after, after, kernel, bias=True), layers.norm(after), slope=None)
        self.pool = AVERAGE_POOLINGS[len(kernel)](tuple(stride), tuple(stride)) if max(stride) > 1 else None
        self.project = None
        if before != after:
            self.project = Unit(layers.convolution(before, after, whole), layers.norm(after), slope=None)

    def forward(self, x: Before, groups: Groups) -> Resized:
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

    def forward(self, x: Before, groups: Groups) -> Resized:
        """The spatial size is divided by the first block's stride."""
        for block in self.blocks:
            x = block(x, groups)
        return x


def unit(layers: Layers, before: int, after: int, kernel: Sequence[int], stride: Sequence[int]) -> Unit:
    """A unit of this network: convolution with bias, norm, LeakyReLU."""
    return Unit(layers.convolution(before, after, kernel, stride, bias=True), layers.norm(after), SLOPE)


def _up(layers: Layers, deep: int, width: int, stride: Sequence[int]) -> nn.Module:
    return TRANSPOSED_CONVOLUTIONS[layers.spatial_dims](deep, width, tuple(stride), tuple(stride))


def _merged(layers: Layers, width: int, kernel: Sequence[int]) -> Unit:
    """What follows the joining of a skip with what was upsampled."""
    return unit(layers, 2 * width, width, kernel, (1,) * len(kernel))


def _stage(
    layers: Layers, before: int, width: int, kernel: Sequence[int], stride: Sequence[int], blocks: int
) -> "Stage":
    """Residual blocks, of which the first strides."""
    first = ResidualBlock(layers, before, width, kernel, stride)
    rest = [ResidualBlock(layers, width, width, kernel, (1,) * len(stride)) for _ in range(blocks - 1)]
    return Stage([first, *rest])


def _encoder(
    own: Stages,
    widths: Sequence[int],
    kernels: Sequence[Sequence[int]],
    strides: Sequence[Sequence[int]],
    blocks: Sequence[int],
) -> nn.ModuleList:
    """The stages, from what the stem returns to the deepest; the first block of a stage strides."""
    stages = nn.ModuleList()
    before = widths[0]
    rows = zip(widths, kernels, strides, blocks, strict=True)
    for number, (width, kernel, stride, count) in enumerate(rows, start=1):
        settings = {"before": before, "width": width, "kernel": kernel, "stride": stride, "blocks": count}
        stages.append(own.build(f"encoder{number}", partial(_stage, **settings)))
        before = width
    return stages


def feature_names(stages: int, fusion: str | None) -> tuple[str, ...]:
    """The names of a U-Net's feature maps: encoder stages, the fusion's two if there is one, decoder stages."""
    return (
        *(f"encoder{n}" for n in range(1, stages + 1)),
        *(("awareness", "fusion") if fusion else ()),
        *(f"decoder{n}" for n in range(1, stages)),
    )


def _kernels(strides: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The kernel of each stage: 3, but 1 along an axis that the next stage leaves alone while it pools another."""
    dims = len(strides[0])
    kernels: list[tuple[int, ...]] = []
    pooled, thick = [False] * dims, [False] * dims
    for stride in (*strides, (2,) * dims):  # nothing is left to wait for in the last stage
        pooled = [was or factor > 1 for was, factor in zip(pooled, stride, strict=True)]
        if max(stride) > 1:
            thick = [not was for was in pooled]
        kernels.append(tuple(1 if flat else 3 for flat in thick))
    return kernels
