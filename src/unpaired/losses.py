"""Losses that belong to no paper: soft Dice and cross-entropy over label maps whose values may be sets of classes.

Every function takes a label map with its `label_sets` (see `data.batch.Batch`): label `i` means "one of the classes
that are true in `label_sets[i]`". A label that stands for all classes says nothing and takes no part: that is how a
voxel is ignored. Everything is computed in float32 at least, whatever precision the network runs in.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from unpaired.shapes import LabelMap, LabelSets, Logits, OneHot, Scalar

ClassWeighting = Literal["frequency", "none"]


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
    """One minus the soft Dice of all C classes (background too), each pooled over the whole batch; in [0, 1].

    Per class 2 sum(p g) / (sum p^2 + sum g + 1e-7), as in the released code of UMMKD; the papers that use it (CSA) do
    not print a form. A voxel whose label stands for several classes is left out of the sums of those classes and is a
    negative of every other class. A class that the batch lacks adds a constant 1 / C without gradient.
    """
    probabilities = in_full_precision(logits).softmax(dim=1)
    target = one_hot(label_map, label_sets).to(probabilities.dtype)
    everything_but_class = [axis for axis in range(logits.ndim) if axis != 1]
    squared = probabilities.square()
    if len(label_sets) > label_sets.shape[1]:
        squared = squared * (1 + target - possible_classes(label_map, label_sets))
    overlap = (probabilities * target).sum(everything_but_class)
    total = squared.sum(everything_but_class) + target.sum(everything_but_class)
    return 1 - (2 * overlap / (total + 1e-7)).mean()


def cross_entropy(
    logits: Logits,
    label_map: LabelMap,
    label_sets: LabelSets,
    class_weighting: ClassWeighting = "frequency",
    clip: float | None = None,
) -> Scalar:
    """Mean over voxels of -w log p(label), where p(label) is the sum of p over the classes the label may stand for.

    "frequency" weights label i by w_i = 1 - n_i / sum_j n_j, n_i voxels of it in the batch (released code of UMMKD:
    `w_c`, the same when every label is one class); "none" by 1. `clip` bounds p(label) from below, which also zeroes
    the gradient of voxels below it (UMMKD: 0.005); None leaves every voxel its gradient.
    """
    log_probabilities = _label_log_probabilities(in_full_precision(logits), label_sets)
    labels = label_map.long()
    per_voxel = log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    if clip is not None:
        per_voxel = per_voxel.clamp(min=math.log(clip))
    if class_weighting == "frequency":
        per_voxel = per_voxel * label_weights(label_map, label_sets).to(per_voxel.dtype)[labels]
    return -per_voxel.mean()


def label_weights(label_map: LabelMap, label_sets: LabelSets) -> Tensor:
    """w_i = 1 - n_i / sum_j n_j for each row of `label_sets`; labels that stand for all classes are not counted."""
    counts = torch.bincount(label_map.long().flatten(), minlength=len(label_sets)).to(torch.float32)
    counts = counts * ~label_sets.all(dim=1)
    return 1 - counts / counts.sum().clamp(min=1)


def _label_log_probabilities(logits: Tensor, label_sets: LabelSets) -> Tensor:
    """log p of every label, (batch, label, *spatial): of the C classes, then of each larger set."""
    log_probabilities = logits.log_softmax(dim=1)
    larger_sets = label_sets[label_sets.shape[1] :]
    if len(larger_sets) == 0:
        return log_probabilities
    of_sets = [log_probabilities[:, members].logsumexp(dim=1, keepdim=True) for members in larger_sets]
    return torch.cat([log_probabilities, *of_sets], dim=1)
