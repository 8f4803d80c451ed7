"""How far predictions of different modalities disagree about anatomy: CAC of CMC (Zhou et al., MICCAI 2024).

    L_CAC = 1 - mean_c Dice(softmax(y_a)_c, softmax(y_b)_c)                        over foreground classes c

of predictions y_a and y_b for unlabeled scans. The paper prints no formula; its prose names the Dice coefficient. Taken
voxel by voxel that compares the left ventricle of one person with whatever lies at that voxel in another. What is
compared is therefore a choice (`AnatomyConfig.form`):

    voxels   image i of one modality with image i of the other: for co-registered pairs alone, which batches of
             `unpaired train` never hold, as each modality's patients and places are drawn independently
    frame    probabilities resampled into a frame in which anatomy corresponds, then Dice. The frame is that of the
             predicted foreground: origin at its centroid, its standard deviation along each axis as unit
    shape    statistics of each class: its share of the foreground, centroid and spread along each axis, in that frame;
             the squared differences of the modalities' means

Dice has squares below, 2 sum(ab) / (sum a^2 + sum b^2), so that it is 1 for equal predictions and for no others; with
plain sums, equal but unsure predictions would disagree. One voxel (or cell of the frame) is added above and below: a
class that neither has is agreed upon, and nothing is divided by 0.

For N modalities the terms are means over all pairs. Dice of all pairs comes from one Gram product per class, exactly,
as its denominators are sums of the diagonal; squared differences are linear in N:

    sum_{i<j} r_i r_j (a_i - a_j)^2 = (sum_i r_i) sum_i r_i (a_i - mean)^2,   mean = sum_i r_i a_i / sum_i r_i
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor

from unpaired.configs import BelowOne, Config, Positive
from unpaired.errors import InputError
from unpaired.methods.anatomical_frame import SMALLEST, VOXEL, in_frame, moments, presence
from unpaired.methods.losses import in_full_precision
from unpaired.methods.running_maps import RunningMaps
from unpaired.shapes import Logits, Probabilities, Scalar

CAUTION = (
    "CAC harmed where it was measured: on slices of hearts with a tenth of the labels it took 12 Dice of bSSFP and 5 "
    "of LGE, where weak to strong gave 4 and 12 (docs/results/semi-supervised.md); compare it with labels alone"
)
"""What training says of a method with it."""


@dataclass(frozen=True)
class AnatomyConfig(Config):
    """What is compared. `docs/methods/cross_modality_collaboration.md` has the measurement behind the default."""

    form: Literal["frame", "shape", "voxels"] = "frame"
    """What predictions are compared by: maps in a frame of anatomy, shapes, or voxels; see the module's docstring."""
    compared: Literal["means", "pairs"] = "means"
    """"frame" alone: the mean map of a modality's images with that of another's, or every image with every image of
    another modality, and then the mean. Slices come from any level of a body: no two of them need be alike, but on the
    average those of two modalities are."""
    momentum: BelowOne = 0.0
    """mu of `methods.running_maps`, for "frame" with "means": what share of a modality's mean map is that of the steps
    before. 0 compares batches, whose sampling is most of what they differ by; 0.9 is the mean over about ten steps."""
    frame_size: Annotated[int, Meta(ge=2, le=1024)] = 32
    """Cells of the frame along each axis."""
    frame_extent: Positive = 3.0
    """How far the frame reaches to each side of the centroid, in standard deviations of the foreground."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.momentum and (self.form, self.compared) != ("frame", "means"):
            raise InputError(
                "anatomy.momentum is of mean maps; set form to frame and compared to means, or momentum to 0"
            )

    def require_classes(self, classes: int) -> None:
        """Raise InputError for a form that can't compare so many classes (with background)."""
        if self.form == "shape" and classes < 3:
            raise InputError(
                "anatomy.form 'shape' compares classes with the whole foreground; with one foreground class they are "
                "the same: choose frame"
            )


def anatomical_consistency(
    logits: Mapping[str, Logits], config: AnatomyConfig, running: RunningMaps | None = None
) -> Scalar:
    """L_CAC of predictions {modality: logits (batch, class, *spatial)}, background first; computed in float32 at least.

    `running` remembers mean maps, as `config.momentum` says. The gradient goes to all modalities. Zero with fewer than
    two. Where a modality shows no foreground at all, or a class is not to be found, there is nothing to compare: its
    terms fade to zero with it. Raises InputError for form "voxels" with images that don't pair.
    """
    if len(logits) < 2:
        return torch.zeros((), device=next((z.device for z in logits.values()), None))
    some = next(iter(logits.values()))
    with torch.autocast(some.device.type, enabled=False):
        foreground = {name: in_full_precision(z).softmax(dim=1)[:, 1:] for name, z in logits.items()}
        if config.form == "voxels":
            return voxel_disagreement(foreground)
        if config.form == "shape":
            return shape_disagreement(foreground)
        return frame_disagreement(foreground, config, running)


def voxel_disagreement(foreground: Mapping[str, Probabilities]) -> Scalar:
    """1 - Dice between image i of a modality and image i of each other, the mean over images, classes and pairs.

    Raises InputError for modalities whose predictions differ in shape.
    """
    shapes = {name: tuple(p.shape) for name, p in foreground.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(
            f"anatomy.form 'voxels' compares image i with image i, got predictions of shapes {shapes}; give "
            "co-registered images in equal numbers, or choose frame or shape"
        )
    maps = torch.stack([p.flatten(2) for p in foreground.values()], dim=2)
    dice = pairwise_dice(maps.flatten(0, 1))  # (image and class, modality, modality)
    return 1 - dice[:, ~torch.eye(len(foreground), dtype=torch.bool, device=dice.device)].mean()


def frame_disagreement(
    foreground: Mapping[str, Probabilities], config: AnatomyConfig, running: RunningMaps | None = None
) -> Scalar:
    """1 - Dice of maps in the frame of the foreground: of modalities' mean maps, or of all pairs of their images."""
    framed = [in_frame(p, config.frame_size, config.frame_extent) for p in foreground.values()]
    if config.compared == "means":
        means = [torch.tensordot(shown, maps, dims=1) / shown.sum().clamp(min=SMALLEST) for maps, shown in framed]
        if running is not None:
            means = [running(name, maps) for name, maps in zip(foreground, means, strict=True)]
        images = torch.stack(means)
        weights = torch.stack([shown.mean() for _, shown in framed])
        counts = [1] * len(framed)
    else:
        images = torch.cat([maps for maps, _ in framed])
        weights = torch.cat([shown for _, shown in framed])
        counts = [len(shown) for _, shown in framed]
    dice = pairwise_dice(images.flatten(2).movedim(0, 1)).mean(dim=0)
    owner = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(dice.device)
    apart = (owner.unsqueeze(0) != owner.unsqueeze(1)).to(dice.dtype)
    return ((1 - dice) * apart * torch.outer(weights, weights)).sum() / apart.sum()


def pairwise_dice(maps: Float[Tensor, "which image voxel"]) -> Float[Tensor, "which image image"]:
    """2 sum(ab) / (sum a^2 + sum b^2) of every map with every other, one voxel added above and below."""
    products = maps @ maps.mT
    own = products.diagonal(dim1=-2, dim2=-1)
    return (2 * products + VOXEL) / (own.unsqueeze(-1) + own.unsqueeze(-2) + VOXEL)


def shape_disagreement(foreground: Mapping[str, Probabilities]) -> Scalar:
    """The mean over classes and pairs of the squared differences in share, place and spread (means over axes)."""
    of = MeanShape(*(torch.stack(values) for values in zip(*map(mean_shape, foreground.values()), strict=True)))
    share = squared_differences(of.share, of.presence)
    place = squared_differences(of.place, of.class_presence.unsqueeze(-1)).mean(dim=-1)
    spread = squared_differences(of.spread, of.class_presence.unsqueeze(-1)).mean(dim=-1)
    return (share + place + spread).mean()


def squared_differences(values: Tensor, weights: Tensor) -> Tensor:
    """The mean over pairs of modalities of r_i r_j (a_i - a_j)^2, at linear cost; (modality, ...) -> (...).

    `weights` is r, of the shape of `values` or one that broadcasts to it.
    """
    mean = (weights * values).sum(dim=0) / weights.sum(dim=0).clamp(min=SMALLEST)
    pairs = len(values) * (len(values) - 1) / 2
    return weights.sum(dim=0) * (weights * (values - mean).square()).sum(dim=0) / pairs


class MeanShape(NamedTuple):
    """The mean shape of each foreground class; lengths in standard deviations of the foreground.

    `presence` (of the foreground, so the same for all classes) and `class_presence`, without gradient, say how much
    there was to measure, from 0 to 1.
    """

    share: Float[Tensor, "*modality class"]
    place: Float[Tensor, "*modality class axis"]
    spread: Float[Tensor, "*modality class axis"]
    presence: Float[Tensor, "*modality class"]
    class_presence: Float[Tensor, "*modality class"]


def mean_shape(foreground: Probabilities) -> MeanShape:
    """Over images, each counting by how much of the foreground, or the class, it shows."""
    whole, parts = moments(foreground.sum(dim=1, keepdim=True).square()), moments(foreground.square())
    share = parts.mass / parts.mass.sum(dim=1, keepdim=True).clamp(min=SMALLEST)
    place, spread = (parts.centroid - whole.centroid) / whole.spread, parts.spread / whole.spread
    in_image = presence(whole.mass).expand_as(share)
    of_class = presence(parts.mass)

    def mean(values: Tensor, weights: Tensor) -> Tensor:
        return (values * weights).sum(dim=0) / weights.sum(dim=0).clamp(min=SMALLEST)

    return MeanShape(
        mean(share, in_image),
        mean(place, of_class.unsqueeze(-1)),
        mean(spread, of_class.unsqueeze(-1)),
        in_image.mean(dim=0),
        of_class.mean(dim=0),
    )
