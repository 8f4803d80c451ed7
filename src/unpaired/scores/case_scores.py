"""Score one case from its arrays: counts and distances once per class, in its own box; a status for empty masks."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from unpaired.errors import InputError
from unpaired.scores.area_surface import AreaDistances, area_distances_in_box
from unpaired.scores.boxes import Box, class_boxes, in_memory_order
from unpaired.scores.overlap import dice, iou, require_range
from unpaired.scores.presets import PresetCase, preset_columns
from unpaired.scores.scores import Score
from unpaired.scores.scoring import Scoring
from unpaired.scores.surface import SurfaceDistances, distances_in_box

DEFAULT = Scoring()


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


@dataclass(frozen=True)
class _Arrays:
    """Both label maps of a case without axes of length one, their spacing, and what an empty mask gets."""

    predicted: np.ndarray
    true: np.ndarray
    spacing_mm: tuple[float, ...]
    voxel_ml: float
    empty_mm: float | None


def evaluate_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    classes: Sequence[str],
    info: CaseInfo | None = None,
    label_sets: Sequence[Sequence[int]] | None = None,
    scoring: Scoring = DEFAULT,
    pool: Executor | None = None,
) -> list[Score]:
    """Score every foreground class of one case; `classes[0]` is background.

    `prediction` holds class numbers, `reference` class numbers or, with `label_sets`, indices into those sets: a
    voxel that stands for several classes is left out of the masks of each of them. Both are 2D or 3D, of one shape,
    `spacing_mm` per axis; axes of length one are dropped, so a single slice is scored in 2D. A `pool` of threads
    takes a class each. Raises InputError if shapes or numbers don't fit.
    """
    info = info or CaseInfo()
    spacing = _checked_spacing(prediction, reference, spacing_mm, info)
    sets = tuple((number,) for number in range(len(classes))) if label_sets is None else label_sets
    require_range(prediction, len(classes), f"case {info.case}: prediction")
    require_range(reference, len(sets), f"case {info.case}: reference")
    thick = [axis for axis, count in enumerate(prediction.shape) if count > 1] or [0]
    flat = tuple(axis for axis in range(prediction.ndim) if axis not in thick)
    ml = math.prod(spacing) / 1000
    spacing = [spacing[axis] for axis in thick]
    predicted, true = prediction.squeeze(flat), reference.squeeze(flat)
    empty = empty_distance(predicted.shape, spacing, scoring.policy)
    predicted, true, spacing = in_memory_order(predicted, true, spacing)
    boxes = class_boxes(predicted, true, len(classes))
    arrays = _Arrays(predicted, true, tuple(spacing), ml, empty)

    def score(number: int) -> Score:
        unknown = [label for label, members in enumerate(sets) if len(members) > 1 and number in members]
        return _score_class(arrays, number, classes[number], boxes[number], unknown, info, scoring)

    return list((pool.map if pool else map)(score, range(1, len(classes))))


def empty_distance(shape: Sequence[int], spacing_mm: Sequence[float], policy: str) -> float | None:
    """What a missed or false positive class gets as its distances: the image diagonal in mm, or None if excluded."""
    diagonal = math.hypot(*(size * count for size, count in zip(spacing_mm, shape, strict=True)))
    return diagonal if policy == "diagonal" else None


def _score_class(
    arrays: _Arrays,
    number: int,
    name: str,
    box: Box | None,
    unknown: Sequence[int],
    info: CaseInfo,
    scoring: Scoring,
) -> Score:
    """One class in its box; voxels of the reference labels `unknown` belong to neither mask."""
    identity = (info.case, info.patient or info.case, info.modality, name)
    if number in info.not_annotated:
        return Score(*identity, "not_applicable")
    prediction, reference = _masks(arrays, number, box, unknown)
    counts = tuple(int(np.count_nonzero(mask)) for mask in (prediction & reference, prediction, reference))
    status = _status(bool(counts[1]), bool(counts[2]))
    overlap = dice(*counts)
    distances = _distances(prediction, reference, arrays.spacing_mm, scoring) if status == "scored" else None
    between = distances if isinstance(distances, SurfaceDistances) else None
    masks = PresetCase(prediction, reference, arrays.spacing_mm, status, overlap, between)
    presets = preset_columns(scoring.presets, masks)
    if status == "not_applicable":
        return Score(*identity, status, presets=presets)
    predicted_ml, reference_ml = counts[1] * arrays.voxel_ml, counts[2] * arrays.voxel_ml
    return Score(
        *identity,
        status,
        overlap,
        *_in_mm(distances, arrays.empty_mm),
        predicted_ml,
        reference_ml,
        iou(*counts),
        abs(predicted_ml - reference_ml),
        abs(predicted_ml - reference_ml) / reference_ml if reference_ml else None,
        {
            column: distances.surface_dice(mm) if distances else 0.0
            for column, mm in scoring.nsd_tolerances(name).items()
        },
        presets,
    )


def _masks(arrays: _Arrays, number: int, box: Box | None, unknown: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, reference): the masks of a class in its box; without one (nowhere a voxel of it) both are empty."""
    box = box or (slice(0, 0),) * arrays.true.ndim
    prediction, reference = arrays.predicted[box] == number, arrays.true[box] == number
    if unknown:
        prediction &= ~np.isin(arrays.true[box], unknown)
    return prediction, reference


def _distances(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], scoring: Scoring
) -> SurfaceDistances | AreaDistances:
    between = area_distances_in_box if scoring.surface == "area" else distances_in_box
    return between(prediction, reference, spacing_mm)


def _in_mm(
    distances: SurfaceDistances | AreaDistances | None, empty: float | None
) -> tuple[float | None, float | None, float | None, float | None]:
    """HD, HD95, ASSD and MASD, or four times what an empty mask gets."""
    if distances is None:
        return empty, empty, empty, empty
    return distances.hausdorff, distances.hausdorff_95, distances.assd, distances.masd


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


def _status(predicted: bool, true: bool) -> str:
    return {
        (True, True): "scored",
        (False, True): "missed",
        (True, False): "false_positive",
        (False, False): "not_applicable",
    }[predicted, true]
