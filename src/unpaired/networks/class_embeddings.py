"""The parts of a network that SSC makes modality-specific (Yang et al., MIDL 2023): class embeddings, the channel-wise
scale that they give to every residual output of a shared Transformer block, and the image embedding in front of it all.

Per modality m, E^m holds one learnable vector for each of the N classes. In a layer l with C_l channels (SSC App. B.1):

    w^m = W_agg^T E^m,   w_l^m = w^m P_l                                                              (SSC Eq. 13)
    x'     = x  + diag(w_l1^m) MSA(LN(x))                                                             (SSC Eq. 14)
    x_next = x' + diag(w_l2^m) FFN(LN(x'))                                                            (SSC Eq. 15)

The formulas are lost; this is what the prose says. `ModalityScale` is diag(w_l^m): a block has two.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.networks.blocks import CONVOLUTIONS
from unpaired.networks.modality_layers import Groups, modality_modules, through_own
from unpaired.networks.precision import without_autocast
from unpaired.shapes import Images

ClassVectors = Float[Tensor, "class width"]


class ClassEmbeddings(nn.Module):
    """E^m: for each modality a learnable vector of `width` numbers per class, drawn from normal(0, 0.02)."""

    def __init__(self, modalities: Sequence[str], classes: int, width: int) -> None:
        super().__init__()
        self.classes, self.width = classes, width
        self.by_modality = modality_modules({name: _Vectors(classes, width) for name in modalities})

    def forward(self, modality: str) -> ClassVectors:
        """The modality's class vectors, row i for class i; a KeyError for a modality it was not built for."""
        return self.by_modality[modality]()


class _Vectors(nn.Module):
    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self) -> ClassVectors:
        return self.weight


class ModalityScale(nn.Module):
    """diag(w_l^m) of SSC Eq. 13: one factor per channel of a layer, from the modality's class embeddings.

    Every modality has its own W_agg (begins as the mean over the classes) and its own P_l, which begins with weight 0
    and bias 1: the first factors are exactly 1, so that training starts at the network without the scale (V3 at V2).
    With `shared=True` all modalities share both; then the modality-level consistency (Eq. 10), which makes the
    embeddings equal, also makes the factors equal and takes from the network what this module is for.
    """

    def __init__(
        self, modalities: Sequence[str], classes: int, width: int, channels: int, shared: bool = False
    ) -> None:
        super().__init__()

        def build() -> nn.Module:
            return _AggregateAndProject(classes, width, channels)

        self.shared = build() if shared else None
        self.by_modality = nn.ModuleDict() if shared else modality_modules({name: build() for name in modalities})

    def vector(self, embeddings: ClassEmbeddings, modality: str) -> Float[Tensor, " channel"]:
        """w_l^m, whatever autocast lowers. A constant once training is over: it can be folded into the linear layer
        before it."""
        layer = self.by_modality[modality] if self.shared is None else self.shared
        vectors = embeddings(modality)
        with without_autocast(vectors.device):  # bfloat16 has no number between 1 and 1 + 1 / 128
            return layer(vectors)

    def forward(self, embeddings: ClassEmbeddings, groups: Groups) -> Float[Tensor, "row channel"]:
        """The factors of each image of a batch that holds the modalities of `groups` one after the other.

        One row per image, or a single row for all of them where there is one modality; see `scaled`.
        """
        vectors = [self.vector(embeddings, modality) for modality in groups]
        if len(vectors) == 1:
            return vectors[0].unsqueeze(0)
        return torch.cat([v.expand(count, -1) for v, count in zip(vectors, groups.values(), strict=True)])

    def scaled(
        self, x: Float[Tensor, "batch *tokens channel"], embeddings: ClassEmbeddings, groups: Groups
    ) -> Float[Tensor, "batch *tokens channel"]:
        """`x`, whose LAST axis holds the channels, times the factors of each image (SSC Eq. 14-15).

        In the factors' precision: rounded to the bfloat16 that autocast makes of `x`, a value times 1.001 is itself.
        """
        factors = self(embeddings, groups)
        return x * factors.reshape(len(factors), *[1] * (x.ndim - 2), -1)


class _AggregateAndProject(nn.Module):
    def __init__(self, classes: int, width: int, channels: int) -> None:
        super().__init__()
        self.aggregate = nn.Linear(classes, 1, bias=False)
        self.project = nn.Linear(width, channels)
        nn.init.constant_(self.aggregate.weight, 1 / classes)
        nn.init.zeros_(self.project.weight)
        nn.init.ones_(self.project.bias)

    def forward(self, vectors: ClassVectors) -> Float[Tensor, " channel"]:
        return self.project(self.aggregate(vectors.T).squeeze(1))


class ImageEmbedding(nn.Module):
    """SSC's modality-specific image embedding: two convolutions per modality that keep resolution and channels.

    Kernel 3 along every axis, ReLU between them, no norm; the paper says no more than "two consecutive convolutional
    layers, making the resolution and dimension of the inputs unchanged".
    """

    def __init__(self, modalities: Sequence[str], channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.by_modality = modality_modules({name: _TwoConvolutions(channels, spatial_dims) for name in modalities})

    def forward(self, x: Images, groups: Groups) -> Images:
        """Same shape as `x`, whose batch axis holds the modalities of `groups` one after the other."""
        return through_own(self.by_modality, x, groups)


class _TwoConvolutions(nn.Module):
    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.first, self.second = (CONVOLUTIONS[spatial_dims](channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Images) -> Images:
        return self.second(F.relu(self.first(x)))
