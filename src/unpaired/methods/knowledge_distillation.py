"""UMMKD: unpaired multi-modal segmentation via knowledge distillation (Dou, Liu, Heng, Glocker; IEEE TMI 2020).

Kernels are shared and norms are not; what the modalities must agree on is which classes they confuse. For each class
the logits of its voxels are averaged over the batch and softened; stacked over the classes these are a soft confusion
matrix, and the matrices of the modalities are drawn together in both directions. As in the released code:

    z̄_c = sum_{b,x}(z g_c) / (sum_{b,x} g_c + 1e-6),   q_c = softmax(z̄_c / T),   T = 2
    L_kd = (1 / C) sum_c 1/2 [ KL(q_c^1 || q_c^2) + KL(q_c^2 || q_c^1) ]
    L = sum_m (L_dice^m + L_ce^m) + 0.5 L_kd

No factor T^2, gradients in both directions, background is one of the C classes. For more than two modalities L_kd is
the mean over all pairs, at linear cost:

    sum_{i != j} KL(q_i || q_j) = N sum_i <q_i, log q_i> - <sum_i q_i, sum_j log q_j>
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unpaired.configs import NotNegative, Positive
from unpaired.data.batch import Batch
from unpaired.methods.losses import in_full_precision, one_hot
from unpaired.methods.method import Method, Objective
from unpaired.methods.supervised import SegmentationTerms, labeled_outputs, supervised_terms
from unpaired.networks.network import Network
from unpaired.shapes import Logits, Scalar

SMALLEST_COUNT = 1e-6
"""Added to a class's voxel count, as released: an absent class gets mean logits of 0."""


@dataclass(frozen=True)
class KnowledgeDistillationConfig(SegmentationTerms):
    """Row UMMKD. `clip=0.005` makes the cross-entropy the released one too."""

    weight: NotNegative = 0.5
    """The weight of L_kd in the loss."""
    temperature: Positive = 2.0
    """T: mean logits are divided by it before the softmax."""
    absent: Literal["skip", "uniform"] = "skip"
    """A class that a modality's batch lacks: not compared and not counted ("skip"), or compared as the uniform q that
    mean logits of 0 give, which pulls the other modality toward knowing nothing ("uniform", as released)."""

    def build(self, network: Network, classes: int) -> "KnowledgeDistillation":
        """Needs no feature map."""
        return KnowledgeDistillation(network, self)


class KnowledgeDistillation(Method):
    """Supervised terms, plus the agreement of all pairs of modalities on their soft confusion matrices."""

    def __init__(self, network: Network, config: KnowledgeDistillationConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The whole objective; the terms are those of `supervised_terms` and "kd"."""
        outputs = labeled_outputs(self.network, batches)
        supervised = supervised_terms(outputs, batches, self.config)
        logits = {modality: output.logits for modality, output in outputs.items()}
        distillation = distillation_loss(logits, batches, self.config)
        return supervised.plus("kd", self.config.weight, distillation)


def distillation_loss(
    logits: Mapping[str, Logits], batches: Mapping[str, Batch], config: KnowledgeDistillationConfig
) -> Scalar:
    """L_kd: the mean over all (pair of modalities, class) of the symmetric KL between soft confusion rows.

    `logits` is {modality: logits}. Zero where no class is in two modalities ("skip"), or with one modality. Computed in
    float32 at least: the sums over voxels pass what float16 can hold.
    """
    some_logits = next(iter(logits.values()))
    with torch.autocast(some_logits.device.type, enabled=False):
        means, present = zip(
            *(class_mean_logits(logits[modality], batch) for modality, batch in batches.items()), strict=True
        )
        log_q = (torch.stack(means) / config.temperature).log_softmax(dim=-1)
        counted = torch.stack(present) if config.absent == "skip" else torch.ones_like(torch.stack(present))
        return mean_symmetric_divergence(log_q, counted)


def class_mean_logits(logits: Logits, batch: Batch) -> tuple[Float[Tensor, "class class"], Bool[Tensor, " class"]]:
    """z̄: row c is the mean logit vector over the voxels of class c in the batch, and whether there are any.

    A voxel whose label stands for several classes is in none of them.
    """
    z = in_full_precision(logits).flatten(2)
    g = one_hot(batch.label_map, batch.label_sets).to(z.dtype).flatten(2)
    voxels = g.sum(dim=(0, 2))
    return torch.einsum("bcv,bkv->ck", g, z) / (voxels + SMALLEST_COUNT).unsqueeze(1), voxels > 0


def mean_symmetric_divergence(
    log_q: Float[Tensor, "modality row outcome"], counted: Bool[Tensor, "modality row"]
) -> Scalar:
    """The mean over all (pair i < j, row) of 1/2 [KL(q_i || q_j) + KL(q_j || q_i)], at linear cost in the modalities.

    `log_q` are log-probabilities over the last axis; a row is compared between the modalities that `counted` marks.
    Zero where there is nothing to compare.
    """
    counts = counted.unsqueeze(-1)
    N = counted.sum(dim=0).to(log_q.dtype)

    def apart(x: Tensor) -> Tensor:
        """What each modality has more than the mean over those that count; 0 where it doesn't count."""
        mean = (x * counts).sum(dim=0) / N.clamp(min=1).unsqueeze(-1)
        return (x - mean) * counts

    # sum over pairs of <q_i - q_j, log q_i - log q_j> = N sum over i of <q_i - mean q, log q_i - mean log q>: no
    # difference of large numbers where modalities are alike.
    over_pairs = N * (apart(log_q.exp()) * apart(log_q)).sum(dim=(0, 2))
    pairs = N * (N - 1) / 2
    return over_pairs.sum() / 2 / pairs.sum().clamp(min=1)
