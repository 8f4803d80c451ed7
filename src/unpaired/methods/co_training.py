"""Co-training across modalities, after Zhu, Yang, Zhang, Chan, Ng, Ooi ("Semi-supervised unpaired multi-modal learning
for label-efficient medical image segmentation", MICCAI 2021), without its adversarial translation.

There two networks S^a and S^b, one for each modality, are trained with two more that translate images, G^{a->b} and
G^{b->a} (CycleGAN). The paper's equations and code are not public; its abstract and figure say which losses there are:

    L_seg   labeled images of a modality, and labeled images of the other translated into it
    L_sc    semantic consistency: S^a of an image and S^b of its translation say the same
    L_cot   co-training: on unlabeled images each teaches the other by pseudo-labels, class-balanced

Adversarial translation stays out of this package, so here nothing is learned to translate: T^{a->b} gives an image the
amplitudes that an image of b has at the lowest frequencies, and keeps its phases, thus where things are (FDA: Yang,
Soatto, CVPR 2020). What the paper leaves to us besides: L_sc is the symmetric Kullback-Leibler divergence,

    L_sc = mean over voxels of 1/2 [ KL(p || q) + KL(q || p) ],   p = S^m(x),  q = S^n(T^{m->n}(x)),

and class-balanced is that of each class that one of the two finds, the same share of voxels becomes labels for the
other, the surest ones (as CBST: Zou et al., ECCV 2018), by cross-entropy without gradient to who teaches.
With more than two modalities each image is translated into one other, drawn anew in every step.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unpaired.configs import NotNegative, Share
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.losses import cross_entropy, in_full_precision
from unpaired.methods.method import Method, Objective
from unpaired.methods.ramp import Ramp
from unpaired.methods.supervised import SegmentationTerms, labeled_outputs, supervised_terms
from unpaired.methods.unlabeled import unlabeled_images
from unpaired.methods.weak_to_strong import with_unknown
from unpaired.networks.network import Network, NetworkOutput
from unpaired.shapes import Images, LabelMap, Logits, Scalar


@dataclass(frozen=True)
class CoTrainingConfig(SegmentationTerms):
    """Supervised terms, also on translated images, semantic consistency, and co-training on unlabeled images.

    Both S of the paper are networks of their own: `IndependentNetworksConfig`. One network whose modalities share
    kernels does as well.
    """

    translated_weight: NotNegative = 1.0
    """Of L_seg on translated labeled images; in the paper they count like the others."""
    consistency_weight: NotNegative = 1.0
    """Of L_sc, summed over modalities."""
    co_training_weight: NotNegative = 0.5
    """Of L_cot, summed over modalities."""
    ramp: Ramp = field(default_factory=lambda: Ramp(begin=0.3, length=0.2))
    """Of L_cot: who has learned nothing yet has nothing to teach."""
    portion: Share = 0.5
    """The share of the voxels of each class that become pseudo-labels."""
    band: Share = 0.02
    """Frequencies up to this, in cycles per voxel along each axis, get the other modality's amplitudes."""

    def build(self, network: Network, classes: int) -> "CoTraining":
        """Raises InputError for a network of one modality: it has nothing to be trained with."""
        if len(network.modalities) < 2:
            raise InputError(
                "CoTrainingConfig: expected at least two modalities that train each other, got "
                f"{', '.join(network.modalities)}; train with SupervisedConfig, or WeakToStrongConfig around it"
            )
        return CoTraining(network, self)


class CoTraining(Method):
    """Terms "dice/<modality>" and "ce/<modality>", and sums over the modalities: "translated_dice", "translated_ce",
    "consistency" and, of unlabeled images, "co_training"."""

    needs_unlabeled = True
    takes_unlabeled = True
    sums = ("translated_dice", "translated_ce", "co_training")

    def __init__(self, network: Network, config: CoTrainingConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The whole objective; of a step with one modality alone, its supervised terms."""
        outputs = labeled_outputs(self.network, batches)
        objective = supervised_terms(outputs, batches, self.config)
        targets = drawn_targets(list(batches))
        if not targets:
            return objective
        images = {name: batch.images for name, batch in batches.items()}
        translated = self.translate(images, images, targets)
        objective = self._with_translated_labels(objective, translated, batches)
        apart = [divergence(outputs[name].logits, translated[name]) for name in targets]
        if unlabeled := unlabeled_images(batches):
            seen = {name: output.logits for name, output in self.network(unlabeled).items()}
            others = self.translate(unlabeled, images, targets)
            apart += [divergence(logits, others[name]) for name, logits in seen.items()]
            taught = [co_training(logits, others[name], self.config.portion) for name, logits in seen.items()]
            factor = self.config.co_training_weight * self.config.ramp.factor(progress)
            objective = objective.plus("co_training", factor, torch.stack(taught).sum())
        return objective.plus("consistency", self.config.consistency_weight, torch.stack(apart).sum())

    def translate(
        self, images: Mapping[str, Images], styles: Mapping[str, Tensor], targets: Mapping[str, str]
    ) -> dict[str, Logits]:
        """What is said of each modality's images, translated into its target and segmented as that."""
        given: dict[str, Images] = {}
        for name, x in images.items():
            style = styles[targets[name]]
            chosen = torch.randint(len(style), (len(x),)).to(style.device)
            given[targets[name]] = with_amplitudes_of(style[chosen], x, self.config.band)
        outputs = self.network(given)
        return {name: outputs[targets[name]].logits for name in images}

    def _with_translated_labels(
        self, objective: Objective, translated: Mapping[str, Logits], batches: Mapping[str, Batch]
    ) -> Objective:
        outputs = {name: NetworkOutput(logits, {}) for name, logits in translated.items()}
        terms = supervised_terms(outputs, batches, replace(self.config, deep_supervision=())).terms
        for kind, weight in (("dice", self.config.dice_weight), ("ce", self.config.cross_entropy_weight)):
            together = torch.stack([terms[f"{kind}/{name}"] for name in translated]).sum()
            objective = objective.plus(f"translated_{kind}", self.config.translated_weight * weight, together)
        return objective


def drawn_targets(modalities: Sequence[str]) -> dict[str, str]:
    """Into which modality the images of each are translated: each into another, none twice. Empty for one alone."""
    count = len(modalities)
    if count < 2:
        return {}
    shift = int(torch.randint(1, count, ()))
    return {name: modalities[(number + shift) % count] for number, name in enumerate(modalities)}


def with_amplitudes_of(style: Images, images: Images, band: float) -> Images:
    """T: `images` with the amplitudes of `style` at frequencies up to `band` along every axis, and their own phases.

    Both have the same shape. FDA's Eq. 3, with a band in cycles per voxel instead of a share of the image's shorter
    side. Frequency 0 is always within it: the mean of `style` as it is. FDA's images have no values below 0 and
    so means of one sign; of a z-score the amplitude alone would take dark for bright.
    """
    x, of = in_full_precision(images), in_full_precision(style)
    axes = tuple(range(2, x.ndim))
    with torch.autocast(x.device.type, enabled=False):
        spectrum = torch.fft.fftn(x, dim=axes)
        low = _low_frequencies(x.shape[2:], band).to(x.device)
        ratio = torch.fft.fftn(of, dim=axes).abs() / spectrum.abs().clamp(min=1e-12)
        mixed = torch.fft.ifftn(spectrum * torch.where(low, ratio, torch.ones_like(ratio)), dim=axes).real
        mixed = mixed - mixed.mean(axes, keepdim=True) + of.mean(axes, keepdim=True)
    return mixed.to(images.dtype)


def _low_frequencies(size: Sequence[int], band: float) -> Tensor:
    """Which frequencies of an image of this size lie within the band along every axis."""
    within = [torch.fft.fftfreq(length).abs() <= band for length in size]
    return torch.stack(torch.meshgrid(*within, indexing="ij")).all(dim=0)


def divergence(logits: Logits, others: Logits) -> Scalar:
    """L_sc: the symmetric Kullback-Leibler divergence of two answers, the mean over voxels; 0 for equal ones."""
    log_p, log_q = (in_full_precision(x).log_softmax(dim=1) for x in (logits, others))
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1).mean() / 2


def co_training(logits: Logits, others: Logits, portion: float) -> Scalar:
    """L_cot of one modality: each answer's surest voxels are labels for the other."""
    label_sets = with_unknown(logits.shape[1], logits.device)
    return cross_entropy(others, surest(logits, portion), label_sets, "none") + cross_entropy(
        logits, surest(others, portion), label_sets, "none"
    )


@torch.no_grad()
def surest(logits: Logits, portion: float) -> LabelMap:
    """The likeliest class of the surest voxels of each class, that share of the batch's; C (unknown) elsewhere."""
    sure, labels = in_full_precision(logits).softmax(dim=1).max(dim=1)
    known = torch.zeros_like(labels, dtype=torch.bool)
    for number in range(logits.shape[1]):
        of_class = labels == number
        values = sure[of_class]
        kept = math.ceil(portion * len(values))
        if kept:
            known |= of_class & (sure >= values.topk(kept).values[-1])
    return labels.masked_fill(~known, logits.shape[1])
