"""nnFormer (Zhou et al., IEEE TIP 2023): volumes through window attention and convolutions, the 3D backbone of SSC.

The layout of the released code (its last version, February 2022), with `width` C:

    embedding            two strided 3x3x3 convolutions (C/2, C channels), each followed by another; GELU, layer norms
    encoder stage n      blocks with 2^(n-1) C channels; its normalized output is the skip; GELU, layer norm and a
                         strided convolution lead on
    bottleneck           the last stage, normalized
    decoder stage n      layer norm and a transposed convolution bring up the deeper map u; first block: u + skip as
                         residual, u asks (without a projection), the skip answers; then blocks as in the encoder
    end                  a transposed convolution from tokens to voxels; deep supervision has one for each stage, of
                         which prediction computes the finest alone

Nothing is tied to a crop size. An axis is halved by stride 2, an odd length rounded down, and the way up gives the odd
row back (the released ACDC network does so for its depth of 14, 7, 3); so any multiple of the patch fits. Along an
axis of stride 1 the kernel is 1. Windows follow the rules of `window_attention`. The same code runs in 2D.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from msgspec import Meta
from torch import Tensor, nn

from unpaired.configs import Axes, BelowOne, Depth, Stride, Width
from unpaired.errors import InputError
from unpaired.networks.blocks import TRANSPOSED_CONVOLUTIONS, check_spatial_dims
from unpaired.networks.class_embeddings import ClassEmbeddings
from unpaired.networks.deep_supervision import coarser_logits
from unpaired.networks.modality_layers import Groups
from unpaired.networks.network import Network, NetworkOutput
from unpaired.networks.nnformer_layers import Down, Projection, Up
from unpaired.networks.pretrained import load_into_nnformer
from unpaired.networks.shared_network import SharedNetwork
from unpaired.networks.transformer import (
    MOST_STAGES,
    BlockSettings,
    Stage,
    TransformerConfig,
    Window,
    Windows,
    per_axis,
    rising_drop_path,
)
from unpaired.shapes import Images

OneOrTwo = Annotated[int, Meta(ge=1, le=2)]


@dataclass(frozen=True)
class NNFormerConfig(TransformerConfig):
    """nnFormer; the defaults are the Synapse network (crops of 64x128x128). `acdc()` and `tumor()` are the others."""

    width: Width = 192
    """Channels of the first stage (the paper's embedding dimension); they double with every stage."""
    depths: Annotated[tuple[Depth, ...], Meta(min_length=2, max_length=MOST_STAGES)] = (2, 2, 2, 2)
    """Blocks of each encoder stage; the decoder's stages have as many."""
    heads: tuple[Width, ...] = (6, 12, 24, 48)
    """Attention heads of each encoder stage."""
    decoder_heads: tuple[Width, ...] | None = None
    """Attention heads of decoder stages 1, 2, ...; None: as in the encoder. (The released tumor network has twice as
    many.)"""
    windows: tuple[Window | Windows, ...] = (4, 4, 8, 4)
    """Tokens per axis, for each stage."""
    patch_strides: tuple[Stride | Axes, Stride | Axes] = ((2, 2, 2), (1, 2, 2))
    """Strides of the embedding's two projections; their product is the patch that becomes one token."""
    strides: tuple[OneOrTwo | Annotated[tuple[OneOrTwo, ...], Meta(min_length=2, max_length=3)], ...] = (2, 2, 2)
    """1 or 2 per axis, for each step from a stage to the next."""
    drop_path: BelowOne = 0.2
    """Stochastic depth of the last block: the share of images that leave it out in training. It rises linearly from 0,
    in the encoder and again in the decoder."""
    deep_supervision: bool = True
    """In training also logits of the decoder's coarser stages, as features "logits/2", "logits/4", ..., for the method
    to supervise."""
    masked: bool = True
    """False: padding, and tokens that the shift brings side by side, take part in the attention. So it is in the
    released ACDC network, and its weights need it."""
    released_index: bool = False
    """True: the relative position index of the released code, which mixes offsets up (`relative_index`); the released
    weights need it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 2:
            raise InputError(f"NNFormerConfig.width: expected an even number, got {self.width}; take {self.width + 1}")
        stages = len(self.depths)
        counts = {"heads": stages, "windows": stages, "strides": stages - 1, "decoder_heads": stages - 1}
        for name, count in counts.items():
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise InputError(
                    f"NNFormerConfig.{name}: expected {count} of them for depths={self.depths}, got {value}; give as "
                    "many, or change depths"
                )

    @classmethod
    def synapse(cls, released: bool = False) -> "NNFormerConfig":
        """The abdomen network (64x128x128, voxels up to 3 mm). `released`: with the slips its released weights need."""
        return cls(released_index=released)

    @classmethod
    def acdc(cls, released: bool = False) -> "NNFormerConfig":
        """The cardiac network for thick slices (14x160x160). `released`: with the slips its released weights need."""
        return cls(
            width=96,
            heads=(3, 6, 12, 24),
            windows=((3, 5, 5), (3, 5, 5), (7, 10, 10), (3, 5, 5)),
            patch_strides=((1, 2, 2), (1, 2, 2)),
            strides=((1, 2, 2), (2, 2, 2), (2, 2, 2)),
            deep_supervision=False,
            masked=not released,
            released_index=released,
        )

    @classmethod
    def tumor(cls, released: bool = False) -> "NNFormerConfig":
        """The brain tumor network (128x128x128). `released`: with the slips its released weights need."""
        return cls(
            width=96,
            heads=(3, 6, 12, 24),
            decoder_heads=(6, 12, 24),
            patch_strides=((2, 2, 2), (2, 2, 2)),
            deep_supervision=False,
            released_index=released,
        )

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "NNFormer":
        """Raises InputError for a field that doesn't fit the number of spatial axes."""
        check_spatial_dims(spatial_dims)
        return NNFormer(self, modalities, channels, classes, spatial_dims)

    def load_from(self, path: str, network: Network) -> dict[str, Any]:
        """Fill an nnFormer from a 2D Swin or a released nnFormer."""
        return load_into_nnformer(
            network, len(self.depths), self.released_index, path, self.pretrained_sha256
        ).as_json()


class NNFormer(SharedNetwork):
    """See the module's docstring. Features, for four stages:

    "encoder1" to "encoder3": the normalized skips; "bottleneck"; "decoder3" (scale 1 of SSC) to "decoder1": after a
    stage's blocks; with deep supervision "logits/2" and "logits/4", made from decoder2 and decoder3, in training alone:
    they are not among `feature_names`.
    `class_embeddings` is None unless they scale the blocks.
    """

    def __init__(
        self, config: NNFormerConfig, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int
    ) -> None:
        super().__init__()
        stages = len(config.depths)
        layout = _Layout.of(config, spatial_dims)
        self.config, self.modalities, self.channels, self.classes = config, tuple(modalities), channels, classes
        self.spatial_dims, self.size_multiples = spatial_dims, layout.patch
        self.concatenate = config.concatenate
        numbers = range(1, stages)
        self.feature_names = (*(f"encoder{n}" for n in numbers), "bottleneck", *(f"decoder{n}" for n in numbers))

        width = 2 ** (stages - 2) * config.width  # of the deepest decoder stage, SSC's scale 1
        settings = config.settings(self.modalities, classes, width, spatial_dims)
        settings = replace(settings, masked=config.masked, released_index=config.released_index)
        self.class_embeddings, self.image_embedding = config.modality_parts(settings, channels)
        self.encoder = config.encoder(settings, lambda own: Encoder(config, layout, own, channels))
        self.decoder = Decoder(config, layout, settings)
        heads = stages - 1 if config.deep_supervision else 1
        self.outputs = nn.ModuleList(
            TRANSPOSED_CONVOLUTIONS[spatial_dims](2**n * config.width, classes, layout.patch, layout.patch)
            for n in range(heads)
        )

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        if self.image_embedding is not None:
            x = self.image_embedding(x, groups)
        encoded = self.encoder(x, groups, self.class_embeddings)
        decoded = [x.movedim(-1, 1) for x in self.decoder(encoded, groups, self.class_embeddings)]
        features = dict(zip(self.feature_names, [*(x.movedim(-1, 1) for x in encoded), *decoded], strict=True))
        if self.training:
            features |= coarser_logits(self.outputs[1:], decoded[1 : len(self.outputs)], groups)
        return NetworkOutput(self.outputs[0](decoded[0]), features)


@dataclass(frozen=True)
class _Layout:
    """The config's windows and strides with one number for each axis."""

    windows: list[tuple[int, ...]]
    patch_strides: list[tuple[int, ...]]
    strides: list[tuple[int, ...]]

    @classmethod
    def of(cls, config: NNFormerConfig, spatial_dims: int) -> "_Layout":
        windows, patch_strides, strides = (
            [per_axis(name, value, spatial_dims) for value in getattr(config, name)]
            for name in ("windows", "patch_strides", "strides")
        )
        return cls(windows, patch_strides, strides)

    @property
    def patch(self) -> tuple[int, ...]:
        return tuple(math.prod(axis) for axis in zip(*self.patch_strides, strict=True))


class Encoder(nn.Module):
    """Embedding, stages, the steps down between them, and a norm for each output."""

    def __init__(self, config: NNFormerConfig, layout: _Layout, settings: BlockSettings, channels: int) -> None:
        super().__init__()
        first, second = layout.patch_strides
        self.project1 = Projection(settings, channels, config.width // 2, first, last=False)
        self.project2 = Projection(settings, config.width // 2, config.width, second, last=True)
        self.embedding_norm = settings.norm(config.width)
        self.stages, self.downs, self.norms = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        rates = rising_drop_path(config.drop_path, config.depths)
        for stage, heads in enumerate(config.heads):
            width = 2**stage * config.width
            if stage > 0:
                self.downs.append(Down(settings, width // 2, layout.strides[stage - 1]))
            self.stages.append(Stage(settings, width, heads, layout.windows[stage], rates[stage]))
            self.norms.append(settings.norm(width))

    def forward(self, x: Images, groups: Groups, embeddings: ClassEmbeddings | None) -> list[Tensor]:
        """The normalized output of each stage; the next stage goes on from the one before its norm."""
        x = self.project2(self.project1(x, groups), groups)
        x = self.embedding_norm(x.movedim(1, -1), groups)
        outputs: list[Tensor] = []
        for number, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            if number > 0:
                x = self.downs[number - 1](x, groups)
            x = stage(x, groups, embeddings)
            outputs.append(norm(x, groups))
        return outputs


class Decoder(nn.Module):
    """The steps up and the stages; lists are shallow first, as the encoder's."""

    def __init__(self, config: NNFormerConfig, layout: _Layout, settings: BlockSettings) -> None:
        super().__init__()
        depths = config.depths[:-1]
        rates = rising_drop_path(config.drop_path, depths[::-1])[::-1]  # rises from the deepest stage up
        all_heads = config.decoder_heads or config.heads[:-1]
        self.ups, self.stages = nn.ModuleList(), nn.ModuleList()
        for stage, heads in enumerate(all_heads):
            width = 2**stage * config.width
            self.ups.append(Up(settings, 2 * width, layout.strides[stage]))
            self.stages.append(Stage(settings, width, heads, layout.windows[stage], rates[stage], skip_attention=True))

    def forward(self, encoded: Sequence[Tensor], groups: Groups, embeddings: ClassEmbeddings | None) -> list[Tensor]:
        """The maps that the stages return, channels last, the one of full token resolution first."""
        maps: list[Tensor] = []
        x = encoded[-1]
        for number in reversed(range(len(self.stages))):
            skip = encoded[number]
            x = self.ups[number](x, skip.shape[1:-1], groups)
            x = self.stages[number](x, groups, embeddings, skip)
            maps.insert(0, x)
        return maps
