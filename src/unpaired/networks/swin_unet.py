"""Swin-Unet (Cao et al., ECCV workshops 2022): a U-Net of Swin Transformer blocks, the 2D backbone of SSC.

The layout of the released code, with `width` C, patch P and an image of H pixels along an axis:

    encoder stage n      blocks at H / (2^(n-1) P), 2^(n-1) C channels; then 2x2 tokens are merged into one
    bottleneck           the last stage, and a layer norm
    decoder stage n      the deeper map expanded by 2x2, joined with what went INTO encoder stage n, halved by a
                         linear layer; as many blocks as encoder stage n
    end                  layer norm, each token expanded to its PxP pixels, layer norm, 1x1 convolution

There is no convolution but the first and the last. Every layer is the same in 3D, with 2x2x2 for 2x2. SSC's parts are
fields of the config, all of them off: then this is the released network, weight for weight (a test holds its numbers).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.choices import nearest_multiple
from unpaired.configs import Axes, BelowOne, Depth, Size, Stride, Width
from unpaired.errors import InputError
from unpaired.networks.blocks import CONVOLUTIONS, check_spatial_dims
from unpaired.networks.class_embeddings import ClassEmbeddings, ModalityScale
from unpaired.networks.modality_layers import Groups
from unpaired.networks.network import Network, NetworkOutput
from unpaired.networks.pretrained import load_into_swin_unet
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
from unpaired.shapes import LINEAR, Images


@dataclass(frozen=True)
class SwinUNetConfig(TransformerConfig):
    """Swin-Unet; the defaults are the released ones (Swin-T with two blocks in each stage)."""

    width: Width = 96
    """Channels of the first stage (the papers' embedding dimension); they double with every stage."""
    depths: Annotated[tuple[Depth, ...], Meta(min_length=2, max_length=MOST_STAGES)] = (2, 2, 2, 2)
    """Blocks of each encoder stage; the decoder's stages have as many."""
    heads: tuple[Width, ...] = (3, 6, 12, 24)
    """Attention heads of each stage, in encoder and decoder."""
    window: Window | Windows = 7
    """Tokens per axis. 7 fits images of 224, 8 those of 256; others are padded inside the attention."""
    patch: Stride | Axes = 4
    """Pixels per axis that become one token."""
    drop_path: BelowOne = 0.2
    """Stochastic depth of the last encoder block: the share of images that leave it out in training. It rises linearly
    from 0; a decoder stage has the rates of its encoder stage."""
    resize_to: Size | None = None
    """Images are resampled to this size and logits back. `(224, 224)` runs 256x256 images with the window of 7 that
    the ImageNet weights have; features stay on the inner grid."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.depths) != len(self.heads):
            raise InputError(
                f"SwinUNetConfig: expected heads for each stage, got heads={self.heads} for depths={self.depths}; give "
                f"{len(self.depths)} numbers of heads"
            )

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "SwinUNet":
        """Raises InputError for a field that doesn't fit the number of spatial axes."""
        check_spatial_dims(spatial_dims)
        return SwinUNet(self, modalities, channels, classes, spatial_dims)

    def load_from(self, path: str, network: Network) -> dict[str, Any]:
        """Fill a Swin-Unet from ImageNet's Swin or a released Swin-Unet."""
        return load_into_swin_unet(network, len(self.depths), path, self.pretrained_sha256).as_json()


class SwinUNet(SharedNetwork):
    """See the module's docstring. Features, for four stages:

    "encoder1" to "encoder3": after a stage's blocks, before merging; "bottleneck": after its norm; "decoder3" (H/4P,
    4C; scale 1 of SSC), "decoder2" and "decoder1" (H/P, C): after a stage's blocks, before expanding.
    `class_embeddings` is None unless they scale the blocks.
    """

    def __init__(
        self, config: SwinUNetConfig, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int
    ) -> None:
        super().__init__()
        stages = len(config.depths)
        patch = per_axis("patch", config.patch, spatial_dims)
        self.config, self.modalities, self.channels, self.classes = config, tuple(modalities), channels, classes
        self.spatial_dims, self.concatenate = spatial_dims, config.concatenate
        self.size_multiples = tuple(2 ** (stages - 1) * size for size in patch)
        if config.resize_to is not None:
            _check_inner_size(config.resize_to, self.size_multiples)
            self.size_multiples = (1,) * spatial_dims
        numbers = range(1, stages)
        self.feature_names = (*(f"encoder{n}" for n in numbers), "bottleneck", *(f"decoder{n}" for n in numbers))

        width = 2 ** (stages - 2) * config.width  # of the deepest decoder stage, SSC's scale 1
        settings = config.settings(self.modalities, classes, width, spatial_dims)
        self.class_embeddings, self.image_embedding = config.modality_parts(settings, channels)
        self.encoder = config.encoder(settings, lambda own: Encoder(config, own, channels, patch))
        self.decoder = Decoder(config, settings, patch)
        self.output = CONVOLUTIONS[spatial_dims](config.width, classes, 1, bias=False)
        _initialize(self.encoder)
        _initialize(self.decoder)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        size, mode = x.shape[2:], LINEAR[self.spatial_dims]
        if self.config.resize_to is not None:
            x = F.interpolate(x, self.config.resize_to, mode=mode)
        if self.image_embedding is not None:
            x = self.image_embedding(x, groups)
        encoded = self.encoder(x, groups, self.class_embeddings)
        decoded, x = self.decoder(encoded, groups, self.class_embeddings)
        stages = len(self.config.depths)
        maps = [*encoded[stages - 1 :], *decoded]
        logits = self.output(x.movedim(-1, 1))
        if self.config.resize_to is not None:
            logits = F.interpolate(logits, tuple(size), mode=mode)
        return NetworkOutput(logits, {n: m.movedim(-1, 1) for n, m in zip(self.feature_names, maps, strict=True)})


class Encoder(nn.Module):
    """Turns patches into tokens, and runs the stages with a merging of tokens between them."""

    def __init__(self, config: SwinUNetConfig, settings: BlockSettings, channels: int, patch: Sequence[int]) -> None:
        super().__init__()
        window = per_axis("window", config.window, settings.spatial_dims)
        self.embedding = CONVOLUTIONS[settings.spatial_dims](channels, config.width, tuple(patch), tuple(patch))
        self.embedding_norm = settings.norm(config.width)
        self.stages, self.merges = nn.ModuleList(), nn.ModuleList()
        rates = rising_drop_path(config.drop_path, config.depths)
        for stage, heads in enumerate(config.heads):
            width = 2**stage * config.width
            if stage > 0:
                self.merges.append(Merge(settings, width // 2))
            self.stages.append(Stage(settings, width, heads, window, rates[stage]))
        self.norm = settings.norm(2 ** (len(config.depths) - 1) * config.width)

    def forward(self, x: Images, groups: Groups, embeddings: ClassEmbeddings | None) -> list[Tensor]:
        """What goes into each stage but the last, what comes out of each, and the normalized end."""
        x = self.embedding_norm(self.embedding(x).movedim(1, -1), groups)
        into: list[Tensor] = []
        out: list[Tensor] = []
        for stage, merge in zip(self.stages, self.merges, strict=False):  # all but the last
            into.append(x)
            x = stage(x, groups, embeddings)
            out.append(x)
            x = merge(x, groups)
        return [*into, *out, self.norm(self.stages[-1](x, groups, embeddings), groups)]


class Decoder(nn.Module):
    """Expanding, joining with the encoder's maps, stages; lists are shallow first, as the encoder's."""

    def __init__(self, config: SwinUNetConfig, settings: BlockSettings, patch: Sequence[int]) -> None:
        super().__init__()
        window = per_axis("window", config.window, settings.spatial_dims)
        rates = rising_drop_path(config.drop_path, config.depths)
        self.expands, self.joins, self.stages = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stage, heads in enumerate(config.heads[:-1]):
            width = 2**stage * config.width
            self.expands.append(Expand(settings, 2 * width, width, (2,) * settings.spatial_dims))
            self.joins.append(nn.Linear(2 * width, width))
            self.stages.append(Stage(settings, width, heads, window, rates[stage]))
        self.norm = settings.norm(config.width)
        self.expand = Expand(settings, config.width, config.width, tuple(patch))

    def forward(
        self, encoded: Sequence[Tensor], groups: Groups, embeddings: ClassEmbeddings | None
    ) -> tuple[list[Tensor], Tensor]:
        """The stages' maps, shallow first, and the last one expanded to full size."""
        maps: list[Tensor] = []
        x = encoded[-1]
        for number in reversed(range(len(self.stages))):
            x = self.expands[number](x, groups)
            x = self.joins[number](torch.cat([x, encoded[number]], dim=-1))
            x = self.stages[number](x, groups, embeddings)
            maps.insert(0, x)
        return maps, self.expand(self.norm(x, groups), groups)


class Merge(nn.Module):
    """Two tokens along each axis become one of twice the channels; the first axis is counted fastest, as released."""

    def __init__(self, settings: BlockSettings, channels: int) -> None:
        super().__init__()
        together = 2**settings.spatial_dims * channels
        self.norm = settings.norm(together)
        self.reduction = nn.Linear(together, 2 * channels, bias=False)

    def forward(
        self, x: Float[Tensor, "batch *spatial channel"], groups: Groups
    ) -> Float[Tensor, "batch *halved twice"]:
        """Half the size along each axis, which must be even."""
        dims = x.ndim - 2
        x = x.reshape(len(x), *[part for size in x.shape[1:-1] for part in (size // 2, 2)], x.shape[-1])
        coarse, fine = [1 + 2 * axis for axis in range(dims)], [2 + 2 * axis for axis in range(dims)]
        x = x.permute(0, *coarse, *reversed(fine), 1 + 2 * dims).flatten(1 + dims)
        return self.reduction(self.norm(x, groups))


class Expand(nn.Module):
    """One token becomes `factors` tokens of `after` channels; then a norm."""

    def __init__(self, settings: BlockSettings, before: int, after: int, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors = factors
        self.expand = nn.Linear(before, math.prod(factors) * after, bias=False)
        self.norm = settings.norm(after)

    def forward(
        self, x: Float[Tensor, "batch *spatial before"], groups: Groups
    ) -> Float[Tensor, "batch *expanded after"]:
        """`factors` times the size along each axis."""
        sizes, dims = x.shape[1:-1], len(self.factors)
        x = self.expand(x).unflatten(-1, (*self.factors, -1))
        order = [axis for i in range(dims) for axis in (1 + i, 1 + dims + i)]
        x = x.permute(0, *order, 1 + 2 * dims)
        expanded = [size * factor for size, factor in zip(sizes, self.factors, strict=True)]
        return self.norm(x.reshape(len(x), *expanded, x.shape[-1]), groups)


def _check_inner_size(size: Sequence[int], multiples: Sequence[int]) -> None:
    if len(size) != len(multiples) or any(s % m for s, m in zip(size, multiples, strict=True)):
        such = tuple(map(nearest_multiple, size, multiples)) if len(size) == len(multiples) else tuple(multiples)
        raise InputError(f"resize_to: expected multiples of {tuple(multiples)}, got {tuple(size)}; such as {such}")


def _initialize(module: nn.Module) -> None:
    """Linear layers as released: weights from normal(0, 0.02), biases 0. What makes a scale begins as 1, see there."""
    for child in module.children():
        if isinstance(child, nn.Linear):
            nn.init.trunc_normal_(child.weight, std=0.02)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        if not isinstance(child, ModalityScale):
            _initialize(child)
