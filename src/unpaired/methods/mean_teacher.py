"""Mean teacher, around any method (Tarvainen & Valpola, NeurIPS 2017): unlabeled images join in by a network's own
average over time.

The teacher is a second network whose weights follow those of the network in training, the student. On unlabeled images
the student is to say what the teacher says, though noise and dropout differ:

    theta'_t = alpha theta'_{t-1} + (1 - alpha) theta_t                        the teacher's weights (their Eq. 1)
    J = sum_m E_{x, eta, eta'} d( f(x, theta, eta), f(x, theta', eta') )       x: unlabeled images of modality m
    L = L_method + w r(t) J,   r(t) = exp(-5 (1 - t)^2) while it ramps up

alpha is min(1 - 1 / (t + 1), `decay`) as in their code, so that the teacher first is a plain mean and its random
beginning is soon forgotten. Gradients go to the student alone, and the student predicts; the teacher is no part of the
weights that are exported.

Norms. The unlabeled images go through the student in a pass of their own, in training mode: batch norm normalizes
them by their own statistics and its running ones are updated by both passes, first by the labeled images. So the
method's own terms are what they would be without unlabeled images. (Their code has labeled and unlabeled images in one
batch.) The teacher is in training mode too, as there, with running statistics of its own that nobody uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from unpaired.configs import BelowOne, NotNegative
from unpaired.methods.losses import in_full_precision
from unpaired.methods.method import Method, MethodConfig
from unpaired.methods.ramp import Ramp
from unpaired.methods.teacher import Taught
from unpaired.networks.network import Network
from unpaired.shapes import Images, Logits, Scalar


@dataclass(frozen=True)
class MeanTeacherConfig(MethodConfig):
    """`method` with a mean teacher; the recipe's `unlabeled_batch_size` must be above 0."""

    method: MethodConfig
    """What trains on labeled images."""
    weight: NotNegative = 1.0
    """w, of the sum over modalities. Theirs is 100 for ten classes and one label per image; public code for medical
    images has 0.1. At 10, with a decay of 0.99, the gradient was 0.7 of the supervised one, against it (cosine -0.8):
    what differs is how far the teacher lags, and the term undoes the last hundred steps."""
    decay: BelowOne = 0.95
    """The largest alpha; 0.99 and 0.999 are theirs, for trainings of 40,000 steps and more. The teacher is the mean of
    about 1 / (1 - decay) steps, and lags as many behind."""
    ramp: Ramp = field(default_factory=Ramp)
    """r. Theirs rises during about a quarter of training, public code for medical images has it rise during all."""
    noise: NotNegative = 0.1
    """Standard deviation of the Gaussian noise that student and teacher each get on their images, in units of the
    prepared volumes (a z-score's 1). 0: they differ by dropout alone."""
    consistency: Literal["squared", "divergence"] = "squared"
    """d: the squared difference of probabilities, the mean over classes and voxels, as theirs; or the divergence
    KL(teacher || student), the mean over voxels."""
    labeled: bool = False
    """Whether labeled images are compared too, as they do; costs one more pass of both."""

    def build(self, network: Network, classes: int) -> "MeanTeacher":
        """Raises InputError as `method` does."""
        return MeanTeacher(self.method.build(network, classes), self)


class MeanTeacher(Taught):
    """The terms of another method and "mean_teacher/<modality>", for each modality with unlabeled images."""

    term = "mean_teacher"

    def __init__(self, method: Method, config: MeanTeacherConfig) -> None:
        super().__init__(method, config.weight, config.decay, config.ramp, config.labeled)
        self.config = config

    def compare(self, images: Mapping[str, Images]) -> dict[str, Scalar]:
        """d of each modality, with gradient to the student."""
        with torch.no_grad():
            taught = self.teacher(self.noisy(images))
        said = self.network(self.noisy(images))
        return {name: disagreement(said[name].logits, taught[name].logits, self.config.consistency) for name in images}

    def noisy(self, images: Mapping[str, Images]) -> dict[str, Images]:
        """The images with fresh noise, from torch's global random state."""
        return {name: x + self.config.noise * torch.randn_like(x) for name, x in images.items()}


def disagreement(student: Logits, teacher: Logits, consistency: str) -> Scalar:
    """d of `MeanTeacherConfig.consistency`, in float32 at least; 0 for equal logits."""
    log_p, log_q = (in_full_precision(logits).log_softmax(dim=1) for logits in (student, teacher))
    if consistency == "squared":
        return (log_p.exp() - log_q.exp()).square().mean()
    return (log_q.exp() * (log_q - log_p)).sum(dim=1).mean()
