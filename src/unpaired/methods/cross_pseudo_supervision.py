"""Cross pseudo supervision, around any method (Chen, Yuan, Zeng, Wang; CVPR 2021): two networks, each taught by what
the other takes for true.

Two networks of one architecture begin with different weights; the method trains each on labeled images. On unlabeled
ones (and, as in the paper, on labeled ones too) the classes that one finds likeliest, Y, are labels for the other:

    L = L_method(1) + L_method(2) + lambda r(t) sum_m [ ce(P_1, Y_2) + ce(P_2, Y_1) ]

P are the probabilities, ce the mean over voxels of the cross-entropy, m a modality; no gradient flows through Y.
Unlabeled and labeled images each have a mean, and the two are added (the paper's L_cps^u and L_cps^l). The first
network predicts; the second is no part of the weights that are exported.

The second network is a copy of the first whose every weight tensor has its entries shuffled: a second draw from the
same initialization, whatever that is, as weights are drawn independently of each other. Tensors that begin alike, as
those of networks or encoders of each modality do, are shuffled alike. Pre-trained weights are then
loaded into both, as in the paper; frozen ones are one and the same. `init_from` fills the first alone: two networks
that begin as one have nothing to tell each other.

Norms. The images that are cross-supervised go through both networks in a pass of their own, in training mode: batch
norm normalizes them by their own statistics and its running ones are updated by both passes, first by the method's
labeled images. So the method's own terms are what they would be without unlabeled images.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unpaired.configs import NotNegative
from unpaired.data.batch import Batch
from unpaired.methods.around import Around
from unpaired.methods.losses import ClassWeighting, cross_entropy
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.methods.ramp import Ramp
from unpaired.methods.unlabeled import duplicate, image_sets
from unpaired.networks.network import Network
from unpaired.shapes import Images, Logits, Scalar


@dataclass(frozen=True)
class CrossPseudoSupervisionConfig(MethodConfig):
    """`method` twice, cross-supervised; the recipe's `unlabeled_batch_size` must be above 0."""

    method: MethodConfig
    """What trains each network on labeled images."""
    weight: NotNegative = 1.5
    """lambda: 1.5 for the paper's PASCAL VOC, 6 for its Cityscapes; public code for medical images has 0.1."""
    ramp: Ramp = field(default_factory=Ramp)
    """r. The paper has none (length=0), but begins with ImageNet's weights."""
    labeled: bool = True
    """Whether labeled images are cross-supervised too, as in the paper; costs one more pass of both networks."""
    class_weighting: ClassWeighting = "none"
    """How ce weighs classes: not ("none", as in the paper), or by the frequency of the other network's labels."""

    def build(self, network: Network, classes: int) -> "CrossPseudoSupervision":
        """Raises InputError as `method` does."""
        first = self.method.build(network, classes)
        return CrossPseudoSupervision(first, self.method.build(redrawn(network), classes), self)


class CrossPseudoSupervision(Around):
    """The terms of another method for the first network, its loss for the second as "second", and
    "cross_pseudo/<modality>", both directions together, for each modality with unlabeled images."""

    def __init__(self, method: Method, second: Method, config: CrossPseudoSupervisionConfig) -> None:
        super().__init__(method)
        self.second = second
        self.config = config

    @property
    def further_networks(self) -> tuple[Network, ...]:
        """The second network, and what both methods have besides."""
        return (*super().further_networks, self.second.network, *self.second.further_networks)

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The whole objective; if there are no unlabeled images that of the method for the first network alone."""
        loss, terms = self.method(batches, progress)
        sets = image_sets(batches, self.config.labeled)
        if not sets:
            return Objective(loss, terms)
        second = self.second(batches, progress).loss
        crossed: dict[str, Tensor] = {}
        for images in sets:
            for modality, loss_of_set in self.cross(images).items():
                name = f"cross_pseudo/{modality}"
                crossed[name] = crossed.get(name, 0) + loss_of_set
        factor = self.config.weight * self.config.ramp.factor(progress)
        loss = loss + second + factor * torch.stack(list(crossed.values())).sum()
        return Objective(loss, terms | {"second": second} | crossed)

    def cross(self, images: Mapping[str, Images]) -> dict[str, Scalar]:
        """ce(P_1, Y_2) + ce(P_2, Y_1) of each modality."""
        first, second = self.network(images), self.second.network(images)
        return {
            name: pseudo_supervision(first[name].logits, second[name].logits, self.config.class_weighting)
            + pseudo_supervision(second[name].logits, first[name].logits, self.config.class_weighting)
            for name in images
        }

    def after_step(self) -> None:
        """Let both methods do what they do after an optimizer step."""
        super().after_step()
        self.second.after_step()


def pseudo_supervision(logits: Logits, other: Logits, class_weighting: ClassWeighting = "none") -> Scalar:
    """ce(P, Y): the cross-entropy of `logits` with the likeliest classes of `other`, which gets no gradient."""
    Y = other.detach().argmax(dim=1)
    label_sets = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    return cross_entropy(logits, Y, label_sets, class_weighting)


@torch.no_grad()
def redrawn(network: Network) -> Network:
    """A copy with the entries of every trainable weight shuffled, from torch's global random state.

    What its initialization makes equal (norms' ones, biases' zeros, the weights of modalities that begin alike) stays
    equal, and frozen parameters are shared.
    """
    copied = duplicate(network)
    drawn: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
    for parameter in copied.parameters():
        if parameter.requires_grad and not parameter.is_meta:  # which has no entries
            entries = parameter.flatten()
            shuffled = entries[torch.randperm(len(entries)).to(entries.device)].reshape(parameter.shape)
            of_shape = drawn.setdefault(parameter.shape, [])
            shuffled = next((again for before, again in of_shape if torch.equal(before, parameter)), shuffled)
            of_shape.append((parameter.clone(), shuffled))
            parameter.copy_(shuffled)
    return copied
