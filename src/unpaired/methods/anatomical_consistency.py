"""Any method, trained semi-supervised by CMC's anatomical consistency (CAC): CSA + CAC, SSC + CAC, UMMKD + CAC, ...

L = L_method + w(t) L_CAC                L_CAC on predictions for unlabeled scans, see `methods.anatomy`

The paper has unlabeled scans of both modalities. Where all scans of a modality are labeled, its labeled ones stand for
it, as many as the others' unlabeled ones: else labels in one modality and scans in another, which is what people have,
would leave nothing to compare, and a fusion no partners.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unpaired.configs import NotNegative
from unpaired.data.batch import Batch
from unpaired.methods.anatomy import CAUTION, AnatomyConfig, anatomical_consistency
from unpaired.methods.around import Around
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.methods.ramp import Ramp
from unpaired.methods.running_maps import RunningMaps
from unpaired.methods.unlabeled import unlabeled_images
from unpaired.networks.network import Network, NetworkOutput
from unpaired.shapes import Images


@dataclass(frozen=True)
class AnatomicalConsistencyConfig(MethodConfig):
    """`method` and CAC on `Batch.unlabeled`; the recipe's `unlabeled_batch_size` must be above 0."""

    method: MethodConfig
    weight: NotNegative = 1.0
    """w, the weight of L_CAC once the ramp is over."""
    anatomy: AnatomyConfig = field(default_factory=AnatomyConfig)
    ramp: Ramp = field(default_factory=Ramp)

    def build(self, network: Network, classes: int) -> "AnatomicalConsistency":
        """Raises InputError as `method` does, and if `anatomy` can't compare so many classes."""
        self.anatomy.require_classes(classes)
        return AnatomicalConsistency(self.method.build(network, classes), self)


class AnatomicalConsistency(Around):
    """The objective of another method and the term "cac"."""

    def __init__(self, method: Method, config: AnatomicalConsistencyConfig) -> None:
        super().__init__(method)
        self.config = config
        self.running = RunningMaps(config.anatomy.momentum) if config.anatomy.momentum else None

    @property
    def caution(self) -> str:  # type: ignore[override]
        """CAC's, and that of the other method."""
        return "; ".join(filter(None, (CAUTION if self.config.weight else "", self.method.caution)))

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The other method's objective on the labeled images, in a pass of its own, and CAC (`compared_outputs`)."""
        objective = self.method(batches, progress)
        factor = self.config.ramp.factor(progress) * self.config.weight
        outputs = compared_outputs(self.network, batches) if factor else {}
        consistency = consistency_of(outputs, self.config.anatomy, objective.loss, self.running)
        return objective.plus("cac", factor, consistency)


def unlabeled_outputs(network: Network, batches: Mapping[str, Batch]) -> dict[str, NetworkOutput]:
    """What the network says about the unlabeled images of each modality that has some; with gradient.

    A pass of its own: the labeled one is then that of training without unlabeled images, norms included, and modalities
    may differ in how many they have.
    """
    images = unlabeled_images(batches)
    return network(images) if images else {}


def compared_outputs(network: Network, batches: Mapping[str, Batch]) -> dict[str, NetworkOutput]:
    """What the network says about the images that CAC compares: the unlabeled ones of each modality that has some, as
    many labeled ones of the others. Empty if no modality has unlabeled images.

    As many, because a paired fusion and forms that compare image i with image i take nothing else, and the recipe's
    `unlabeled_batch_size` need not be its `batch_size`.
    """
    unlabeled = unlabeled_images(batches)
    if not unlabeled:
        return {}
    count = max(len(images) for images in unlabeled.values())
    shown = {name: unlabeled[name] if name in unlabeled else so_many(of.images, count) for name, of in batches.items()}
    return network(shown)


def so_many(images: Images, count: int) -> Tensor:
    """The first `count` images, from the first on again where there are fewer."""
    return images[torch.arange(count, device=images.device) % len(images)]


def consistency_of(
    outputs: Mapping[str, NetworkOutput], config: AnatomyConfig, like: torch.Tensor, running: RunningMaps | None = None
) -> torch.Tensor:
    """L_CAC of these outputs; zero, of the type and place of `like`, for fewer than two modalities.

    `running` remembers their mean maps.
    """
    if len(outputs) < 2:
        return like.new_zeros(())
    return anatomical_consistency({name: output.logits for name, output in outputs.items()}, config, running)
