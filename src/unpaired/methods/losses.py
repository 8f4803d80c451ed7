"""Losses that belong to no paper: soft Dice and cross-entropy over label maps whose values may be sets of classes.

Every function takes a label map with its `label_sets` (see `data.batch.Batch`): label `i` means "one of the classes
that are true in `label_sets[i]`". A label that stands for all classes says nothing and takes no part: that is how a
voxel is ignored. Everything is computed in float32 at least, whatever precision the network runs in.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.shapes import LabelMap, LabelSets, Logits, OneHot, Scalar

ClassWeighting = Literal["frequency", "none"]
MeanOver = Literal["labeled", "all"]


def in_full_precision(values: Tensor) -> Tensor:
    """`values` as float32, or as float64 if they are that already."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def possible_classes(label_map: LabelMap, label_sets: LabelSets) -> OneHot:
    """1 where a voxel may be of the class, else 0; (batch, class, *spatial). One-hot where every label is one class."""
    return label_sets.to(torch.float32)[label_map.long()].movedim(-1, 1)


def one_hot(label_map: LabelMap, label_sets: LabelSets) -> OneHot:
    """1 where a voxel is certainly of the class, else 0; (batch, class, *spatial).

    A voxel whose label stands for several classes is 0 in all of them.
    """
    certain = label_sets & (label_sets.sum(dim=1, keepdim=True) == 1)
    return possible_classes(label_map, certain)


def soft_dice_loss(logits: Logits, label_map: LabelMap, label_sets: LabelSets) -> Scalar:
    """One minus the mean soft Dice of all C classes (background too), each pooled over the whole batch; in [0, 1].

    Per class 2 sum(p g) / (sum p^2 + sum g + 1e-7), as in the released code of UMMKD; the papers that use it (CSA) do
    not print a form. A class that the batch lacks adds a constant without gradient. A larger set that is a label in the
    batch counts as one more class, whose p is the sum over its members: so merged structures are learned as a whole.
    A voxel takes part in the sums of a class or set if its label lies inside it (g = 1) or apart from it (g = 0); if
    the label only overlaps with it, nothing is known.
    """
    C = label_sets.shape[1]
    common = (label_sets.unsqueeze(1) & label_sets).sum(dim=-1)  # [label, set]: how many classes they share
    inside, apart = common == label_sets.sum(dim=1, keepdim=True), common == 0
    probabilities = in_full_precision(logits).softmax(dim=1)
    if len(label_sets) > C:
        of_sets = [probabilities[:, members].sum(dim=1, keepdim=True) for members in label_sets[C:]]
        probabilities = torch.cat([probabilities, *of_sets], dim=1)
    everything_but_set = [axis for axis in range(logits.ndim) if axis != 1]
    target = _at_voxels(inside, label_map, probabilities)
    squared = probabilities.square()
    if len(label_sets) > C:
        squared = squared * _at_voxels(inside | apart, label_map, probabilities)
    overlap = (probabilities * target).sum(everything_but_set)
    total = squared.sum(everything_but_set) + target.sum(everything_but_set)
    dice = 2 * overlap / (total + 1e-7)
    if len(label_sets) == C:
        return 1 - dice.mean()
    counts = torch.bincount(label_map.long().flatten(), minlength=len(label_sets)) * ~label_sets.all(dim=1)
    counted = ((counts > 0) | (torch.arange(len(counts), device=counts.device) < C)).to(dice.dtype)
    return 1 - (dice * counted).sum() / counted.sum()


def _at_voxels(table: Tensor, label_map: LabelMap, like: Tensor) -> Tensor:
    """Row `label` of a (label, set) table at every voxel: (batch, set, *spatial), of the type of `like`."""
    return table.to(like.dtype)[label_map.long()].movedim(-1, 1)


def cross_entropy(
    logits: Logits,
    label_map: LabelMap,
    label_sets: LabelSets,
    class_weighting: ClassWeighting = "frequency",
    clip: float | None = None,
    mapping: Float[Tensor, "label class"] | None = None,
    mean_over: MeanOver = "labeled",
) -> Scalar:
    """Mean over voxels of -w log p(label), where p(label) is the sum of p over the classes the label may stand for.

    Ignored voxels (a label that stands for all classes) add 0. The mean is over the others ("labeled"), so that a part
    of the images left unlabeled changes nothing for the rest; or over all ("all"), as in the released code of UMMKD:
    half of a batch ignored then halves the loss. 0 if every voxel is ignored.

    With a `mapping` it is the sum weighted by the label's row (which must be 0 outside the label's set) for labels of
    several classes, unless the background (class 0) is among them: that is nobody's finding, but a class not looked
    for. See `methods.label_mapping`.

    "frequency" weights label i by w_i = 1 - n_i / sum_j n_j, n_i voxels of it in the batch (released code of UMMKD:
    `w_c`, the same when every label is one class); "none" by 1. `clip` bounds p(label) from below, which also zeroes
    the gradient of voxels below it (UMMKD: 0.005); None leaves every voxel its gradient.
    """
    log_probabilities = _label_log_probabilities(in_full_precision(logits), label_sets, mapping)
    labels = label_map.long()
    per_voxel = log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    if clip is not None:
        per_voxel = per_voxel.clamp(min=math.log(clip))
    if class_weighting == "frequency":
        per_voxel = per_voxel * label_weights(label_map, label_sets).to(per_voxel.dtype)[labels]
    ignored = label_sets.all(dim=1)[labels]
    per_voxel = per_voxel.masked_fill(ignored, 0)
    if mean_over == "all":
        return -per_voxel.mean()
    counted = (~ignored).sum().clamp(min=1)
    return -per_voxel.mean() * (per_voxel.numel() / counted)


def label_weights(label_map: LabelMap, label_sets: LabelSets) -> Tensor:
    """w_i = 1 - n_i / sum_j n_j for each row of `label_sets`; labels that stand for all classes are not counted."""
    counts = torch.bincount(label_map.long().flatten(), minlength=len(label_sets)).to(torch.float32)
    counts = counts * ~label_sets.all(dim=1)
    return 1 - counts / counts.sum().clamp(min=1)


def _label_log_probabilities(logits: Tensor, label_sets: LabelSets, mapping: Tensor | None) -> Tensor:
    """log p of every label, (batch, label, *spatial): of the C classes, then of each larger set."""
    log_probabilities = logits.log_softmax(dim=1)
    of_sets: list[Tensor] = []
    for label in range(label_sets.shape[1], len(label_sets)):
        members = label_sets[label]
        of_members = log_probabilities[:, members]
        if mapping is not None and not members[0]:
            weights = mapping[label, members].to(logits.dtype).log()
            of_members = of_members + weights.reshape(-1, *[1] * (logits.ndim - 2))
        of_sets.append(of_members.logsumexp(dim=1, keepdim=True))
    return torch.cat([log_probabilities, *of_sets], dim=1) if of_sets else log_probabilities
