"""One case as several methods segmented it: the same slices, crop and gray values, a column per method."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.overlays import (
    INK,
    PANEL_INCHES,
    PAPER,
    display_window,
    draw_labels,
    draw_legend,
    only_class,
    organ_box,
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
    rows, cols = organ_box(_all_labels(views, first))
    low, high = display_window(first, rows, cols)
    size_mm = ((rows.stop - rows.start) * first.spacing_mm[1], (cols.stop - cols.start) * first.spacing_mm[2])
    extent = (0.0, size_mm[1], size_mm[0], 0.0)
    indices = telling_slices(first if focus is None else only_class(first, focus), slices)
    columns = {"image": replace(first, prediction=None), **views}
    width, body = PANEL_INCHES * len(columns), PANEL_INCHES * size_mm[0] / size_mm[1] * len(indices)
    height = body + 2 * HEAD_INCHES
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    grid = figure.add_gridspec(
        len(indices),
        len(columns),
        left=0,
        right=1,
        wspace=0.012,
        hspace=0.012,
        top=1 - HEAD_INCHES / height,
        bottom=HEAD_INCHES / height,
    )
    for column, (name, view) in enumerate(columns.items()):
        place = ((column + 0.5) / len(columns), 1 - HEAD_INCHES / 2 / height)
        figure.text(*place, name, color=INK, fontsize=10, ha="center", va="center")
        for row, index in enumerate(indices):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            gray = view.volume[index, rows, cols]
            axes.imshow(gray, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bicubic")
            draw_labels(axes, view, index, (rows, cols), extent)
            if column == 0:
                write_on(axes, 0.03, 0.97, f"slice {index + 1} of {len(view.volume)}", "left", "top")
    draw_legend(figure, first)
    return figure


def _all_labels(views: Mapping[str, CaseView], first: CaseView) -> CaseView:
    """A view whose prediction has a label wherever any method has one."""
    union = np.zeros(first.volume.shape, dtype=np.uint8)
    for view in views.values():
        if view.prediction is not None:
            union |= view.prediction > 0
    return replace(first, prediction=union)
