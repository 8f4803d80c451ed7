"""Supervised training of one network on several modalities: rows Single, Joint and MSBN of CSA, and the first four
terms of every other method.

CSA Eq. 5 without its last term, for any number of modalities m:

    L = alpha * sum_m L_dice^m + beta * sum_m L_ce^m                                                     (CSA Eq. 5)

The rows differ in the network only: `IndependentNetworksConfig` is Single, a norm shared by all modalities is Joint,
a norm per modality is MSBN.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from unpaired.configs import NotNegative
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.losses import ClassWeighting, MeanOver, cross_entropy, soft_dice_loss
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.networks.network import Network, NetworkOutput, coarser_names
from unpaired.shapes import LabelMap, LabelSets, Logits, Scalar


@dataclass(frozen=True)
class SegmentationTerms(MethodConfig):
    """The supervised part of a method. The papers leave the form of both losses open: see `unpaired.methods.losses`."""

    dice_weight: NotNegative = 1.0
    """alpha of CSA Eq. 5, the weight of Dice."""
    cross_entropy_weight: NotNegative = 1.0
    """beta of CSA Eq. 5, the weight of the cross-entropy."""
    class_weighting: ClassWeighting = "frequency"
    clip: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Lower bound of the true class's probability inside the cross-entropy; 0.005 in the released code of UMMKD."""
    cross_entropy_mean: MeanOver = "labeled"
    """Which voxels the cross-entropy is the mean over: "labeled" leaves ignored regions out; "all" counts them as 0, as
    the released code of UMMKD does with label 5 of its MM-WHS records."""
    deep_supervision: tuple[NotNegative, ...] = ()
    """Weights of both losses at full, half, quarter, ... resolution, for a network that gives logits of these in
    training as features "logits/2", "logits/4", ... (`UNetConfig.deep_supervision`). Empty: by halves for all that it
    gives, as nnU-Net and nnFormer have them (`halving_weights`): (4 / 7, 2 / 7, 1 / 7) for two. Resolutions
    that are left out have weight 0: (1.0,) is full resolution alone. Only labels are compared with coarser logits;
    terms without labels are of full resolution."""


@dataclass(frozen=True)
class SupervisedConfig(SegmentationTerms):
    """Dice and cross-entropy alone: rows Single, Joint and MSBN, which differ in the network."""

    def build(self, network: Network, classes: int) -> "Supervised":
        """Needs no feature map."""
        return Supervised(network, self)


class Supervised(Method):
    """Dice and cross-entropy of every modality, summed."""

    def __init__(self, network: Network, config: SupervisedConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The whole objective: CSA Eq. 5 with lambda = 0."""
        outputs = labeled_outputs(self.network, batches)
        return supervised_terms(outputs, batches, self.config)


def labeled_outputs(network: Network, batches: Mapping[str, Batch]) -> dict[str, NetworkOutput]:
    """What the network makes of the labeled images of each modality; with gradient."""
    return network({modality: batch.images for modality, batch in batches.items()})


def supervised_terms(
    outputs: Mapping[str, NetworkOutput], batches: Mapping[str, Batch], config: SegmentationTerms
) -> Objective:
    """alpha * sum_m L_dice^m + beta * sum_m L_ce^m; terms "dice/<modality>" and "ce/<modality>", without weights.

    With deep supervision a term is its weighted sum over the resolutions. Raises InputError if the network lacks one of
    those that have a weight.
    """
    terms: dict[str, tuple[float, Tensor]] = {}
    for modality, batch in batches.items():
        dice: list[Tensor] = []
        ce: list[Tensor] = []
        weights = resolution_weights(outputs[modality], config.deep_supervision)
        for weight, logits, labels in resolutions(outputs[modality], batch.label_map, weights):
            dice.append(weight * soft_dice_loss(logits, labels, batch.label_sets))
            ce.append(weight * segmentation_cross_entropy(logits, labels, batch.label_sets, config))
        terms[f"dice/{modality}"] = config.dice_weight, torch.stack(dice).sum()
        terms[f"ce/{modality}"] = config.cross_entropy_weight, torch.stack(ce).sum()
    loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
    return Objective(loss, {name: term for name, (_, term) in terms.items()})


def segmentation_cross_entropy(
    logits: Logits, labels: LabelMap, label_sets: LabelSets, config: SegmentationTerms, mapping: Tensor | None = None
) -> Scalar:
    """The cross-entropy with the weighting, clip and mean of `config`; see `losses.cross_entropy`."""
    return cross_entropy(
        logits, labels, label_sets, config.class_weighting, config.clip, mapping, config.cross_entropy_mean
    )


def halving_weights(resolutions: int) -> tuple[float, ...]:
    """Weights of so many resolutions, the finest first: each half of the one before, their sum 1 (nnU-Net's)."""
    halves = [0.5**level for level in range(resolutions)]
    return tuple(weight / sum(halves) for weight in halves)


def resolution_weights(output: NetworkOutput, given: Sequence[float]) -> tuple[float, ...]:
    """Weights of all resolutions of an output: those given, and 0 for coarser ones that these leave out, as processes
    that train together need a gradient for every head; by halves where none are given."""
    count = 1 + len(coarser_logits(output))
    return (*given, *[0.0] * (count - len(given))) if given else halving_weights(count)


def coarser_logits(output: NetworkOutput) -> list[str]:
    """The names of the coarser logits that a network gave, the finest first; none without deep supervision."""
    return [name for name in coarser_names(len(output.features)) if name in output.features]


def resolutions(
    output: NetworkOutput, label_map: LabelMap, weights: Sequence[float]
) -> Iterator[tuple[float, Logits, LabelMap]]:
    """(weight, logits, label map) at full resolution, and for each further weight at half of the one before.

    Label maps are brought to the size of the logits, which may be halved along some axes only, by the nearest voxel.
    Raises InputError for logits that the network doesn't give.
    """
    yield weights[0], output.logits, label_map
    for weight, name in zip(weights[1:], coarser_names(len(weights) - 1), strict=True):
        if name not in output.features:
            raise InputError(
                f"deep_supervision {tuple(weights)}: the network has no feature {name!r}; give fewer weights (none: as "
                "many as it has), or a network that has it (a U-Net or nnFormer with deep_supervision=True)"
            )
        logits = output.features[name]
        nearest = F.interpolate(label_map.unsqueeze(1).float(), logits.shape[2:], mode="nearest-exact").squeeze(1)
        yield weight, logits, nearest.to(label_map.dtype)
