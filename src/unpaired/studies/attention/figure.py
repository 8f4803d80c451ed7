"""What SSC's external attention has learned: correlations of classes side by side, attention maps of each class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.feature_maps import draw_map, draw_outline, inside_outside
from unpaired.figures.overlays import INK, PAPER, display_window, organ_box, write_on
from unpaired.figures.style import LIGHT, Theme
from unpaired.studies.affinities.figure import difference_names
from unpaired.studies.affinities.scores import Matrices, differences, disagreements

CELL_INCHES, LEAST_INCHES, GAP_INCHES, FOOT_INCHES = 0.34, 1.6, 0.12, 0.26
LEFT_INCHES, RIGHT_INCHES, TOP_INCHES, BOTTOM_INCHES = 1.35, 0.95, 0.66, 0.78
MAP_INCHES, HEAD_INCHES = 2.0, 0.62
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
    present = [matrix for of_modality in view.matrices for matrix in of_modality if matrix is not None]
    if not present:
        raise InputError(f"{view.run}: expected correlations to draw, got none")
    several = len(view.modalities) > 1
    rows = [[of_modality[number] for of_modality in view.matrices] for number in range(len(view.scales))]
    apart = [differences(row) if several else [] for row in rows]
    changes = [abs(one).max() for row in apart for one in row if one is not None]
    ranges = {
        "R": (min(one.min() for one in present), max(one.max() for one in present)),
        "difference": (-max(changes, default=1.0), max(changes, default=1.0)),
    }
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
        f"{name} {one.elementwise:.2g}"
        for name, one in zip(view.scales, disagreements(view.matrices), strict=True)
        if one.elementwise is not None
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
    if case.reference is None or any(one.shape != shape for one in view.maps):
        raise InputError(f"case {case.name}: expected a reference, and attention of shape {shape} at each scale")
    rows, cols = box = organ_box(case)
    size_mm = ((rows.stop - rows.start) * case.spacing_mm[1], (cols.stop - cols.start) * case.spacing_mm[2])
    extent = (0.0, size_mm[1], size_mm[0], 0.0)
    columns = 1 + len(view.scales)
    width = MAP_INCHES * columns
    height = MAP_INCHES * size_mm[0] / size_mm[1] * len(case.classes) + HEAD_INCHES
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    grid = figure.add_gridspec(
        len(case.classes), columns, left=0, right=1, bottom=0, top=1 - HEAD_INCHES / height, wspace=0.02, hspace=0.02
    )
    low, high = display_window(case, rows, cols)
    labels = case.reference[view.depth]
    for number, name in enumerate(case.classes):
        panels = [figure.add_subplot(grid[number, column]) for column in range(columns)]
        mask, certain = labels == number, labels >= 0
        panels[0].imshow(case.volume[view.depth, rows, cols], cmap="gray", vmin=low, vmax=high, extent=extent)
        write_on(panels[0], 0.04, 0.96, name, "left", "top")
        for axes, of_scale in zip(panels[1:], view.maps, strict=True):
            values = of_scale[number]
            draw_map(axes, values[box], values[box], extent, inside_outside(values, mask, certain))
        for axes in panels:
            axes.set_axis_off()
            draw_outline(axes, mask[box], number, case, extent)
    for column, head in enumerate(["image, class", *view.scales]):
        place = (column + 0.5) / columns, 1 - 0.44 / height
        figure.text(*place, head, color=INK, fontsize=8, ha="center", va="center")
    title = f"{view.run} · attention · {case.modality} · {case.name}, slice {view.depth + 1} of {len(case.volume)}"
    figure.text(0.008, 1 - 0.17 / height, title, color=INK, fontsize=10, va="center")
    return figure


def attention_alt(view: AttentionView) -> str:
    """The picture in words."""
    return (
        f"Where each class ({', '.join(view.view.classes)}) of {view.run} attends on a slice of {view.view.name} "
        f"({view.view.modality}), a row per class: the image, then the scales {', '.join(view.scales)}"
    )


def _draw_matrix(
    axes: Axes, matrix: np.ndarray | None, limits: tuple[float, float], kind: str, theme: Theme
) -> AxesImage | None:
    axes.set_facecolor(theme.paper)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
    if matrix is None:
        axes.text(0.5, 0.5, "absent", ha="center", va="center", color=theme.ink, fontsize=8, transform=axes.transAxes)
        return None
    low, high = limits
    image = axes.imshow(matrix, cmap=COLORS[kind], vmin=low, vmax=high, interpolation="nearest")
    if len(matrix) <= WRITTEN:
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
        at = ((width - RIGHT_INCHES + 0.1) / width, bottom / height, 0.1 / width, size / height)
        bar = figure.colorbar(image, cax=figure.add_axes(at))
        bar.set_label(kind, color=theme.ink, fontsize=8, labelpad=3)
        bar.ax.tick_params(colors=theme.ink, labelsize=7, length=0)
        bar.outline.set_visible(False)  # type: ignore[operator]
