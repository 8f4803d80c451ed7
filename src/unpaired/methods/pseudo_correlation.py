"""GIN and IPA (Ouyang et al., "Causality-inspired single-source domain generalization for medical image segmentation",
IEEE TMI 2022): what a network says of an image is to stay when its contrast changes, and changes from place to place.

Each image is seen in several views, each through a random network of its own (GIN, `data.randomization`). That a tissue
and what surrounds it change together would still be a hint, so the first two views are blended by a smooth random map
b (IPA, interventional pseudo-correlation augmentation), one the other way round than the other:

    x_1 = b T_1(x) + (1 - b) T_2(x),   x_2 = (1 - b) T_1(x) + b T_2(x),   x_3 = T_3(x)
    L = L_seg(x_1) + lambda sum_m D(p_1, ..., p_V),   D = 1/V sum_k KL( (p_1 + ... + p_V) / V || p_k )

b is a quadratic B-spline through Gaussian control points, brought to 0..1 within each image. The divergence is that of
AugMix (Hendrycks et al., ICLR 2020), which Xu et al. (RandConv, ICLR 2021) and the released code use, with its order.

Images without labels have no L_seg, but D all the same: here they may take part, which the paper has no use for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from unpaired.configs import Count, NotNegative
from unpaired.data.batch import Batch
from unpaired.data.randomization import Randomization, random_convolutions
from unpaired.data.smooth_maps import smooth_map
from unpaired.methods.losses import in_full_precision
from unpaired.methods.method import Method, Objective
from unpaired.methods.supervised import SegmentationTerms, supervised_terms
from unpaired.methods.unlabeled import unlabeled_images
from unpaired.networks.network import Network, NetworkOutput
from unpaired.shapes import Images, Logits, Scalar


@dataclass(frozen=True)
class PseudoCorrelationConfig(SegmentationTerms):
    """Dice and cross-entropy of views of each image, and the agreement of what the network says of them.

    All images are randomized, whatever the recipe's `randomization` says; leave that at its defaults.
    """

    weight: NotNegative = 10.0
    """lambda, of the sum over modalities."""
    views: Annotated[int, Meta(ge=2, le=8)] = 3
    """V. A step costs as many passes; the first two are blended."""
    supervised_views: Count = 1
    """Views that L_seg is the mean over; 1 in the released code."""
    spacing: Count = 48
    """Voxels between two control points of b; a quarter of the image in the released code."""
    randomization: Randomization = field(default_factory=Randomization)
    """The random networks of GIN; which samples are randomized is no question here."""

    def build(self, network: Network, classes: int) -> "PseudoCorrelation":
        """Needs no feature map."""
        return PseudoCorrelation(network, self)


class PseudoCorrelation(Method):
    """Supervised terms, "views/<modality>" and, for modalities with unlabeled images, "unlabeled_views/<modality>"."""

    takes_unlabeled = True

    def __init__(self, network: Network, config: PseudoCorrelationConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The whole objective."""
        outputs = self.look({name: batch.images for name, batch in batches.items()})
        objective = self.supervised(outputs, batches)
        unlabeled = unlabeled_images(batches)
        outputs_unlabeled = self.look(unlabeled) if unlabeled else {}
        for term, of in (("views", outputs), ("unlabeled_views", outputs_unlabeled)):
            for name, output in of.items():
                objective = objective.plus(f"{term}/{name}", self.config.weight, self.disagreement(output))
        return objective

    def look(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """What the network makes of all views of each modality's images in one pass: first views first."""
        return self.network({name: torch.cat(views(x, self.config)) for name, x in images.items()})

    def supervised(self, outputs: Mapping[str, NetworkOutput], batches: Mapping[str, Batch]) -> Objective:
        """L_seg and its terms: the labels of an image are those of its views."""
        count = min(self.config.supervised_views, self.config.views)
        repeated = {
            name: batch._replace(label_map=torch.cat([batch.label_map] * count)) for name, batch in batches.items()
        }
        seen = {name: first_images(outputs[name], len(batch.label_map)) for name, batch in repeated.items()}
        return supervised_terms(seen, repeated, self.config)

    def disagreement(self, output: NetworkOutput) -> Scalar:
        """D of a modality's views."""
        return divergence(output.logits.chunk(self.config.views))


def first_images(output: NetworkOutput, count: int) -> NetworkOutput:
    """The output for the first images of a batch."""
    return NetworkOutput(output.logits[:count], {name: maps[:count] for name, maps in output.features.items()})


def views(images: Images, config: PseudoCorrelationConfig) -> list[Images]:
    """The views of each image: x_1 and x_2, blended, and further ones as they are. From torch's global random state."""
    seen: list[Images] = []
    for _ in range(config.views):
        numbers = torch.randint(2**31, (len(images),)).tolist()
        seen.append(random_convolutions(images, numbers, config.randomization))
    b = blend_maps(len(images), images.shape[2:], config.spacing).to(images)
    first, second = seen[:2]
    return [b * first + (1 - b) * second, (1 - b) * first + b * second, *seen[2:]]


def blend_maps(count: int, size: Sequence[int], spacing: int) -> Tensor:
    """b of so many images, (count, 1, *size), each from 0 to 1; from torch's global random state."""
    maps = [smooth_map(size, spacing) for _ in range(count)]
    return torch.stack([(b - b.min()) / (b.max() - b.min()).clamp(min=1e-6) for b in maps]).unsqueeze(1)


def divergence(views: Sequence[Logits]) -> Scalar:
    """D: the mean over voxels of the divergence of each view's probabilities from their mean; 0 for equal views."""
    log_p = torch.stack([in_full_precision(logits).log_softmax(dim=1) for logits in views])
    mean = log_p.exp().mean(dim=0, keepdim=True)
    log_mean = mean.clamp(min=1e-7).log()
    return (mean * (log_mean - log_p)).sum(dim=2).mean()
