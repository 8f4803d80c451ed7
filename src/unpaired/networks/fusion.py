"""What CMC puts between encoders and decoders (Zhou et al., MICCAI 2024): awareness per modality, then one fusion.

    F_mia^m = F^m + C3(softmax(C2(F^m + C1(F^m))))                    modality-independent awareness (MIA)
    U       = G(mean over m of F_mia^m)                               the fusion layer, one for all modalities
    F_out^m = F_mia^m + U                                             what modality m's decoder gets

The paper prints no formula; this is its figure. Left open and decided here: C1 is a convolution of 3 along every axis,
C2 and C3 are of 1; the softmax is over channels, as the channel attention in the released code; G is convolution, group
norm, ReLU, convolution. The released code concatenates two modalities; a mean is that with equal weights for both, and
serves any number.

The mean is over the modalities of one pass, image i of one with image i of each other. A lone modality, as in
prediction, is its own mean: it is fused with itself. With partners a prediction depends on who they are, though they
are other patients; alone it doesn't. Slices and volumes alike.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F

from unpaired.errors import InputError, nearest
from unpaired.networks.blocks import CONVOLUTIONS
from unpaired.networks.modality_layers import Groups, ModalityNorm, modality_modules, split_by_modality
from unpaired.shapes import Features

Partners = Literal["paired", "alone"]


class Awareness(nn.Module):
    """Modality-independent awareness (MIA) of one modality: its feature maps, each channel weighed by an attention."""

    def __init__(self, channels: int, spatial_dims: int = 3) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[spatial_dims]
        self.convolution1 = convolution(channels, channels, 3, padding=1)
        self.convolution2 = convolution(channels, channels, 1)
        self.convolution3 = convolution(channels, channels, 1)

    def forward(self, x: Features) -> Features:
        """Same shape as `x`."""
        attention = self.convolution2(x + self.convolution1(x)).softmax(dim=1)
        return x + self.convolution3(attention)


class Fusion(nn.Module):
    """MIA for each modality and the fusion layer that all share. `partners` is of Partners:

    "paired": fuses the modalities of one pass, which then have equally many images; "alone": each with itself, always.
    Raises InputError for any other word.
    """

    def __init__(self, modalities: Sequence[str], channels: int, partners: str, spatial_dims: int = 3) -> None:
        super().__init__()
        if partners not in get_args(Partners):
            raise InputError(f"fusion {partners!r} is not known; {nearest(partners, list(get_args(Partners)))}")
        self.paired = partners == "paired"
        self.awareness = modality_modules({name: Awareness(channels, spatial_dims) for name in modalities})
        convolution = CONVOLUTIONS[spatial_dims]
        self.convolution1 = convolution(channels, channels, 3, padding=1)
        self.norm = ModalityNorm("group", channels, modalities, spatial_dims, shared=True, eps=1e-5)
        self.convolution2 = convolution(channels, channels, 3, padding=1)

    def forward(self, x: Features, groups: Groups) -> tuple[Features, Features]:
        """(F_mia, F_out), both of the shape of `x`, whose batch axis holds the modalities of `groups`.

        Raises InputError for modalities with different numbers of images where they are to be paired.
        """
        aware = torch.cat([self.awareness[name](part) for name, part in split_by_modality(x, groups).items()])
        return aware, aware + self._fused(aware, groups)

    def _fused(self, aware: Features, groups: Groups) -> Features:
        counts = set(groups.values())
        if not self.paired or len(groups) == 1:
            return self._layer(aware, groups)
        if len(counts) > 1:
            raise InputError(
                f"a paired fusion needs as many images of each modality in one step, got {dict(groups)}; use one batch "
                'size, or fusion="alone"'
            )
        (count,) = counts
        mean = aware.unflatten(0, (len(groups), count)).mean(0)
        return self._layer(mean, {next(iter(groups)): count}).repeat(len(groups), *[1] * (aware.ndim - 1))

    def _layer(self, x: Features, groups: Groups) -> Features:
        return self.convolution2(F.relu(self.norm(self.convolution1(x), groups)))
