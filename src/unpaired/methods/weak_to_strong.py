"""Weak to strong, around any method: what a mean teacher is sure of in a clean unlabeled image, the student is to find
in a disturbed one.

Mean teacher (`methods.mean_teacher`) compares two networks that see nearly the same: their difference is mostly how far
the teacher lags behind, and to match it undoes the last steps. Here the teacher sees the image as it is, and the
student a version that differs much, as in FixMatch (Sohn et al., NeurIPS 2020) and UniMatch (Yang et al., CVPR 2023):

    q = softmax f(x, theta'),   y = argmax_c q_c where max_c q_c >= tau, else unknown        the teacher's labels
    x~, y~ = CutMix(A(x), y)                        A: random convolutions, contrast, brightness, gamma, noise
    J = sum_m ce( f(x~, theta), y~ ) + dice( f(x~, theta), y~ )       over the voxels that are known
    L = L_method + w r(t) J

CutMix (Yun et al., ICCV 2019; French et al., BMVC 2020) puts a box of one image, with the teacher's labels of it, into
another image of the same modality. With `copy_paste` the foreground that the teacher is sure of in another image comes
before that (Ghiasi et al., "Simple copy-paste is a strong data augmentation method for instance segmentation", CVPR
2021): x~, y~ = CutMix(CopyPaste(A(x), y)). The teacher's weights follow the student's (`methods.teacher`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unpaired.configs import BelowOne, NotNegative, Share
from unpaired.data.randomization import NO_RANDOMIZATION, random_convolutions
from unpaired.methods.losses import cross_entropy, in_full_precision, soft_dice_loss
from unpaired.methods.method import Method, MethodConfig
from unpaired.methods.ramp import Ramp
from unpaired.methods.teacher import Taught
from unpaired.networks.network import Network
from unpaired.shapes import Images, LabelMap, LabelSets, Logits, Scalar


@dataclass(frozen=True)
class WeakToStrongConfig(MethodConfig):
    """`method` with a teacher's labels on disturbed unlabeled images; `unlabeled_batch_size` must be above 0."""

    method: MethodConfig
    """What trains on labeled images."""
    weight: NotNegative = 0.5
    """w, of the sum over modalities."""
    decay: BelowOne = 0.95
    """The largest alpha of the teacher's moving average: it is the mean of about 1 / (1 - decay) steps."""
    ramp: Ramp = field(default_factory=lambda: Ramp(begin=0.3, length=0.2))
    """r: a teacher that has learned nothing yet has nothing to say."""
    confidence: Share = 0.8
    """tau: where the teacher's largest probability is below it, its label is unknown and takes no part."""
    cutmix: Share = 0.5
    """The share of images that get a box of another one."""
    copy_paste: Share = 0.0
    """The share of images onto which the foreground of another one is pasted, where the teacher is sure of it, before
    boxes are mixed. In the paper it is a random part of another image's objects, scaled; here all of it, in place."""
    contrast: NotNegative = 0.5
    """The image's deviation is multiplied by exp of a number from -`contrast` to `contrast`."""
    brightness: NotNegative = 0.5
    """A number from -`brightness` to `brightness` is added, in units of the prepared volumes (a z-score's 1)."""
    gamma: NotNegative = 0.5
    """Values, brought to 0..1 within the image, are raised to exp of a number from -`gamma` to `gamma`."""
    noise: NotNegative = 0.1
    """Standard deviation of the Gaussian noise that is added."""
    convolutions: Share = 0.0
    """The share of images that random convolutions change before all that (`data.randomization`): a contrast of their
    own, where anatomy is all that the student can go by."""
    labeled: bool = False
    """Whether labeled images are taken too, by the teacher's labels; costs one more pass of both."""

    def build(self, network: Network, classes: int) -> "WeakToStrong":
        """Raises InputError as `method` does."""
        return WeakToStrong(self.method.build(network, classes), self)


class WeakToStrong(Taught):
    """The terms of another method and "weak_to_strong/<modality>", for each modality with unlabeled images."""

    term = "weak_to_strong"

    def __init__(self, method: Method, config: WeakToStrongConfig) -> None:
        super().__init__(method, config.weight, config.decay, config.ramp, config.labeled)
        self.config = config

    def compare(self, images: Mapping[str, Images]) -> dict[str, Scalar]:
        """J of each modality, with gradient to the student."""
        with torch.no_grad():
            taught = self.teacher(images)
        labels = {name: confident_labels(taught[name].logits, self.config.confidence) for name in images}
        mixed = {name: self._mixed(x, labels[name], taught[name].logits.shape[1]) for name, x in images.items()}
        said = self.network({name: x for name, (x, _) in mixed.items()})
        return {name: pseudo_loss(said[name].logits, y) for name, (_, y) in mixed.items()}

    def _mixed(self, images: Images, labels: LabelMap, classes: int) -> tuple[Images, LabelMap]:
        """x~ and y~ of one modality."""
        pasted = copy_paste(disturbed(images, self.config), labels, self.config.copy_paste, classes)
        return cut_mix(*pasted, self.config.cutmix)


def confident_labels(logits: Logits, confidence: float) -> LabelMap:
    """The likeliest class of each voxel, or C (unknown) where its probability is below `confidence`."""
    sure, labels = in_full_precision(logits).softmax(dim=1).max(dim=1)
    return labels.masked_fill(sure < confidence, logits.shape[1])


def pseudo_loss(logits: Logits, labels: LabelMap) -> Scalar:
    """Cross-entropy and soft Dice over the voxels whose label is known; those with label C take no part."""
    label_sets = with_unknown(logits.shape[1], logits.device)
    ce = cross_entropy(logits, labels, label_sets, "none")
    return ce + soft_dice_loss(logits, labels, label_sets)


def with_unknown(classes: int, device: torch.device) -> LabelSets:
    """The label sets of plain classes and one more label that stands for all of them: nothing is known."""
    everything = torch.ones(1, classes, dtype=torch.bool, device=device)
    return torch.cat([torch.eye(classes, dtype=torch.bool, device=device), everything])


def disturbed(images: Images, config: WeakToStrongConfig) -> Images:
    """A: each image with random convolutions or none, and a gamma, contrast, brightness and noise of its own, from
    torch's global random state."""
    axes = tuple(range(1, images.ndim))
    images = convolved(images, config.convolutions)

    def draw(reach: float) -> Tensor:
        return reach * (2 * torch.rand(len(images), *[1] * len(axes), device=images.device) - 1)

    low, high = images.amin(dim=axes, keepdim=True), images.amax(dim=axes, keepdim=True)
    span = (high - low).clamp(min=1e-6)
    x = ((images - low) / span).clamp(min=0) ** draw(config.gamma).exp() * span + low
    mean = x.mean(dim=axes, keepdim=True)
    x = (x - mean) * draw(config.contrast).exp() + mean + draw(config.brightness)
    return x + config.noise * torch.randn_like(x)


def convolved(images: Images, share: float) -> Images:
    """That share of the images through random convolutions, each through its own."""
    if not share:
        return images
    chosen = (torch.rand(len(images)) < share).nonzero().flatten().tolist()
    numbers = torch.randint(2**31, (len(images),)).tolist()
    result = images.clone()
    if chosen:
        result[chosen] = random_convolutions(images[chosen], [numbers[i] for i in chosen], NO_RANDOMIZATION)
    return result


def copy_paste(images: Images, labels: LabelMap, share: float, classes: int) -> tuple[Images, LabelMap]:
    """That share of images with the foreground of another one of the batch in its place, image and labels alike.

    Foreground are labels from 1 to `classes` - 1; background and what is unknown are not pasted. The other image is
    drawn. One image alone stays as it is.
    """
    count = len(images)
    if count < 2 or not share:
        return images, labels
    chosen = (torch.rand(count) < share).reshape(-1, *[1] * (labels.ndim - 1)).to(labels.device)
    others = ((torch.arange(count) + torch.randint(1, count, (count,))) % count).to(labels.device)
    source = labels[others]
    pasted = chosen & (source > 0) & (source < classes)
    return torch.where(pasted.unsqueeze(1), images[others], images), torch.where(pasted, source, labels)


def cut_mix(images: Images, labels: LabelMap, share: float) -> tuple[Images, LabelMap]:
    """That share of images with a box of the one before it in the batch, image and labels alike.

    A box has a quarter to half of the image's size along each axis, one voxel at least. One image alone stays as it is.
    """
    if len(images) < 2 or not share:
        return images, labels
    inside = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
    for image in inside:
        if torch.rand(()) < share:
            sizes = [max(int(size * (0.25 + 0.25 * torch.rand(()).item())), 1) for size in image.shape]
            starts = [int(torch.randint(n - size + 1, ())) for n, size in zip(image.shape, sizes, strict=True)]
            image[tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))] = True
    mixed = torch.where(inside.unsqueeze(1), images.roll(1, dims=0), images)
    return mixed, torch.where(inside, labels.roll(1, dims=0), labels)
