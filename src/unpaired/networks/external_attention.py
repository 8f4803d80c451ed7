"""The External Attention Module of SSC (Yang et al., MIDL 2023): what one modality's class embeddings find in the
feature maps of its images, at several scales, in 2D and 3D. It trains the network from outside; prediction lacks it.

At scale s: feature maps F (C_s channels, L positions), class embeddings E (N classes), H heads of d = C_s / H channels.
The paper's formulas are lost in every copy of its text; these are reconstructed from the prose around them:

    S = softmax_positions(Q K^T / sqrt(d)),  Q = E W_Q,  K = F W_K,  V = F W_V                          (SSC Eq. 1)
    CA(E, F) = S V                                                                                      (SSC Eq. 2)
    MCA(E, F) = Concat(CA_1, ..., CA_H) W_O                                                             (SSC Eq. 3)
    E'    = E + MCA(LN(E), F)                                                                           (SSC Eq. 4)
    E_hat = E' + FFN(LN(E')), reduced to the channels of the next scale, where it takes E's place       (SSC Eq. 5)
    M_ij = Conv(F^s_j; kernel e_i W_i)                                        semantic filtering        (SSC Eq. 6)
    G_i  = softmax_j(M_i) ⊙ F^s                                               semantic re-weighting     (SSC Eq. 7)
    r_i[j] = normalized sum of G_ij over heads and positions,  R = [r_1 ... r_N]   aggregation          (SSC Eq. 8)

F^s are the semantic-aware maps: S of all heads, a group of H maps for each class. Choices are fields of `EAMConfig`.

Speed. Keys and values are never made: Q K^T = (Q W_K^T) F and S V = (S F) W_V cost N H C_s L instead of C_s^2 L, and
N H is 60 where C_s is 384. G is never made either: the sum over heads comes first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.configs import Config, Width
from unpaired.shapes import Features

SemanticMaps = Literal["logits", "attention", "scaled"]
Embeddings = Float[Tensor, "#batch class width"]
HeadMaps = Float[Tensor, "batch head class position"]
Correlations = Float[Tensor, "batch class class"]


@dataclass(frozen=True)
class EAMConfig(Config):
    """The recommended reading of what the paper's prose leaves open, with the alternatives."""

    heads: Annotated[tuple[Width, ...], Meta(min_length=1)] | None = None
    """Heads of each scale; they must divide its channels. None: one per 32 channels (12, 6 and 3 for Swin-Unet, as its
    decoder has), and up to 3 where there are fewer channels."""
    divide_by_sqrt_d: bool = True
    """Eq. 1: scaled dot products, as in the attention that the paper builds on; its text doesn't say."""
    norm: Literal["pre", "post", "none"] = "pre"
    """Eq. 4-5: layer norm before attention and FFN, after each sum, or nowhere."""
    update: Literal["mlp", "linear", "none"] = "mlp"
    """Eq. 5: an MLP four times as wide with GELU, one linear layer (both on a residual path), or E_hat = E'."""
    filtered: SemanticMaps = "scaled"
    """What Eq. 6 filters. "attention" is S, as the prose has it: its entries are about 1 / L, so all gates stay at
    1 / N and R at uniform; "scaled" is L S, with mean 1; "logits" is Q K^T / sqrt(d)."""
    kernel_norm: bool = True
    """Eq. 6: layer norm on e_i before W_i (False: e_i as it is, of length 0.02 sqrt(C) at first, so that kernels and
    gates hardly depend on it)."""
    divide_by_sqrt_heads: bool = False
    """Eq. 6: divide the response by sqrt(H)."""
    gate: Literal["classes", "positions"] = "classes"
    """Eq. 7: softmax over the N class groups at each position, or over the positions."""
    aggregation: Literal["l1", "heads", "l2"] = "l1"
    """Eq. 8: each row divided by its sum; by H (each entry then is a mean gate, in (0, 1)); or by its length."""
    auxiliary: SemanticMaps = "logits"
    """What the auxiliary prediction (Eq. 9) is made of; "attention" is the literal one, with entries about 1 / L."""


class ScaleOutput(NamedTuple):
    """What the EAM says of a batch at one scale."""

    attention: Float[Tensor, "batch _ class _"]
    """S (batch, head, class, position), which sums to 1 over the positions."""
    prediction: Float[Tensor, "batch class ..."] | None
    """f_s(F^s) of SSC Eq. 9: class logits on the grid of the feature map; None where they are not supervised."""
    correlations: Correlations | None
    """R of SSC Eq. 8 (batch, class, class): how each class relates to the others; None where nobody compares it."""


class ExternalAttention(nn.Module):
    """The EAM of one modality over all scales, from the coarsest to the finest."""

    def __init__(
        self,
        classes: int,
        width: int,
        channels: Sequence[int],
        config: EAMConfig,
        predicts: bool = True,
        correlates: Sequence[bool] | None = None,
    ) -> None:
        """`width` of the class embeddings; `channels` of each scale's feature maps.

        Only what is used gets weights: predictions (`predicts`), correlations of the scales that `correlates` marks
        (None: all), and no update of the embeddings after the last scale.
        """
        super().__init__()
        correlates = [True] * len(channels) if correlates is None else correlates
        heads = head_counts(channels) if config.heads is None else config.heads
        self.scales = nn.ModuleList()
        for number, (c, h, correlated) in enumerate(zip(channels, heads, correlates, strict=True), start=1):
            last = number == len(channels)
            self.scales.append(_Scale(classes, width, c, h, config, not last, predicts, correlated))
            width = c

    def forward(self, embeddings: Float[Tensor, "class width"], features: Sequence[Tensor]) -> list[ScaleOutput]:
        """`embeddings` are E of the modality; `features` its feature maps (batch, channel, *spatial) at each scale,
        in the order of `channels`."""
        outputs: list[ScaleOutput] = []
        of_images: Tensor = embeddings.unsqueeze(0)
        for scale, maps in zip(self.scales, features, strict=True):
            output, of_images = scale(of_images, maps)
            outputs.append(output)
        return outputs


class _Scale(nn.Module):
    def __init__(
        self,
        classes: int,
        width: int,
        channels: int,
        heads: int,
        config: EAMConfig,
        updates: bool,
        predicts: bool,
        correlates: bool,
    ) -> None:
        super().__init__()
        self.config, self.heads = config, heads
        self.reduce = nn.Linear(width, channels) if width != channels else nn.Identity()
        self.norm = nn.LayerNorm(channels) if config.norm == "pre" else nn.Identity()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.update = _Update(channels, config) if updates else None
        self.predict = nn.Linear(heads, 1, bias=False) if predicts else None
        if self.predict is not None:
            nn.init.constant_(self.predict.weight, 1 / heads)
        self.filters = _Filters(classes, channels, heads, config) if correlates else None

    def forward(self, embeddings: Embeddings, maps: Features) -> tuple[ScaleOutput, Tensor]:
        E = self.reduce(embeddings)
        positions = maps.flatten(2)
        logits = self._logits(self.norm(E), positions)
        attention = logits.softmax(dim=-1)  # SSC Eq. 1
        prediction = correlations = None
        if self.predict is not None:
            head_maps = _semantic_maps(self.config.auxiliary, logits, attention)
            prediction = torch.einsum("h,bhnp->bnp", self.predict.weight[0], head_maps).unflatten(2, maps.shape[2:])
        if self.filters is not None:
            filtered = _semantic_maps(self.config.filtered, logits, attention)
            correlations = semantic_correlations(self.filters(E), filtered, attention, self.config)
        if self.update is not None:
            E = self.update(E, attention, positions)
        return ScaleOutput(attention, prediction, correlations), E

    def _logits(self, E: Tensor, positions: Tensor) -> Tensor:
        """Q K^T / sqrt(d) of every head, (batch, head, class, position), as (Q W_K^T) F."""
        d = E.shape[-1] // self.heads
        queries = self.query(E).unflatten(-1, (self.heads, d)).movedim(-2, 1)
        if self.config.divide_by_sqrt_d:
            queries = queries / math.sqrt(d)
        towards_features = queries @ self.key.weight.unflatten(0, (self.heads, d))
        return (towards_features.flatten(1, 2) @ positions).unflatten(1, (self.heads, -1))


class _Update(nn.Module):
    """SSC Eq. 2-5: what the attention has collected makes the embeddings image-specific."""

    def __init__(self, channels: int, config: EAMConfig) -> None:
        super().__init__()
        self.post = config.norm == "post"
        self.value = nn.Linear(channels, channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        self.norm = nn.LayerNorm(channels) if self.post else nn.Identity()
        self.ffn = None
        self.ffn_norm = nn.Identity()
        if config.update != "none":
            self.ffn = nn.Linear(channels, channels) if config.update == "linear" else _mlp(channels)
            self.ffn_norm = nn.LayerNorm(channels) if config.norm != "none" else nn.Identity()

    def forward(self, E: Embeddings, attention: HeadMaps, positions: Tensor) -> Float[Tensor, "batch class width"]:
        heads = attention.shape[1]
        collected = (attention.flatten(1, 2) @ positions.mT).unflatten(1, (heads, -1))  # S F, (batch, head, class, C)
        values = collected @ self.value.weight.unflatten(0, (heads, -1)).mT  # SSC Eq. 2
        E = self.norm(E + self.output(values.movedim(1, 2).flatten(2)))  # SSC Eq. 3-4
        if self.ffn is None:
            return E
        return self.ffn_norm(E + self.ffn(E)) if self.post else E + self.ffn(self.ffn_norm(E))  # SSC Eq. 5


class _Filters(nn.Module):
    """The kernels e_i W_i of SSC Eq. 6, a matrix W_i for each class."""

    def __init__(self, classes: int, channels: int, heads: int, config: EAMConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels) if config.kernel_norm else nn.Identity()
        bound = 1 / math.sqrt(channels)
        self.weight = nn.Parameter(torch.empty(classes, channels, heads).uniform_(-bound, bound))

    def forward(self, E: Embeddings) -> Float[Tensor, "#batch class head"]:
        return torch.einsum("bic,ich->bih", self.norm(E), self.weight)


def semantic_correlations(
    kernels: Float[Tensor, "#batch class head"],
    filtered: HeadMaps,
    attention: HeadMaps,
    config: EAMConfig,
) -> Correlations:
    """R of SSC Eq. 6-8, (batch, N, N): row i is how much each class's maps answer to the kernel of class i.

    `filtered` is what Eq. 6 filters, `attention` what Eq. 7 gates and Eq. 8 sums.
    """
    classes, heads = kernels.shape[1:]
    similarity = (kernels @ filtered.flatten(2)).unflatten(2, (classes, -1))  # M, (batch, i, j, position)
    if config.divide_by_sqrt_heads:
        similarity = similarity / math.sqrt(heads)
    gates = similarity.softmax(dim=2 if config.gate == "classes" else 3)
    summed = torch.einsum("bijp,bjp->bij", gates, attention.sum(dim=1))
    match config.aggregation:
        case "l1":
            return F.normalize(summed, p=1.0, dim=-1)
        case "l2":
            return F.normalize(summed, dim=-1)
        case "heads":
            return summed / heads


def head_counts(channels: Sequence[int]) -> tuple[int, ...]:
    """Heads of each scale: the largest divisor of its channels up to one per 32 of them, but not below 3 of them."""
    return tuple(max(h for h in range(1, max(3, c // 32) + 1) if c % h == 0) for c in channels)


def _semantic_maps(kind: SemanticMaps, logits: Tensor, attention: Tensor) -> Tensor:
    return {"logits": logits, "attention": attention, "scaled": attention * attention.shape[-1]}[kind]


def _mlp(channels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
