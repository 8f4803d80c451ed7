"""What SSC's external attention has learned: correlations of classes side by side, attention maps of each class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from unpaired.analyses.affinities.figure import difference_names
from unpaired.analyses.affinities.scores import Matrices, differences, disagreements
from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.class_rows import draw_class_rows
from unpaired.figures.matrices import draw_color_bar, draw_matrix
from unpaired.figures.style import LIGHT, Theme

CELL_INCHES, LEAST_INCHES, GAP_INCHES, FOOT_INCHES = 0.34, 1.6, 0.12, 0.26
LEFT_INCHES, RIGHT_INCHES, TOP_INCHES, BOTTOM_INCHES = 1.35, 0.95, 0.66, 0.78
MAP_INCHES = 2.0
WRITTEN = 8
"""Entries of matrices with up to so many classes are written into their cells."""
COLORS = {"R": "viridis", "difference": "PuOr_r"}


@dataclass(frozen=True)
class CorrelationView:
    """A run's mean R (class, class) of SSC Eq. 8 for each modality and, in it, each scale; None where it has none."""

    run: str
    scales: tuple[str, ...]
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    matrices: Matrices


@dataclass(frozen=True)
class AttentionView:
    """A slice of a case with the attention (class, height, width) of each class at each scale; 1 is even attention."""

    run: str
    scales: tuple[str, ...]
    view: CaseView
    depth: int
    maps: tuple[np.ndarray, ...]


def draw_correlations(view: CorrelationView, theme: Theme = LIGHT) -> Figure:
    """A row per scale: each modality's R (row i: how the maps of all classes answer to class i), then the difference.

    Of two modalities that is the first minus the second; of more, each minus the mean of all; of one there is none. The
    number below is the mean squared difference of entries over all pairs. All R have one range of colors. Raises
    InputError if there is no matrix to draw.
    """
    several = len(view.modalities) > 1
    rows = [[of_modality[number] for of_modality in view.matrices] for number in range(len(view.scales))]
    apart = [differences(row) if several else [] for row in rows]
    ranges = _color_ranges(view, apart)
    heads = [*view.modalities, *(difference_names(view.modalities) if several else [])]
    size = max(LEAST_INCHES, CELL_INCHES * len(view.classes))
    width = LEFT_INCHES + len(heads) * (size + GAP_INCHES) + RIGHT_INCHES
    height = TOP_INCHES + len(rows) * (size + FOOT_INCHES) + BOTTOM_INCHES
    figure = Figure(figsize=(width, height), facecolor=theme.paper)
    images: dict[str, AxesImage] = {}
    values = disagreements(view.matrices)
    for number, name in enumerate(view.scales):
        bottom = height - TOP_INCHES - (number + 1) * (size + FOOT_INCHES) + FOOT_INCHES
        for column, matrix in enumerate([*rows[number], *apart[number]]):
            left = LEFT_INCHES + column * (size + GAP_INCHES)
            axes = figure.add_axes((left / width, bottom / height, size / width, size / height))
            kind = "R" if column < len(view.modalities) else "difference"
            image = _draw_matrix(axes, matrix, ranges[kind], kind, theme)
            images |= {} if image is None else {kind: image}
            _name_classes(axes, view.classes, column == 0, number == len(rows) - 1, theme)
            if number == 0:
                axes.set_title(heads[column], color=theme.ink, fontsize=9, pad=4)
            if column == 0:
                axes.set_ylabel(name, color=theme.ink, fontsize=9, fontweight="bold")
            if kind == "difference" and column == len(view.modalities):
                value = values[number].elementwise
                text = "" if value is None else f"mean squared difference {value:.2g}"
                place = left / width, (bottom - (FOOT_INCHES / 2 if number < len(rows) - 1 else 0.82)) / height
                figure.text(*place, text, color=theme.ink, fontsize=7.5, va="center")
    _draw_bars(figure, images, size, theme)
    title = f"{view.run}: semantic correlation of classes (R), mean over cases"
    figure.text(0.1 / width, 1 - 0.2 / height, title, color=theme.ink, fontsize=10.5, fontweight="bold", va="center")
    return figure


def correlations_alt(view: CorrelationView) -> str:
    """The picture in words."""
    parts = [
        f"{name} {disagreement.elementwise:.2g}"
        for name, disagreement in zip(view.scales, disagreements(view.matrices), strict=True)
        if disagreement.elementwise is not None
    ]
    apart = f". Mean squared difference {', '.join(parts)}" if parts else ""
    return (
        f"Semantic correlation matrices of {view.run} over {', '.join(view.classes)}, a row per scale "
        f"({', '.join(view.scales)}), a column per modality ({', '.join(view.modalities)}) and their difference{apart}"
    )


def draw_attention(view: AttentionView) -> Figure:
    """A row per class: the slice with the class's outline, and where the class attends at each scale.

    Below each map stands its mean inside and outside of the class; 1 is attention spread evenly over the window. Each
    map goes from 0 (black) to its largest value in the part shown. Raises InputError if a map hasn't the slice's shape.
    """
    case = view.view
    shape = (len(case.classes), *case.volume.shape[1:])
    if case.reference is None or any(attention_map.shape != shape for attention_map in view.maps):
        raise InputError(f"case {case.name}: expected a reference, and attention of shape {shape} at each scale")
    title = f"{view.run} · attention · {case.modality} · {case.name}, slice {view.depth + 1} of {len(case.volume)}"
    heads = ["image, class", *view.scales]
    figure, rows = draw_class_rows(case, case.reference[view.depth], view.depth, heads, title, MAP_INCHES)
    for row in rows:
        for column, of_scale in enumerate(view.maps, start=1):
            row.draw(column, of_scale[row.number])
        for axes in row.panels:
            row.outline(axes)
    return figure


def attention_alt(view: AttentionView) -> str:
    """The picture in words."""
    return (
        f"Where each class ({', '.join(view.view.classes)}) of {view.run} attends on a slice of {view.view.name} "
        f"({view.view.modality}), a row per class: the image, then the scales {', '.join(view.scales)}"
    )


def _color_ranges(
    view: CorrelationView, apart: Sequence[Sequence[np.ndarray | None]]
) -> dict[str, tuple[float, float]]:
    """The values from the first to the last color of all R, and of all their differences. InputError without any R."""
    present = [matrix for of_modality in view.matrices for matrix in of_modality if matrix is not None]
    if not present:
        raise InputError(f"{view.run}: expected correlations to draw, got none")
    largest = max((abs(matrix).max() for row in apart for matrix in row if matrix is not None), default=1.0)
    return {
        "R": (min(matrix.min() for matrix in present), max(matrix.max() for matrix in present)),
        "difference": (-largest, largest),
    }


def _draw_matrix(
    axes: Axes, matrix: np.ndarray | None, limits: tuple[float, float], kind: str, theme: Theme
) -> AxesImage | None:
    image = draw_matrix(axes, matrix, COLORS[kind], limits, theme, stretched=False)
    if matrix is not None and image is not None and len(matrix) <= WRITTEN:
        for (row, column), value in np.ndenumerate(matrix):
            red, green, blue, _ = image.cmap(image.norm(value))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
            text = f"{value:.2f}" if kind == "R" else f"{round(value, 2) + 0:+.2f}"
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=6.5)
    return image


def _name_classes(axes: Axes, classes: Sequence[str], left: bool, below: bool, theme: Theme) -> None:
    places = range(len(classes))
    axes.set_xticks(places if below else [], classes if below else [], rotation=90)
    axes.set_yticks(places if left else [], classes if left else [])
    axes.tick_params(colors=theme.ink, labelsize=7, length=0)


def _draw_bars(figure: Figure, images: dict[str, AxesImage], size: float, theme: Theme) -> None:
    width, height = figure.get_size_inches()
    for place, (kind, image) in enumerate(images.items()):
        bottom = height - TOP_INCHES - (place + 1) * (size + FOOT_INCHES) + FOOT_INCHES
        if bottom < 0:  # one scale alone has room for one bar; its numbers are written
            break
        draw_color_bar(figure, image, (width - RIGHT_INCHES + 0.1, bottom, 0.1, size), kind, 3, theme)
