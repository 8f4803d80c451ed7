"""The residual block that both Transformer backbones repeat, and what SSC makes of them for several modalities.

    x' = x  + w_l1 * MSA(LN(x))                                                                        (SSC Eq. 14)
    y  = x' + w_l2 * FFN(LN(x'))                                                                       (SSC Eq. 15)

w_l1 and w_l2 are one factor per channel and modality (`ModalityScale`), or absent: then it is the block of the Swin
Transformer. All maps are `Tokens` (channels last), one or more modalities along the batch axis as `groups` says.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import nn
from torch.nn import functional as F

from unpaired.configs import Digest, Name
from unpaired.errors import InputError
from unpaired.networks.class_embeddings import ClassEmbeddings, ImageEmbedding, ModalityScale
from unpaired.networks.modality_layers import Groups, ModalityNorm, PerModality
from unpaired.networks.network import Network, NetworkConfig
from unpaired.networks.window_attention import Tokens, WindowAttention

EPS = 1e-5
MOST_STAGES = 12
Window = Annotated[int, Meta(ge=1, le=64)]
"""Tokens along an axis that attend to each other: memory grows with the square of their number."""
Windows = Annotated[tuple[Window, ...], Meta(min_length=2, max_length=3)]
"""One for each spatial axis."""


@dataclass(frozen=True)
class BlockSettings:
    """What all blocks of a network have in common."""

    modalities: tuple[str, ...]
    spatial_dims: int
    modality_norm: bool
    scale_from: tuple[int, int] | None
    """Classes and width of the class embeddings that scale the blocks (SSC Eq. 13); None: the blocks have no scale."""
    masked: bool = True
    released_index: bool = False

    def norm(self, channels: int) -> "TokenNorm":
        """Layer norm over the channels, shared by the modalities unless each is to have its own."""
        return TokenNorm("layer", channels, self.modalities, self.spatial_dims, not self.modality_norm, eps=EPS)

    def scale(self, channels: int) -> ModalityScale | None:
        """w_l of SSC Eq. 13 for a layer of so many channels, or None."""
        return None if self.scale_from is None else ModalityScale(self.modalities, *self.scale_from, channels)

    def attention(
        self, channels: int, heads: int, window: Sequence[int], shifted: bool, own_query: bool = True
    ) -> WindowAttention:
        """Attention inside windows, for a layer of so many channels; see `WindowAttention`."""
        return WindowAttention(channels, heads, window, shifted, own_query, self.masked, self.released_index)

    def of(self, modality: str) -> "BlockSettings":
        """The same for the blocks of one modality's own encoder."""
        return replace(self, modalities=(modality,))


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(NetworkConfig):
    """The fields that every Transformer has: SSC's modality parts, all off, and the weights to start from."""

    modality_norm: bool = False
    """Layer norms per modality. SSC shares them."""
    modality_scale: bool = False
    """SSC Eq. 13-15: class embeddings per modality scale every block's two residuals (row V3)."""
    image_embedding: bool = False
    """SSC: two convolutions per modality in front."""
    specific_encoders: bool = False
    """Row V1 of SSC: one encoder per modality; the decoder is shared."""
    pretrained: Name | None = None
    """A checkpoint file to start from, ImageNet's Swin or the released network: see `networks.pretrained`."""
    pretrained_sha256: Digest | None = None
    """SHA-256 that the file must have."""
    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""

    @abstractmethod
    def load_from(self, path: str, network: Network) -> dict[str, Any]:
        """Fill the network from a checkpoint file; what was loaded, as JSON values.

        Raises InputError for a file that can't be read, or is of another network.
        """

    def load_pretrained(self, network: Network) -> dict[str, Any] | None:
        """Fill the network from the file that `pretrained` names, if any. Raises what `load_from` raises."""
        return None if self.pretrained is None else self.load_from(self.pretrained, network)

    def settings(self, modalities: tuple[str, ...], classes: int, width: int, spatial_dims: int) -> BlockSettings:
        """What the blocks have in common; `width` is that of the class embeddings."""
        scale_from = (classes, width) if self.modality_scale else None
        return BlockSettings(modalities, spatial_dims, self.modality_norm, scale_from)

    def modality_parts(
        self, settings: BlockSettings, channels: int
    ) -> tuple[ClassEmbeddings | None, ImageEmbedding | None]:
        """What a network owns besides its blocks, where the config asks for it."""
        names = settings.modalities
        embeddings = None if settings.scale_from is None else ClassEmbeddings(names, *settings.scale_from)
        return embeddings, ImageEmbedding(names, channels, settings.spatial_dims) if self.image_embedding else None

    def encoder(self, settings: BlockSettings, build: Callable[[BlockSettings], nn.Module]) -> nn.Module:
        """One encoder for all modalities, or one for each (row V1 of SSC) in front of one decoder for all."""
        if not self.specific_encoders:
            return build(settings)
        return PerModality({name: build(settings.of(name)) for name in settings.modalities})


class TokenNorm(ModalityNorm):
    """`ModalityNorm` for tokens, whose channels are last."""

    def forward(self, x: Tokens, groups: Groups) -> Tokens:
        """Same shape as `x`; moving the axes copies nothing."""
        return super().forward(x.movedim(-1, 1), groups).movedim(1, -1)


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., ECCV 2016): in training, leaves a residual out for a `rate` of the images.

    What remains is divided by 1 - rate, so that the mean stays.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tokens) -> Tokens:
        """Same shape as `x`."""
        if not self.training or self.rate == 0:
            return x
        precise = torch.promote_types(x.dtype, torch.float32)  # bfloat16 rounds 1 / (1 - rate) by up to 0.4 %
        keep = x.new_empty(len(x), *[1] * (x.ndim - 1), dtype=precise).bernoulli_(1 - self.rate)
        return (x * (keep / (1 - self.rate))).to(x.dtype)


class MLP(nn.Module):
    """FFN: to `ratio` times the channels, GELU, and back."""

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, ratio * channels)
        self.fc2 = nn.Linear(ratio * channels, channels)

    def forward(self, x: Tokens) -> Tokens:
        """Same shape as `x`."""
        return self.fc2(F.gelu(self.fc1(x)))


class TransformerBlock(nn.Module):
    """SSC Eq. 14-15. With `own_query=False` it is the first block of nnFormer's decoder stages, see `forward`."""

    def __init__(
        self,
        settings: BlockSettings,
        channels: int,
        heads: int,
        window: Sequence[int],
        shifted: bool,
        drop_path: float,
        own_query: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = settings.norm(channels)
        self.attention = settings.attention(channels, heads, window, shifted, own_query)
        self.scale1 = settings.scale(channels)
        self.norm2 = settings.norm(channels)
        self.mlp = MLP(channels)
        self.scale2 = settings.scale(channels)
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Tokens, groups: Groups, embeddings: ClassEmbeddings | None = None, skip: Tokens | None = None
    ) -> Tokens:
        """Same shape as `x`. With a `skip` (nnFormer): LN(x) asks, LN(skip) answers, and both are the residual."""
        asking = self.norm1(x, groups)
        if skip is None:
            attended = self.attention(asking)
        else:
            attended = self.attention(self.norm1(skip, groups), asking)
            x = x + skip
        x = x + self.drop_path(_scaled(attended, self.scale1, embeddings, groups))
        return x + self.drop_path(_scaled(self.mlp(self.norm2(x, groups)), self.scale2, embeddings, groups))


def _scaled(x: Tokens, scale: ModalityScale | None, embeddings: ClassEmbeddings | None, groups: Groups) -> Tokens:
    if scale is None or embeddings is None:
        return x
    return scale.scaled(x, embeddings, groups)


class Stage(nn.Module):
    """Blocks at one resolution; the windows of every second one are shifted.

    With `skip_attention` the first block attends to a skip (nnFormer's decoder).
    """

    def __init__(
        self,
        settings: BlockSettings,
        channels: int,
        heads: int,
        window: Sequence[int],
        drop_path: Sequence[float],
        skip_attention: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(
                settings, channels, heads, window, number % 2 == 1, rate, own_query=number > 0 or not skip_attention
            )
            for number, rate in enumerate(drop_path)
        )

    def forward(
        self, x: Tokens, groups: Groups, embeddings: ClassEmbeddings | None, skip: Tokens | None = None
    ) -> Tokens:
        """Same shape as `x`."""
        for block in self.blocks:
            x = block(x, groups, embeddings, skip)
            skip = None
        return x


def rising_drop_path(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """The drop path of each block by stage: from 0 in the first to `rate` in the last, in equal steps."""
    rates = [float(r) for r in torch.linspace(0, rate, sum(depths), device="cpu")]
    return [[rates.pop(0) for _ in range(depth)] for depth in depths]


def per_axis(name: str, value: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """One number for each axis from one for all, or from as many as there are. Raises InputError for any other."""
    values = (value,) * spatial_dims if isinstance(value, int) else tuple(value)
    if len(values) != spatial_dims:
        raise InputError(f"{name}: expected one number, or one for each of {spatial_dims} axes; got {value}")
    return values
