"""Overlap of two label maps: every class counted in one pass over the voxels.

A reference voxel may stand for a *set* of classes (merged structures, classes that were not annotated). Whether it
belongs to one of them is not known, so it counts neither for nor against any class of its set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.data.label_map import count_values
from unpaired.errors import InputError


@dataclass(frozen=True)
class Overlap:
    """Voxel counts, one entry per class: predicted and true, predicted, true. Unknown voxels are left out of all."""

    both: np.ndarray
    predicted: np.ndarray
    reference: np.ndarray


def count_overlap(prediction: np.ndarray, reference: np.ndarray, label_sets: Sequence[Sequence[int]]) -> Overlap:
    """Count the overlap of every class at once.

    `prediction` holds class numbers 0..C-1; `reference`, of the same shape, holds indices into `label_sets`, whose
    first C entries are the single classes (`Dataset.label_sets()`). Empty arrays give zero counts. Raises InputError
    if the shapes differ or a number is out of range.
    """
    if prediction.shape != reference.shape:
        raise InputError(f"expected two label maps of one shape, got {prediction.shape} and {reference.shape}")
    classes = sum(len(members) == 1 for members in label_sets)
    require_range(prediction, classes, "prediction")
    require_range(reference, len(label_sets), "reference")
    # One histogram of the pair (reference label, predicted class) holds all that Dice and volumes need.
    small = np.min_scalar_type(classes * len(label_sets))
    pairs = reference.astype(small, copy=False) * small.type(classes) + prediction.astype(small, copy=False)
    table = count_values(pairs, classes * len(label_sets)).reshape(len(label_sets), classes)
    known = np.ones((len(label_sets), classes), dtype=bool)
    for label, members in enumerate(label_sets):
        if len(members) > 1:
            known[label, list(members)] = False
    return Overlap(
        both=np.diagonal(table[:classes]).copy(),
        predicted=(table * known).sum(axis=0),
        reference=table[:classes].sum(axis=1),
    )


def dice(both: int, predicted: int, reference: int) -> float | None:
    """2 TP / (2 TP + FP + FN) from voxel counts; None where neither mask has a voxel (there is nothing to score)."""
    total = predicted + reference
    return None if total == 0 else 2.0 * float(both) / float(total)


def iou(both: int, predicted: int, reference: int) -> float | None:
    """Intersection over union, TP / (TP + FP + FN), from voxel counts; None where neither mask has a voxel."""
    union = predicted + reference - both
    return None if union == 0 else float(both) / float(union)


def require_range(labels: np.ndarray, count: int, what: str) -> None:
    """InputError unless all labels lie in 0..count - 1."""
    if labels.size and not (int(labels.min()) >= 0 and int(labels.max()) < count):
        raise InputError(f"expected {what} values in 0..{count - 1}, got {labels.min()}..{labels.max()}")
