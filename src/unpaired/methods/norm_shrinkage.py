"""Norms that differ as far as labels pay for it: each modality's are drawn toward the mean of all, around any method.

A norm per modality is free to fit what few labels there are of a scarce one, and shared norms can't fit any modality
well. Between the two lies shrinkage, with g_m the scales and shifts of modality m in all norms of the network:

    L = L_method + lambda sum_m || g_m - g ||^2 / P,   g = mean_m g_m     P: scales and shifts of a modality

lambda = 0 leaves norms alone, a large one makes them one norm whose statistics are each modality's own. Ours; a ridge
penalty on the difference of tasks is multi-task learning's oldest (Evgeniou and Pontil, KDD 2004).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unpaired.configs import NotNegative
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.around import Around
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.networks.network import Network
from unpaired.shapes import Scalar


@dataclass(frozen=True)
class NormShrinkageConfig(MethodConfig):
    """`method` and a penalty on what norms of modalities differ by."""

    method: MethodConfig
    weight: NotNegative = 1.0
    """lambda. Scales begin at 1 and shifts at 0, alike in all modalities."""

    def build(self, network: Network, classes: int) -> "NormShrinkage":
        """Raises InputError for a network without norms of several modalities, and as `method` does."""
        if not norm_vectors(network):
            raise InputError(
                "NormShrinkageConfig: the network has no norms that differ between modalities; train two or more, with "
                "modality_norm"
            )
        return NormShrinkage(self.method.build(network, classes), self)


class NormShrinkage(Around):
    """The objective of another method and the term "norms"."""

    def __init__(self, method: Method, config: NormShrinkageConfig) -> None:
        super().__init__(method)
        self.config = config
        self.needs_unlabeled, self.takes_unlabeled = method.needs_unlabeled, method.takes_unlabeled

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The other method's objective and lambda times what norms differ by."""
        return self.method(batches, progress).plus("norms", self.config.weight, norm_differences(self.network))


def norm_differences(network: Network) -> Scalar:
    """sum_m || g_m - g ||^2 / P over all scales and shifts that each modality has; 0 where they are alike."""
    vectors = norm_vectors(network)
    squares = [(g - g.mean(dim=0)).square().sum() for g in (torch.stack(of) for of in vectors)]
    return torch.stack(squares).sum() / sum(len(of[0]) for of in vectors)


def norm_vectors(network: Network) -> list[list[Tensor]]:
    """For each scale and shift of a norm the vectors of all modalities, where two modalities or more have their own.

    Told by names such as "stem.norm.by_modality.ct.weight", and by the scale's one axis: a modality's own convolution
    has a bias too, which is no shift of a norm.
    """
    vectors: dict[str, list[Tensor]] = {}
    parameters = dict(network.named_parameters())
    for name, parameter in parameters.items():
        before, _, of = name.rpartition(".by_modality.")
        modality, _, kind = of.partition(".")
        scale = parameters.get(f"{before}.by_modality.{modality}.weight")
        if modality in network.modalities and kind in ("weight", "bias") and scale is not None and scale.ndim == 1:
            vectors.setdefault(f"{before}.{kind}", []).append(parameter)
    return [of for of in vectors.values() if len(of) > 1]
