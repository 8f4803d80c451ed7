"""A second network that follows the one in training, and what methods with such a teacher share.

    theta'_t = alpha theta'_{t-1} + (1 - alpha) theta_t,   alpha = min(1 - 1 / (t + 1), decay)
    L = L_method + w r(t) sum_m J_m

(Tarvainen & Valpola, NeurIPS 2017, Eq. 1.) Gradients go to the student alone, and the student predicts.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unpaired.data.batch import Batch
from unpaired.methods.around import Around
from unpaired.methods.method import Method, Objective
from unpaired.methods.ramp import Ramp
from unpaired.methods.unlabeled import duplicate, image_sets
from unpaired.shapes import Images, Scalar


class Taught(Around):
    """The terms of another method and "<term>/<modality>", for each modality with unlabeled images."""

    term: str

    def __init__(self, method: Method, weight: float, decay: float, ramp: Ramp, labeled: bool) -> None:
        """`labeled`: whether labeled images are looked at too."""
        super().__init__(method)
        self.weight, self.decay, self.ramp, self.labeled = weight, decay, ramp, labeled
        self.teacher = duplicate(method.network).requires_grad_(False)
        self.steps = 0

    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The other method's objective, and w r(t) sum_m J_m; that objective alone if there are no unlabeled images.

        A modality's term is the sum over its passes: unlabeled images, and labeled ones if asked for. Before the ramp
        begins nothing is looked at, and the terms are 0.
        """
        if self.steps == 0:  # not when it is built: pre-trained weights come after that
            self.teacher.load_state_dict(self.network.state_dict())
        loss, terms = self.method(batches, progress)
        factor = self.ramp.factor(progress)
        taught: dict[str, Tensor] = {}
        for images in image_sets(batches, self.labeled):
            compared = self.compare(images) if factor else {modality: loss.new_zeros(()) for modality in images}
            for modality, J in compared.items():
                name = f"{self.term}/{modality}"
                taught[name] = taught[name] + J if name in taught else J
        if taught:
            loss = loss + self.weight * factor * torch.stack(list(taught.values())).sum()
        return Objective(loss, terms | taught)

    @abstractmethod
    def compare(self, images: Mapping[str, Images]) -> dict[str, Scalar]:
        """J of each modality, with gradient to the student."""

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the teacher follow; then the other method's turn."""
        self.steps += 1
        alpha = min(1 - 1 / (self.steps + 1), self.decay)
        for theta_teacher, theta in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            if theta_teacher is not theta:  # frozen ones are shared
                theta_teacher.lerp_(theta, 1 - alpha)
        super().after_step()

    def get_extra_state(self) -> Tensor:
        """How many steps the teacher has made: what going on needs besides its weights."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Any) -> None:
        """Take up the number of steps that `get_extra_state` gave."""
        self.steps = int(state)
