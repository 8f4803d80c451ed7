"""CMC: cross-modality collaboration (Zhou, Sun, Deng, Chu, Dou; MICCAI 2024), semi-supervised, as the paper says it.

    L = L_sup + L_CSC + L_CAC

L_sup is Dice and cross-entropy of the labeled images. L_CSC, on labeled and unlabeled ones, draws "corresponding
channels" of the modalities' features together; L_CAC, on unlabeled ones, their predictions ("anatomical-similar
consistency", `methods.anatomy`). Awareness and fusion are in the network (`networks.fusion`). The paper's text names
cosine similarity and the Dice coefficient and prints no formula; these are reconstructed:

    vec    L_CSC = 1 - mean_k cos(vec F_a^k, vec F_b^k)                    of image i with image i, then the mean
    gap    L_CSC = 1 - cos(g_a, g_b),       g^k = the mean of F^k over positions and images
    gram   L_CSC = 1 - mean_k cos(G_a^k, G_b^k),   G^kl = cos(vec F^k, vec F^l) over all positions and images, l != k

with F (batch, K channels, *spatial). "vec" compares place by place and so needs co-registered images, which batches of
`unpaired train` never hold: each modality's patients and places are drawn independently. For images of different people
positions have to be summed over. A channel's mean is one number, and of two numbers a cosine is only the sign; so "gap"
has one cosine, of all K of them. "gram" keeps one per channel: channels correspond if they relate to all others alike.
(A channel's cosine with itself is 1 in every image: counted, it would hide how the rest differs.)

For N modalities L_CSC and L_CAC are means over all pairs. Cosines of unit vectors u at linear cost, exactly:

    sum_{i<j} <u_i, u_j> = (|sum_i u_i|^2 - sum_i |u_i|^2) / 2

The released code is another method, with a shared CNN, and its two terms train nothing: see `methods.cmc_released`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.configs import Name, NotNegative
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.anatomical_consistency import compared_outputs, consistency_of
from unpaired.methods.anatomy import CAUTION, AnatomyConfig
from unpaired.methods.losses import in_full_precision
from unpaired.methods.method import Method, Objective
from unpaired.methods.ramp import Ramp
from unpaired.methods.running_maps import RunningMaps
from unpaired.methods.supervised import SegmentationTerms, labeled_outputs, supervised_terms
from unpaired.networks.network import Network
from unpaired.shapes import Features, Scalar

CSCForm = Literal["gram", "gap", "vec"]
SMALLEST_NORM = 1e-6
"""A channel shorter than this has no direction: its cosines are 0, and so is what it would teach."""


@dataclass(frozen=True)
class CMCConfig(SegmentationTerms):
    """CMC with the recommended reading of what the paper leaves open."""

    csc_weight: NotNegative = 1.0
    """The weight of L_CSC; the paper's sum has none, which is 1."""
    cac_weight: NotNegative = 1.0
    """The weight of L_CAC."""
    layer: Name = "neck"
    """The feature map of L_CSC: what encoders return, before awareness. SAM-Med3D: "neck"; a U-Net of five stages:
    "encoder5"."""
    csc: CSCForm = "gram"
    """How L_CSC compares channels: by their relations to each other ("gram"), their means ("gap") or place by place
    ("vec")."""
    csc_labeled: bool = True
    """Whether L_CSC takes labeled images too. The authors (issue 17 of their code) mean it for unlabeled ones, and name
    labeled ones as future work; of an all-labeled modality labeled ones stand for those."""
    anatomy: AnatomyConfig = field(default_factory=AnatomyConfig)
    """How L_CAC compares predictions."""
    ramp: Ramp = field(default_factory=Ramp)
    """When in training both terms come in, and how quickly."""

    def build(self, network: Network, classes: int) -> "CMC":
        """Raises InputError if `network` lacks the feature map `layer`, or `anatomy` can't compare so many classes."""
        self.anatomy.require_classes(classes)
        network.require_features([self.layer], "layer")
        return CMC(network, self)


class CMC(Method):
    """CMC's objective: the supervised terms, channel consistency ("csc") and anatomical consistency ("cac")."""

    takes_unlabeled = True

    def __init__(self, network: Network, config: CMCConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.running = RunningMaps(config.anatomy.momentum) if config.anatomy.momentum else None
        self.needs_unlabeled = config.cac_weight > 0
        self.caution = CAUTION if config.cac_weight else ""

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The whole objective. Before the ramp begins, and without unlabeled images, "cac" is 0; so is "csc" before it,
        and without unlabeled images where labeled ones don't count (`csc_labeled`).

        Labeled and unlabeled images go through the network one after the other and share one backward pass.
        """
        config = self.config
        labeled = labeled_outputs(self.network, batches)
        supervised = supervised_terms(labeled, batches, config)
        factor = config.ramp.factor(progress)
        csc = cac = supervised.loss.new_zeros(())
        if factor and (config.csc_weight or config.cac_weight):
            compared = compared_outputs(self.network, batches)
            cac = consistency_of(compared, config.anatomy, cac, self.running)
            seen = [of for of in ((labeled, compared) if config.csc_labeled else (compared,)) if of]
            if seen:
                features = {name: torch.cat([of[name].features[config.layer] for of in seen]) for name in labeled}
                csc = channel_consistency(features, config.csc)
        loss = supervised.loss + factor * (config.csc_weight * csc + config.cac_weight * cac)
        return Objective(loss, {**supervised.terms, "csc": csc, "cac": cac})


def channel_consistency(features: Mapping[str, Features], form: CSCForm) -> Scalar:
    """L_CSC of {modality: feature maps} in [0, 2], the mean over pairs of modalities; computed in float32 at least.

    Zero with fewer than two modalities. Raises InputError for form "vec" with images that don't pair.
    """
    some = next(iter(features.values()))
    if len(features) < 2:
        return some.new_zeros(())
    if form == "vec" and len({tuple(F.shape) for F in features.values()}) > 1:
        shapes = {name: tuple(F.shape) for name, F in features.items()}
        raise InputError(
            f"csc 'vec' compares image i with image i, got feature maps of shapes {shapes}; give co-registered "
            "images in equal numbers, or choose gram or gap"
        )
    directions = {"vec": _by_image, "gap": _of_means, "gram": _of_profiles}[form]
    with torch.autocast(some.device.type, enabled=False):
        return 1 - mean_pair_cosine(torch.stack([directions(in_full_precision(F)) for F in features.values()]))


def mean_pair_cosine(units: Float[Tensor, "modality row entry"]) -> Scalar:
    """The mean over rows and pairs of modalities of <u_i, u_j>, at linear cost in the modalities; for unit vectors."""
    N = len(units)
    crossed = units.sum(dim=0).square().sum(dim=-1) - units.square().sum(dim=(0, 2))
    return crossed.mean() / (N * (N - 1))


def unit(rows: Float[Tensor, "*which entry"]) -> Float[Tensor, "*which entry"]:
    """Rows of length 1. One too short to have a direction keeps its length, about 0, and a gradient of its own size."""
    squared = rows.square().sum(dim=-1, keepdim=True)
    short = squared < SMALLEST_NORM**2
    return rows / squared.masked_fill(short, 1.0).sqrt()


def _by_image(F: Features) -> Float[Tensor, "row entry"]:
    return unit(F.flatten(2)).flatten(0, 1)


def _of_means(F: Features) -> Float[Tensor, "1 channel"]:
    return unit(F.flatten(2).mean(dim=(0, 2)).unsqueeze(0))


def _of_profiles(F: Features) -> Float[Tensor, "channel channel"]:
    channels = unit(F.movedim(1, 0).flatten(1))
    return unit((channels @ channels.mT).fill_diagonal_(0))
