"""Cases as several methods segmented them, beside image and reference, with the Dice below (CSA Fig. 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.crop import Crop, crop_of, draw_gray
from unpaired.figures.overlays import (
    INK,
    PANEL_INCHES,
    PAPER,
    draw_labels,
    draw_legend,
    write_on,
)

HEAD_INCHES, FOOT_INCHES, LEFT_INCHES = 0.34, 0.42, 0.0
SHOWN_CLASSES = 4


@dataclass(frozen=True)
class GridCase:
    """A case to draw: why it was chosen ("median", "worst", "only"), and {method: the case with its prediction}."""

    why: str
    views: Mapping[str, CaseView]


def dice_by_class(view: CaseView) -> dict[str, float]:
    """{class: Dice of the whole case} for the foreground classes that prediction or reference have.

    Voxels whose class is not certain (negative in the reference) are left out. Without a label map it is empty.
    """
    scores: dict[str, float] = {}
    if view.reference is None or view.prediction is None:
        return scores
    certain = view.reference >= 0
    for number, name in enumerate(view.classes[1:], start=1):
        predicted, true = (view.prediction == number) & certain, view.reference == number
        total = int(predicted.sum()) + int(true.sum())
        if total:
            scores[name] = 2 * int((predicted & true).sum()) / total
    return scores


def median_and_worst(scores: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """{case: "median" or "worst"} by each case's mean over methods; `scores` {method: {case: mean Dice}}.

    Of an even number the median is the lower one. A single case is "only", of no case the result is empty. Cases that
    a method lacks are not chosen. No method has a say of its own, so none is shown at its best.
    """
    shared = set.intersection(*(set(of) for of in scores.values())) if scores else set()
    means = {case: sum(of[case] for of in scores.values()) / len(scores) for case in shared}
    order = sorted(means, key=lambda case: (means[case], case))
    if not order:
        return {}
    if len(order) == 1:
        return {order[0]: "only"}
    median = order[(len(order) - 1) // 2]
    return {order[0]: "worst"} if median == order[0] else {median: "median", order[0]: "worst"}


def most_wrong_slice(views: Sequence[CaseView]) -> int:
    """The slice in which most voxels are wrong, all methods added up; the largest of the reference if none is."""
    wrong = np.zeros(len(views[0].volume), dtype=np.int64)
    area = np.zeros_like(wrong)
    for view in views:
        if view.reference is not None and view.prediction is not None:
            wrong += ((view.reference != view.prediction) & (view.reference >= 0)).sum(axis=(1, 2))
            area += (view.reference > 0).sum(axis=(1, 2))
    return int((wrong if wrong.any() else area).argmax())


def shown_slice(case: GridCase) -> int:
    """The worst case shows where it goes wrong, `most_wrong_slice`; any other its largest slice of the reference."""
    views = list(case.views.values())
    reference = views[0].reference
    if case.why == "worst" or reference is None or not (reference > 0).any():
        return most_wrong_slice(views)
    return int((reference > 0).sum(axis=(1, 2)).argmax())


def draw_segmentation_grid(cases: Sequence[GridCase]) -> Figure:
    """A row per case: image, reference (outline on the image), then each method's prediction as a fill with it.

    Every row has one slice, `shown_slice`, cropped around all labels. Below each prediction stands the Dice of the
    whole case. Raises InputError without a case, or if cases have other methods or label maps another shape.
    """
    if not cases or any(list(case.views) != list(cases[0].views) for case in cases):
        raise InputError("expected at least one case, each with the same methods")
    names = list(cases[0].views)
    crops = [_crop(case) for case in cases]
    heights = [PANEL_INCHES * crop.aspect + FOOT_INCHES for crop in crops]
    columns = 2 + len(names)
    width, height = PANEL_INCHES * columns, sum(heights) + 2 * HEAD_INCHES
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    for column, name in enumerate(["image", "reference", *names]):
        place = ((column + 0.5) / columns, 1 - HEAD_INCHES / 2 / height)
        figure.text(*place, name, color=INK, fontsize=10, ha="center", va="center")
    top = height - HEAD_INCHES
    for case, crop, tall in zip(cases, crops, heights, strict=True):
        _draw_row(figure, case, crop, (top, tall), (width, height))
        top -= tall
    draw_legend(figure, cases[0].views[names[0]])
    return figure


def segmentation_grid_alt(cases: Sequence[GridCase]) -> str:
    """The picture in words: every method's mean Dice in each case."""
    parts: list[str] = []
    for case in cases:
        first = next(iter(case.views.values()))
        values = [f"{name} {_mean_text(view)}" for name, view in case.views.items()]
        parts.append(f"{first.name} ({first.modality}, {case.why}): {', '.join(values)}")
    return f"Image, reference and every method's label map. Mean Dice: {'; '.join(parts)}."


def _draw_row(figure: Figure, case: GridCase, crop: Crop, row: tuple[float, float], size: tuple[float, float]) -> None:
    """`row` is its (top, height), `size` the figure's (width, height), in inches."""
    first = next(iter(case.views.values()))
    index = shown_slice(case)
    bare = replace(first, prediction=None, reference=None)
    panels = {"image": bare, "reference": replace(first, prediction=None), **case.views}
    top, tall = row
    gap = 0.015
    for column, view in enumerate(panels.values()):
        left, bottom = (column * PANEL_INCHES + gap) / size[0], (top - tall + FOOT_INCHES) / size[1]
        axes = figure.add_axes((left, bottom, (PANEL_INCHES - 2 * gap) / size[0], (tall - FOOT_INCHES - gap) / size[1]))
        axes.set_axis_off()
        draw_gray(axes, first, index, crop)
        draw_labels(axes, view, index, crop)
        foot = ((column + 0.5) * PANEL_INCHES / size[0], (top - tall + FOOT_INCHES * 0.52) / size[1])
        figure.text(*foot, _foot(column, view, first, case.why), color=INK, fontsize=7.2, ha="center", va="center")
        if column == 0:
            write_on(axes, 0.03, 0.97, f"slice {index + 1} of {len(first.volume)}", "left", "top")


def _foot(column: int, view: CaseView, first: CaseView, why: str) -> str:
    if column == 0:
        return f"{first.modality}: {first.name}\n{why} case"
    if column == 1:
        return ""
    values = dice_by_class(view)
    parts = [f"{name} {100 * value:.1f}" for name, value in values.items()]
    listed = (
        "  ".join(parts)
        if len(parts) <= SHOWN_CLASSES
        else f"lowest {min(parts, key=lambda text: float(text.rsplit(' ', 1)[1]))}"
    )
    return f"Dice {_mean_text(view)}\n{listed}"


def _mean_text(view: CaseView) -> str:
    values = list(dice_by_class(view).values())
    return f"{100 * sum(values) / len(values):.1f}" if values else "–"


def _crop(case: GridCase) -> Crop:
    """The crop around the labels of the reference and of every method."""
    first = next(iter(case.views.values()))
    union = np.zeros(first.volume.shape, dtype=np.uint8)
    for view in case.views.values():
        for labels in (view.reference, view.prediction):
            if labels is not None and labels.shape != first.volume.shape:
                raise InputError(
                    f"case {view.name}: expected label maps of shape {first.volume.shape}, got {labels.shape}"
                )
        if view.prediction is not None:
            union |= view.prediction > 0
    return crop_of(first, around=replace(first, prediction=union))
