"""SSC: structured semantic consistency (Yang, Zhu, Wang, Li, Zhang; MIDL 2023).

One Transformer segments all modalities. From outside, an External Attention Module per modality (EAM, Eq. 1-8, in
`networks.external_attention`) asks the network's feature maps at three scales where each class is, starting from
learnable class embeddings E^m; its answers are supervised, and what the modalities must agree on is how their classes
look on the whole (E^m) and how the classes of an image relate to each other (R). No code was published and the formulas
are lost in every copy of the text; these are reconstructed from its prose:

    L_aux = sum_s [ CE + DSC ]( f_s(F^s_s), Y )                                                         (SSC Eq. 9)
    L_mod = (1 / N) sum_i || e_i^a - e_i^b ||_2^2                                                       (SSC Eq. 10)
    L_img = sum_s (1 / N) sum_i 1/2 [ KL(p_i^a || p_i^b) + KL(p_i^b || p_i^a) ],  p = softmax(r / tau)  (SSC Eq. 11)
    L = L_seg^a + L_seg^b + L_aux^a + L_aux^b + lambda_1 L_mod + lambda_2 L_img                         (SSC Eq. 12)

Eq. 13-15, the channel scale that class embeddings give to a block, are `networks.class_embeddings`: where the network
has such embeddings this method uses them, else its own. Only the network predicts; the EAMs are dropped.

For more than two modalities L_mod and L_img are means over all pairs at linear cost, the paper's open problem:

    sum_{i<j} |e_i - e_j|^2 = M sum_i |e_i - mean|^2
    sum_{i!=j} KL(p_i || p_j) = M sum_i <p_i, log p_i> - <sum_i p_i, sum_j log p_j>
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.configs import Names, NotNegative, Positive, Width
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.knowledge_distillation import mean_symmetric_divergence
from unpaired.methods.label_mapping import LabelMapping
from unpaired.methods.losses import in_full_precision, one_hot, soft_dice_loss
from unpaired.methods.method import Method, Objective
from unpaired.methods.supervised import (
    SegmentationTerms,
    labeled_outputs,
    segmentation_cross_entropy,
    supervised_terms,
)
from unpaired.networks.class_embeddings import ClassEmbeddings
from unpaired.networks.external_attention import Correlations, EAMConfig, ExternalAttention, ScaleOutput, head_counts
from unpaired.networks.network import Network, NetworkOutput
from unpaired.shapes import LINEAR, Logits, Scalar

CLASS_DISTANCE = "class_distance"
"""The log's name for the distance of one class in SSC Eq. 10."""


@dataclass(frozen=True)
class SSCConfig(SegmentationTerms):
    """SSC with the recommended reading of what the text leaves open.

    Row Baseline and the Joint rows without CR: `modality_weight=0, image_weight=0`. The paper's weights and its
    temperature are lost; all weights are 1 here.
    """

    scales: Names = ("decoder3", "decoder2", "decoder1")
    """The feature maps that the EAM reads, from the coarsest to the finest: the paper's are those of Swin-Unet's
    decoder at H/16, H/8 and H/4. Any network's names will do; so will any number of them."""
    auxiliary_weight: NotNegative = 1.0
    """The factor of L_aux of every modality. At 1 its six losses (two at each of three scales) have 3 to 4 times the
    gradient of the supervised terms while the EAM is young: `unpaired diagnose` says how it is in a run."""
    modality_weight: NotNegative = 1.0
    """lambda_1 of SSC Eq. 12, the weight of L_mod."""
    image_weight: NotNegative = 1.0
    """lambda_2 of SSC Eq. 12, the weight of L_img."""
    temperature: Positive = 0.1
    """tau of SSC Eq. 11. Its value is lost; the text says that results rise with it and then fall. Rows of R lie in
    [0, 1], so at 1 and above the distributions are nearly uniform and L_img hardly counts."""
    attention: EAMConfig = field(default_factory=EAMConfig)
    """What the paper leaves open inside the EAM (Eq. 1-8)."""
    embedding_width: Width | None = None
    """Width of the method's own class embeddings; None: the channels of the first scale. Not used where the network
    has class embeddings."""
    distance: Literal["squared", "absolute", "cosine"] = "squared"
    """Eq. 10 between e_i^a and e_i^b: the squared length, the sum of absolute differences, or 1 - cosine."""
    background: bool = True
    """Whether background is one of the classes that Eq. 10 and 11 compare. The EAM always has it: Eq. 9 needs it."""
    absent: Literal["compare", "skip"] = "compare"
    """Eq. 11 for a class that one of the two images lacks: compared all the same, as the text has it, or left out."""
    image_scales: Literal["all", "first"] = "all"
    """The scales of Eq. 11; one sentence of the text speaks of the first alone."""
    auxiliary_grid: Literal["labels", "features"] = "labels"
    """Eq. 9: predictions brought to the label map's size (linear), or label maps to theirs (the voxel in a
    cell's middle; cheaper)."""
    label_mapping: Annotated[int, Meta(ge=0, le=255)] | None = None
    """None: a label of several classes counts by the sum of their probabilities, everywhere. Else the number of such
    labels in the dataset: in the cross-entropy of Eq. 9 a learned row then says how much a label speaks for each of its
    classes. See `methods.label_mapping`."""

    def build(self, network: Network, classes: int) -> "SSC":
        """Raises InputError if `scales` names a feature map that `network` lacks, or `attention.heads` don't fit it."""
        network.require_features(self.scales, "scales")
        channels = network.feature_channels(self.scales)
        heads = head_counts(channels) if self.attention.heads is None else self.attention.heads
        if len(heads) != len(channels) or any(c % h for h, c in zip(heads, channels, strict=True)):
            raise InputError(
                f"attention.heads: expected one number for each scale that divides its channels {tuple(channels)}, "
                f"got {heads}; take {head_counts(channels)}"
            )
        return SSC(network, classes, self, channels)


class SSC(Method):
    """Supervised terms, the EAM's auxiliary predictions, and the two consistency terms between modalities."""

    def __init__(self, network: Network, classes: int, config: SSCConfig, channels: Sequence[int]) -> None:
        """`channels` of the feature maps `config.scales`."""
        super().__init__()
        self.network = network
        self.config = config
        self.embeddings = None
        if network_embeddings(network) is None:
            self.embeddings = ClassEmbeddings(network.modalities, classes, config.embedding_width or channels[0])
        predicts, compares = config.auxiliary_weight > 0, config.image_weight > 0
        reach = len(channels) if predicts or config.image_scales == "all" else 1
        self.scales = config.scales[:reach] if predicts or compares else ()
        correlates = [compares and (config.image_scales == "all" or number == 0) for number in range(reach)]
        mapped = config.label_mapping is not None and predicts
        self.label_mapping = LabelMapping(classes, config.label_mapping or 0) if mapped else None
        width = self.class_embeddings.width
        self.attention = nn.ModuleDict(
            {
                modality: ExternalAttention(
                    classes, width, channels[: len(self.scales)], config.attention, predicts, correlates
                )
                for modality in network.modalities
                if self.scales
            }
        )

    @property
    def class_embeddings(self) -> ClassEmbeddings:
        """E^m: the network's where it has them, else the method's own."""
        embeddings = self.embeddings if self.embeddings is not None else network_embeddings(self.network)
        assert embeddings is not None  # `__init__` makes some where the network has none
        return embeddings

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """SSC Eq. 12; the terms are those of `supervised_terms`, "aux/<modality>", "mod" and "img" (if weighted).

        Only looked at: "class_distance/<class>", what each class (by its number) adds to Eq. 10, weighted or not.
        """
        outputs = labeled_outputs(self.network, batches)
        supervised = supervised_terms(outputs, batches, self.config)
        weighted: dict[str, tuple[float, Tensor]] = {}
        with torch.autocast(supervised.loss.device.type, enabled=False):
            attended = {modality: self.attend(output, modality) for modality, output in outputs.items() if self.scales}
            if self.config.auxiliary_weight > 0:
                for modality, scales in attended.items():
                    loss = auxiliary_loss(scales, batches[modality], self.config, self.label_mapping)
                    weighted[f"aux/{modality}"] = self.config.auxiliary_weight, loss
            vectors = [self.class_embeddings(modality) for modality in batches]
            if self.config.modality_weight > 0:
                weighted["mod"] = self.config.modality_weight, modality_consistency(vectors, self.config)
            if self.config.image_weight > 0:
                weighted["img"] = self.config.image_weight, image_consistency(attended, batches, self.config)
        loss = torch.stack([supervised.loss, *(weight * term for weight, term in weighted.values())]).sum()
        terms = supervised.terms | {name: term for name, (_, term) in weighted.items()}
        with torch.no_grad():
            distances = class_distances(vectors, self.config).unbind()
        return Objective(loss, terms | {f"{CLASS_DISTANCE}/{number}": value for number, value in enumerate(distances)})

    def attend(self, output: NetworkOutput, modality: str) -> list[ScaleOutput]:
        """What the modality's EAM says of the network's output, scale by scale; in full precision."""
        maps = [in_full_precision(output.features[name]) for name in self.scales]
        return self.attention[modality](self.class_embeddings(modality), maps)


def auxiliary_loss(
    scales: Sequence[ScaleOutput], batch: Batch, config: SSCConfig, label_mapping: LabelMapping | None = None
) -> Scalar:
    """L_aux of one modality (SSC Eq. 9): cross-entropy and soft Dice of the EAM's prediction, summed over the scales.

    A label that stands for several classes counts as in the segmentation loss, or as `label_mapping` has learned.
    """
    mapping = None if label_mapping is None else label_mapping(batch.label_sets)
    losses: list[Tensor] = []
    for scale in scales:
        assert scale.prediction is not None
        logits, label_map = _on_one_grid(scale.prediction, batch, config)
        dice = soft_dice_loss(logits, label_map, batch.label_sets)
        ce = segmentation_cross_entropy(logits, label_map, batch.label_sets, config, mapping)
        losses += [dice, ce]
    return torch.stack(losses).sum()


def _on_one_grid(prediction: Logits, batch: Batch, config: SSCConfig) -> tuple[Tensor, Tensor]:
    size, grid = batch.label_map.shape[1:], prediction.shape[2:]
    if config.auxiliary_grid == "labels":
        return F.interpolate(prediction, size=size, mode=LINEAR[len(grid)], align_corners=False), batch.label_map
    label_map = F.interpolate(batch.label_map.unsqueeze(1).to(torch.float32), size=grid, mode="nearest-exact")
    return prediction, label_map.squeeze(1).to(batch.label_map.dtype)


def modality_consistency(vectors: Sequence[Float[Tensor, "class width"]], config: SSCConfig) -> Scalar:
    """L_mod (SSC Eq. 10): the mean over classes and over all pairs of modalities of the distance of their embeddings.

    Zero for one modality.
    """
    return class_distances(vectors, config)[0 if config.background else 1 :].mean()


def class_distances(vectors: Sequence[Float[Tensor, "class width"]], config: SSCConfig) -> Float[Tensor, " class"]:
    """The distance in SSC Eq. 10 of each class with background: between its embeddings, the mean over all pairs of
    modalities. Zeros for one modality."""
    E = in_full_precision(torch.stack(list(vectors)))
    M = len(E)
    match config.distance:
        case "squared":
            over_pairs = M * (E - E.mean(dim=0)).square().sum(dim=(0, 2))
        case "absolute":  # of the sorted values the k-th is larger than k others and smaller than M - 1 - k
            ranks = torch.arange(M, device=E.device, dtype=E.dtype)
            larger = (2 * ranks - (M - 1)).reshape(-1, 1, 1)
            over_pairs = (larger * E.sort(dim=0).values).sum(dim=(0, 2))  # no product that autocast would lower
        case "cosine":
            units = F.normalize(E, dim=-1)
            over_pairs = (M * units.square().sum(dim=(0, 2)) - units.sum(dim=0).square().sum(dim=1)) / 2
    return over_pairs / max(M * (M - 1) / 2, 1)


def image_consistency(
    attended: Mapping[str, Sequence[ScaleOutput]], batches: Mapping[str, Batch], config: SSCConfig
) -> Scalar:
    """L_img (SSC Eq. 11): the symmetric KL between rows of R, of the k-th image of each modality with the k-th of each
    other that has as many; the mean over classes, images and all pairs of modalities, summed over the scales.

    Zero where there is nothing to compare. Images beyond the second largest batch have no partner and take no part.
    """
    first = 0 if config.background else 1
    images = max(len(batch.label_map) for batch in batches.values())
    compared = (_compared(batch, config)[:, first:] for batch in batches.values())
    counted = torch.stack([_filled_up(classes, images) for classes in compared]).flatten(1)
    losses: list[Tensor] = []
    for of_scale in zip(*(attended[modality] for modality in batches), strict=True):
        matrices = [scale.correlations for scale in of_scale if scale.correlations is not None]
        if matrices:
            log_p = torch.stack([_filled_up(correlation_distributions(R, config), images) for R in matrices])
            losses.append(mean_symmetric_divergence(log_p.flatten(1, 2), counted))
    return torch.stack(losses).sum()


def _filled_up(of_images: Tensor, images: int) -> Tensor:
    """Rows of zeros (False) for the images that a smaller batch lacks: nobody is compared with them."""
    return torch.cat([of_images, of_images.new_zeros(images - len(of_images), *of_images.shape[1:])])


def correlation_distributions(R: Correlations, config: SSCConfig) -> Float[Tensor, "batch row row"]:
    """log p of SSC Eq. 11: each row of R softened by the temperature, over the classes that are compared."""
    first = 0 if config.background else 1
    return (R[:, first:, first:] / config.temperature).log_softmax(dim=-1)


def _compared(batch: Batch, config: SSCConfig) -> Bool[Tensor, "batch class"]:
    """Which rows of each image's R are compared: all, or those of classes that the image certainly has."""
    if config.absent == "compare":
        shape = len(batch.label_map), batch.label_sets.shape[1]
        return torch.ones(shape, dtype=torch.bool, device=batch.label_map.device)
    return one_hot(batch.label_map, batch.label_sets).flatten(2).any(dim=2)


def network_embeddings(network: Network) -> ClassEmbeddings | None:
    """The network's own class embeddings, which scale its blocks (SSC Eq. 13-15), or None."""
    embeddings = getattr(network, "class_embeddings", None)
    return embeddings if isinstance(embeddings, ClassEmbeddings) else None
