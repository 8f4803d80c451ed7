"""Pictures of a case: the bare image above, prediction (fill) and reference (contour) drawn on it below."""

from dataclasses import replace
from typing import Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import ndimage

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.crop import Crop, crop_of, draw_gray
from unpaired.figures.style import class_color, class_style

PAPER, INK = "#0f1216", "#e6edf3"
FILL = 0.45
PANEL_INCHES, HEAD_INCHES = 2.35, 0.42
Align = Literal["left", "center", "right"]
VerticalAlign = Literal["top", "center", "bottom"]


def draw_case(view: CaseView, columns: int = 4, title: str | None = None, focus: int | None = None) -> Figure:
    """Draw up to `columns` telling slices of a case, cropped around the organs, in true proportions.

    The first column's letters say where the picture's sides lie in the patient. Without a label map the middle slices
    are drawn. With `focus`, a class number, the slices are those that show this class, in whichever label map it is;
    the rest of the labels stays in the picture. Raises InputError if the label maps haven't the volume's shape or
    `columns` is below 1.
    """
    for labels in (view.reference, view.prediction):
        if labels is not None and labels.shape != view.volume.shape:
            raise InputError(f"case {view.name}: expected label maps of shape {view.volume.shape}, got {labels.shape}")
    slices = telling_slices(view if focus is None else only_class(view, focus), columns)
    crop = crop_of(view)
    figure, panels = _panels(columns, crop.aspect)
    for column, index in enumerate(slices):
        bare, drawn = panels[column]
        draw_gray(bare, view, index, crop)
        draw_gray(drawn, view, index, crop)
        draw_labels(drawn, view, index, crop)
        write_on(bare, 0.03, 0.97, f"slice {index + 1} of {len(view.volume)}", "left", "top")
        if column == 0 and view.edges is not None:
            left, right, top, bottom = view.edges
            write_on(bare, 0.03, 0.5, left, "left", "center")
            write_on(bare, 0.97, 0.5, right, "right", "center")
            write_on(bare, 0.5, 0.97, top, "center", "top")
            write_on(bare, 0.5, 0.03, bottom, "center", "bottom")
    _name_classes([drawn for _, drawn in panels], view, slices, crop.box)
    place = 1 - HEAD_INCHES / 2 / figure.get_figheight()
    figure.text(0.008, place, title or default_title(view), color=INK, fontsize=10.5, va="center")
    draw_legend(figure, view)
    return figure


def default_title(view: CaseView) -> str:
    """The case, its modality and, where both label maps are there, the Dice of each class."""
    parts: list[str] = []
    if view.reference is not None and view.prediction is not None:
        for number, name in enumerate(view.classes[1:], start=1):
            predicted, true = (view.prediction == number) & (view.reference >= 0), view.reference == number
            total = int(predicted.sum()) + int(true.sum())
            if total:
                parts.append(f"{name} {2 * int((predicted & true).sum()) / total:.3f}")
    return f"{view.name} · {view.modality}" + (f" · Dice: {', '.join(parts)}" if parts else "")


def only_class(view: CaseView, number: int) -> CaseView:
    """The same view with the label maps reduced to one class (voxels of no certain class stay so)."""
    kept = [
        None if labels is None else np.where((labels == number) | (labels < 0), labels, 0)
        for labels in (view.reference, view.prediction)
    ]
    return replace(view, reference=kept[0], prediction=kept[1])


def telling_slices(view: CaseView, count: int) -> list[int]:
    """Up to `count` slices, ascending: spread evenly over the labels, the nearest swapped for the most wrong one."""
    if count < 1:
        raise InputError(f"expected at least one column to draw, got {count}")
    masks = [labels > 0 for labels in (view.reference, view.prediction) if labels is not None]
    area = sum((mask.sum(axis=(1, 2)) for mask in masks), np.zeros(len(view.volume), dtype=int))
    occupied = np.flatnonzero(area) if area.any() else np.arange(len(view.volume))
    count = min(count, len(occupied))
    spread = [int(occupied[int((place + 0.5) / count * len(occupied))]) for place in range(count)]
    if view.reference is not None and view.prediction is not None:
        wrong = ((view.reference != view.prediction) & (view.reference >= 0)).sum(axis=(1, 2))
        if wrong.any():
            worst = int(wrong.argmax())
            spread[min(range(count), key=lambda place: abs(spread[place] - worst))] = worst
    return sorted(spread)


def draw_labels(axes: Axes, view: CaseView, index: int, crop: Crop) -> None:
    """Draw a slice's prediction as fills and its reference as outlines, as far as the view has them."""
    if view.prediction is not None:
        labels = view.prediction[index][crop.box]
        fill = np.zeros((*labels.shape, 4))
        for number in range(1, len(view.classes)):
            fill[labels == number] = (*to_rgb(class_color(number)), FILL)
        axes.imshow(fill, extent=crop.extent, interpolation="nearest")
    if view.reference is None:
        return
    labels = view.reference[index][crop.box]
    x = (np.arange(labels.shape[1]) + 0.5) * view.spacing_mm[2]
    y = (np.arange(labels.shape[0]) + 0.5) * view.spacing_mm[1]
    for number in range(1, len(view.classes)):
        mask = labels == number
        if mask.any() and min(mask.shape) > 1:
            drawn = axes.contour(
                x, y, mask, [0.5], colors=[class_color(number)], linewidths=1.5, linestyles=class_style(number)
            )
            drawn.set_path_effects(_halo(3.0, "white", 0.9))


def _name_classes(panels: list[Axes], view: CaseView, slices: list[int], box: tuple[slice, slice]) -> None:
    """Write each class's name into it once, so that nobody needs its color: on a slice that shows it well, and one
    with few names on it."""
    names = [0] * len(slices)
    for number, name in enumerate(view.classes[1:], start=1):
        masks = [
            np.any(
                [labels[index][box] == number for labels in (view.reference, view.prediction) if labels is not None], 0
            )
            for index in slices
        ]
        areas = [int(mask.sum()) for mask in masks]
        if not any(areas):
            continue
        column = min(range(len(slices)), key=lambda at: (areas[at] < 0.6 * max(areas), names[at], -areas[at]))
        names[column] += 1
        # The voxel that lies deepest inside: text there touches the fewest borders.
        padded = np.pad(masks[column], 1)
        depth = np.asarray(ndimage.distance_transform_edt(padded, sampling=view.spacing_mm[1:]))
        row, col = np.unravel_index(int(np.argmax(depth)), depth.shape)
        x, y = (col - 0.5) * view.spacing_mm[2], (row - 0.5) * view.spacing_mm[1]
        panels[column].text(
            x, y, name, ha="center", va="center", color=INK, fontsize=6.5, path_effects=_halo(1.8), clip_on=True
        )


def _halo(width: float, color: str = "black", alpha: float = 0.8) -> list[patheffects.AbstractPathEffect]:
    return [patheffects.Stroke(linewidth=width, foreground=color, alpha=alpha), patheffects.Normal()]


def _panels(columns: int, aspect: float) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure with two panels (bare, drawn on) per column, each of height / width = `aspect`, without gaps."""
    width, height = PANEL_INCHES * columns, 2 * PANEL_INCHES * aspect + 2 * HEAD_INCHES
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    head = HEAD_INCHES / height
    grid = figure.add_gridspec(2, columns, left=0, right=1, wspace=0.012, hspace=0.012, top=1 - head, bottom=head)
    panels: list[tuple[Axes, Axes]] = []
    for column in range(columns):
        bare, drawn = (figure.add_subplot(grid[row, column]) for row in range(2))
        bare.set_axis_off()
        drawn.set_axis_off()
        panels.append((bare, drawn))
    return figure, panels


def write_on(axes: Axes, x: float, y: float, text: str, ha: Align, va: VerticalAlign) -> None:
    """Write a few words on a picture at a place in [0, 1] of the panel, readable on bright and dark tissue."""
    axes.text(x, y, text, transform=axes.transAxes, ha=ha, va=va, color=INK, fontsize=8, path_effects=_halo(2.0))


def draw_legend(figure: Figure, view: CaseView) -> None:
    """The classes' colors, and what fills and outlines are, along the figure's lower edge."""
    handles: list[Patch | Line2D] = [
        Patch(facecolor=class_color(number), label=name) for number, name in enumerate(view.classes[1:], start=1)
    ]
    if view.prediction is not None:
        handles.append(Patch(facecolor="#8b949e", alpha=0.75, label="fill: prediction"))
    if view.reference is not None:
        line = Line2D([], [], color="#8b949e", linewidth=1.5, label="outline: reference")
        line.set_path_effects(_halo(3.0, "white", 0.9))
        handles.append(line)
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 0.0),
        ncols=len(handles),
        frameon=False,
        labelcolor=INK,
        fontsize=8.5,
        handlelength=1.3,
        columnspacing=1.3,
        borderaxespad=0.3,
    )
