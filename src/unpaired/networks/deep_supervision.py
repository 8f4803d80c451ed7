"""Deep supervision: a decoder's coarser stages say classes too, so that losses reach them on a short way.

As in nnU-Net (Isensee et al., Nature Methods 2021) every decoder stage but the finest, which has the network's output,
and the coarsest has a convolution of 1 from its map to logits. They are features "logits/2", "logits/4", ... of what a
network gives in training; `methods.supervised` weighs them. Prediction has no use for them and doesn't compute them.
nnFormer's, of every decoder stage, are given so too.
"""

import re
from collections.abc import Iterable, Sequence
from functools import partial

from torch import Tensor, nn

from unpaired.networks.blocks import CONVOLUTIONS, Layers
from unpaired.networks.modality_layers import Groups
from unpaired.networks.network import coarser_names
from unpaired.networks.own_stages import Stages, through

FEWEST_STAGES = 4
"""Of a U-Net; one of fewer has no decoder stage between the finest and the coarsest."""
PART = "auxiliary_outputs"
"""What a network calls its heads for coarser logits."""
_HEADS = re.compile(rf"(?:^|\.)(?:{PART}|outputs\.[1-9])\.")
"""In names of weights: a part of U-Nets, and all of nnFormer's `outputs` but the first, which predicts."""


def is_auxiliary(weight: str) -> bool:
    """Whether a weight, by its name, is of a head that serves training alone."""
    return _HEADS.search(weight) is not None


class AuxiliaryOutputs(nn.ModuleList):
    """Heads of the decoder stages from the second on; where "output" is in `own`, each modality has its own."""

    def __init__(self, own: Stages, widths: Sequence[int], classes: int) -> None:
        """`widths` are the channels of these stages' maps."""
        super().__init__(own.build("output", partial(_head, width=width, classes=classes), False) for width in widths)

    def named(self, maps: Sequence[Tensor], groups: Groups) -> dict[str, Tensor]:
        """Logits by name, from the stages' maps; nothing in evaluation mode."""
        return coarser_logits(self, maps, groups) if self.training else {}


def coarser_logits(heads: Iterable[nn.Module], maps: Iterable[Tensor], groups: Groups) -> dict[str, Tensor]:
    """What heads say of their stages' maps, by name; both begin with the finest stage."""
    logits = [through(head, x, groups) for head, x in zip(heads, maps, strict=True)]
    return dict(zip(coarser_names(len(logits)), logits, strict=True))


def _head(layers: Layers, width: int, classes: int) -> nn.Module:
    return CONVOLUTIONS[layers.spatial_dims](width, classes, 1)
