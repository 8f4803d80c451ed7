"""One case as several methods segmented it: the same slices, crop and gray values, a column per method."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.crop import crop_of, draw_gray
from unpaired.figures.overlays import (
    INK,
    PANEL_INCHES,
    PAPER,
    draw_labels,
    draw_legend,
    only_class,
    telling_slices,
    write_on,
)

HEAD_INCHES = 0.34


def draw_methods(views: Mapping[str, CaseView], worst: str, slices: int = 3, focus: int | None = None) -> Figure:
    """Draw a case as seen by each of `views` {method: the case with its prediction}, one row per slice.

    The first column is the image with the reference's outline. The slices tell most of method `worst`: one is where it
    is most wrong; with `focus`, a class number, where it is most wrong about this class. Every panel has the same crop,
    around all labels of all methods. Raises InputError if there is no view, or if label maps haven't the volume's
    shape.
    """
    if worst not in views:
        raise InputError(f"expected the predictions of {worst} to draw, got those of {', '.join(views) or 'no method'}")
    first = views[worst]
    for view in views.values():
        for labels in (view.reference, view.prediction):
            if labels is not None and labels.shape != first.volume.shape:
                raise InputError(
                    f"case {view.name}: expected label maps of shape {first.volume.shape}, got {labels.shape}"
                )
    crop = crop_of(first, around=_all_labels(views, first))
    indices = telling_slices(first if focus is None else only_class(first, focus), slices)
    columns = {"image": replace(first, prediction=None), **views}
    figure, grid = _grid(len(indices), list(columns), crop.aspect)
    for column, view in enumerate(columns.values()):
        for row, index in enumerate(indices):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            draw_gray(axes, view, index, crop)
            draw_labels(axes, view, index, crop)
            if column == 0:
                write_on(axes, 0.03, 0.97, f"slice {index + 1} of {len(view.volume)}", "left", "top")
    draw_legend(figure, first)
    return figure


def _grid(rows: int, names: Sequence[str], aspect: float) -> tuple[Figure, GridSpec]:
    """A figure with `rows` places of height / width = `aspect` below each name, and room for the legend at its foot."""
    width, height = PANEL_INCHES * len(names), PANEL_INCHES * aspect * rows + 2 * HEAD_INCHES
    head = HEAD_INCHES / height
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    for column, name in enumerate(names):
        place = ((column + 0.5) / len(names), 1 - head / 2)
        figure.text(*place, name, color=INK, fontsize=10, ha="center", va="center")
    grid = figure.add_gridspec(rows, len(names), left=0, right=1, wspace=0.012, hspace=0.012, top=1 - head, bottom=head)
    return figure, grid


def _all_labels(views: Mapping[str, CaseView], first: CaseView) -> CaseView:
    """A view whose prediction has a label wherever any method has one."""
    union = np.zeros(first.volume.shape, dtype=np.uint8)
    for view in views.values():
        if view.prediction is not None:
            union |= view.prediction > 0
    return replace(first, prediction=union)
