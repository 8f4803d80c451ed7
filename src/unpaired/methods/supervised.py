"""Supervised training of one network on several modalities: rows Single, Joint and MSBN of CSA, and the first four
terms of every other method.

CSA Eq. 5 without its last term, for any number of modalities m:

    L = alpha * sum_m L_dice^m + beta * sum_m L_ce^m                                                     (CSA Eq. 5)

The rows differ in the network only: `IndependentNetworksConfig` is Single, a norm shared by all modalities is Joint,
a norm per modality is MSBN.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.losses import ClassWeighting, cross_entropy, soft_dice_loss
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.networks.network import Network, NetworkOutput


@dataclass(frozen=True)
class SegmentationTerms(MethodConfig):
    """The supervised part of a method. The papers leave the form of both losses open: see `unpaired.losses`."""

    dice_weight: float = 1.0
    """alpha of CSA Eq. 5."""
    cross_entropy_weight: float = 1.0
    """beta of CSA Eq. 5."""
    class_weighting: ClassWeighting = "frequency"
    clip: float | None = None
    """Lower bound of the true class's probability inside the cross-entropy; 0.005 in the released code of UMMKD."""

    def check(self) -> None:
        """Raise InputError for a class weighting that doesn't exist, or a clip that is no probability."""
        check_choice("class_weighting", self.class_weighting, ("frequency", "none"))
        if self.clip is not None and not 0 < self.clip < 1:
            raise InputError(f"clip: expected a probability between 0 and 1, or none; got {self.clip}")


@dataclass(frozen=True)
class SupervisedConfig(SegmentationTerms):
    """Rows Single, Joint, MSBN."""

    def build(self, network: Network, classes: int) -> "Supervised":
        """Needs no feature map. Raises InputError for a field's value that is not known."""
        self.check()
        return Supervised(network, self)


class Supervised(Method):
    """Dice and cross-entropy of every modality, summed."""

    def __init__(self, network: Network, config: SupervisedConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """CSA Eq. 5 with lambda = 0."""
        outputs = self.network({modality: batch.images for modality, batch in batches.items()})
        return supervised_terms(outputs, batches, self.config)


def supervised_terms(
    outputs: Mapping[str, NetworkOutput], batches: Mapping[str, Batch], config: SegmentationTerms
) -> Objective:
    """alpha * sum_m L_dice^m + beta * sum_m L_ce^m; terms "dice/<modality>" and "ce/<modality>", without weights."""
    terms = {}
    for modality, batch in batches.items():
        logits = outputs[modality].logits
        terms[f"dice/{modality}"] = config.dice_weight, soft_dice_loss(logits, batch.label_map, batch.label_sets)
        terms[f"ce/{modality}"] = (
            config.cross_entropy_weight,
            cross_entropy(logits, batch.label_map, batch.label_sets, config.class_weighting, config.clip),
        )
    loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
    return Objective(loss, {name: term.detach() for name, (_, term) in terms.items()})


def check_choice(field: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise InputError unless a method's field holds one of the values it knows."""
    if value not in allowed:
        raise InputError(f"{field}: expected one of {', '.join(allowed)}; got {value!r}")
