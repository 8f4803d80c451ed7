"""Score one case from its arrays: counts once for all classes, distances once per class, a status for empty masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects

from unpaired.errors import InputError, nearest
from unpaired.evaluation.overlap import Overlap, count_overlap, dice
from unpaired.evaluation.scores import POLICIES, Score
from unpaired.evaluation.surface import joint_box, surface_distances

Box = tuple[slice, ...]


@dataclass(frozen=True)
class CaseInfo:
    """What a score is about, and what is known of the case's annotation.

    `not_annotated` are class numbers that were not looked for in this case (or only as part of a merged structure):
    they are not applicable, whatever was predicted.
    """

    case: str = "case"
    patient: str = ""
    modality: str = "all"
    not_annotated: frozenset[int] = frozenset()


def evaluate_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    classes: Sequence[str],
    info: CaseInfo | None = None,
    label_sets: Sequence[Sequence[int]] | None = None,
    policy: str = "diagonal",
) -> list[Score]:
    """Score every foreground class of one case; `classes[0]` is background.

    `prediction` holds class numbers, `reference` class numbers or, with `label_sets`, indices into those sets: a
    voxel that stands for several classes is left out of the masks of each of them. Both are 2D or 3D, of one shape,
    `spacing_mm` per axis; axes of length one are dropped, so a single slice is scored in 2D. Raises InputError if
    shapes or numbers don't fit, or for an unknown policy.
    """
    info = info or CaseInfo()
    spacing = _checked_spacing(prediction, reference, spacing_mm, info)
    sets = tuple((number,) for number in range(len(classes))) if label_sets is None else label_sets
    ml = math.prod(spacing) / 1000
    thick = [axis for axis, count in enumerate(prediction.shape) if count > 1] or [0]
    flat = tuple(axis for axis in range(prediction.ndim) if axis not in thick)
    spacing = [spacing[axis] for axis in thick]
    predicted, true = prediction.squeeze(flat), reference.squeeze(flat)
    empty = empty_distance(predicted.shape, spacing, policy)
    # Only the box that holds every label is looked at: background outside it changes no foreground class.
    box = joint_box((predicted != 0) | (true != 0))
    predicted, true = predicted[box], true[box]
    counts = count_overlap(predicted, true, sets)
    boxes = _boxes(predicted, true, len(classes))
    scores = []
    for number, name in enumerate(classes[1:], start=1):
        status = "not_applicable" if number in info.not_annotated else _status(counts, number)
        identity = (info.case, info.patient or info.case, info.modality, name, status)
        if status == "not_applicable":
            scores.append(Score(*identity))
            continue
        distances = (empty, empty, empty, empty)
        if status == "scored":
            unknown = [label for label, members in enumerate(sets) if len(members) > 1 and number in members]
            distances = _distances(predicted, true, number, unknown, boxes[number], spacing)
        voxels = (int(counts.both[number]), int(counts.predicted[number]), int(counts.reference[number]))
        scores.append(Score(*identity, dice(*voxels), *distances, voxels[1] * ml, voxels[2] * ml))
    return scores


def empty_distance(shape: Sequence[int], spacing_mm: Sequence[float], policy: str) -> float | None:
    """What a missed or false positive class gets as its distances: the image diagonal in mm, or None if excluded."""
    if policy not in POLICIES:
        raise InputError(f"there is no policy {policy!r} for empty masks; {nearest(policy, list(POLICIES))}")
    diagonal = math.hypot(*(size * count for size, count in zip(spacing_mm, shape, strict=True)))
    return diagonal if policy == "diagonal" else None


def _checked_spacing(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], info: CaseInfo
) -> list[float]:
    if prediction.shape != reference.shape:
        raise InputError(
            f"case {info.case}: expected two label maps of one shape, got {prediction.shape} and {reference.shape}"
        )
    spacing = [float(size) for size in spacing_mm]
    if len(spacing) != prediction.ndim or not all(0 < size < math.inf for size in spacing):
        raise InputError(
            f"case {info.case}: expected {prediction.ndim} positive spacings in mm, one per axis, got {spacing}"
        )
    return spacing


def _distances(
    predicted: np.ndarray, true: np.ndarray, number: int, unknown: Sequence[int], box: Box, spacing_mm: Sequence[float]
) -> tuple[float, float, float, float]:
    """HD, HD95, ASSD and MASD of one class; voxels of the reference labels `unknown` belong to neither mask."""
    mask = predicted[box] == number
    if unknown:
        mask &= ~np.isin(true[box], unknown)
    found = surface_distances(mask, true[box] == number, spacing_mm)
    return found.hausdorff, found.hausdorff_95, found.assd, found.masd


def _status(counts: Overlap, number: int) -> str:
    found = (bool(counts.predicted[number]), bool(counts.reference[number]))
    return {
        (True, True): "scored",
        (False, True): "missed",
        (True, False): "false_positive",
        (False, False): "not_applicable",
    }[found]


def _boxes(predicted: np.ndarray, true: np.ndarray, classes: int) -> list[Box]:
    """For each class, the box around its voxels in both label maps (the whole array where it has none)."""
    everything = tuple(slice(0, size) for size in true.shape)
    pairs = zip(find_objects(predicted, classes - 1), find_objects(true, classes - 1), strict=True)
    boxes = [everything]
    for ours, theirs in pairs:
        if ours is None or theirs is None:
            boxes.append(ours or theirs or everything)
        else:
            both = zip(ours, theirs, strict=True)
            boxes.append(tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in both))
    return boxes
