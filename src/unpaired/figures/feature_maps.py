"""What a layer's channels see: feature maps beside the classes they are meant to find (CSA Fig. 2, with numbers)."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.overlays import INK, PAPER, display_window, organ_box, write_on
from unpaired.figures.style import class_color

PANEL_INCHES, HEAD_INCHES = 1.75, 0.62
BACKGROUND_COLOR = "#ffffff"


@dataclass(frozen=True)
class ClassChannels:
    """A class's most selective channels, the best first: their numbers, the AP (0 to 1) by which they were chosen, and
    |activation| on the slice (channel, height, width)."""

    numbers: tuple[int, ...]
    precisions: tuple[float, ...]
    maps: np.ndarray


@dataclass(frozen=True)
class FeatureView:
    """One slice of a case with the feature maps of a layer, on the prepared grid.

    `view` is the case (its reference may hold negative numbers where the class is not certain), `depth` the slice,
    `mean` (height, width) the mean of |activation| over all channels, `channels` one entry per class with background.
    """

    run: str
    layer: str
    view: CaseView
    depth: int
    mean: np.ndarray
    channels: tuple[ClassChannels, ...]


def telling_slice(reference: np.ndarray) -> int:
    """The slice with the most classes, of these the one with the largest foreground; without any, the middle one."""
    if not (reference > 0).any():
        return len(reference) // 2
    counts = [(len(np.unique(labels[labels > 0])), int((labels > 0).sum())) for labels in reference]
    return max(range(len(counts)), key=lambda index: counts[index])


def draw_feature_maps(view: FeatureView) -> Figure:
    """A row per class: the slice with the class's outline, the mean of |activation| over all channels, the same inside
    the class alone, the class's most selective channels, and the best of them inside the class (F^c of CSA Eq. 2).

    Below each map stands its mean inside and outside of the class; all maps of a channel have one scale, from 0 (black)
    to its largest value in the part shown. Raises InputError if a map hasn't the slice's shape.
    """
    case = view.view
    if case.reference is None or view.mean.shape != case.volume.shape[1:]:
        raise InputError(f"case {case.name}: expected a reference, and maps of shape {case.volume.shape[1:]}")
    box = organ_box(case)
    rows, cols = box
    size_mm = ((rows.stop - rows.start) * case.spacing_mm[1], (cols.stop - cols.start) * case.spacing_mm[2])
    extent = (0.0, size_mm[1], size_mm[0], 0.0)
    shown = max(len(one.numbers) for one in view.channels)
    columns = 4 + shown
    panel_height = PANEL_INCHES * size_mm[0] / size_mm[1]
    width, height = PANEL_INCHES * columns, panel_height * len(case.classes) + HEAD_INCHES
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    grid = figure.add_gridspec(
        len(case.classes), columns, left=0, right=1, bottom=0, top=1 - HEAD_INCHES / height, wspace=0.02, hspace=0.02
    )
    low, high = display_window(case, rows, cols)
    labels = case.reference[view.depth]
    for number, (name, best) in enumerate(zip(case.classes, view.channels, strict=True)):
        panels = [figure.add_subplot(grid[number, column]) for column in range(columns)]
        for axes in panels:
            axes.set_axis_off()
        mask, certain = labels == number, labels >= 0
        gray = case.volume[view.depth, rows, cols]
        panels[0].imshow(gray, cmap="gray", vmin=low, vmax=high, extent=extent)
        write_on(panels[0], 0.04, 0.96, name, "left", "top")
        draw_map(panels[1], view.mean[box], view.mean[box], extent, inside_outside(view.mean, mask, certain))
        draw_map(panels[2], np.where(mask, view.mean, 0)[box], view.mean[box], extent, "")
        for axes, channel, precision, values in zip(panels[3:], best.numbers, best.precisions, best.maps, strict=False):
            draw_map(axes, values[box], values[box], extent, inside_outside(values, mask, certain))
            write_on(axes, 0.04, 0.96, f"{channel} · AP {100 * precision:.0f} %", "left", "top")
        if best.numbers:
            draw_map(panels[-1], np.where(mask, best.maps[0], 0)[box], best.maps[0][box], extent, "")
            write_on(panels[-1], 0.04, 0.96, f"{best.numbers[0]}", "left", "top")
        for axes in panels[:-1]:
            draw_outline(axes, mask[box], number, case, extent)
    heads = [
        "image, class",
        "mean |F|",
        "mean |F| in class",
        *(f"channel, no. {n + 1}" for n in range(shown)),
        "best |F| in class",
    ]
    place = 1 - 0.44 / height
    for column, head in enumerate(heads):
        figure.text((column + 0.5) / columns, place, head, color=INK, fontsize=8, ha="center", va="center")
    title = f"{view.run} · {view.layer} · {case.modality} · {case.name}, slice {view.depth + 1} of {len(case.volume)}"
    figure.text(0.008, 1 - 0.17 / height, title, color=INK, fontsize=10, va="center")
    return figure


def inside_outside(values: np.ndarray, mask: np.ndarray, certain: np.ndarray) -> str:
    """ "in 1.3  out 0.42": the mean of a map inside a mask and outside of it, over voxels whose class is certain."""
    parts = []
    for word, where in (("in", mask & certain), ("out", certain & ~mask)):
        parts.append(f"{word} {values[where].mean():.2g}" if where.any() else f"{word} –")
    return "  ".join(parts)


def feature_maps_alt(view: FeatureView) -> str:
    """The picture in words."""
    return (
        f"Feature maps of layer {view.layer} of {view.run} on a slice of {view.view.name} ({view.view.modality}), a "
        f"row per class ({', '.join(view.view.classes)}): the image, the mean of all channels, the class's best ones"
    )


def draw_map(axes: Axes, values: np.ndarray, scale: np.ndarray, extent: tuple[float, ...], text: str) -> None:
    """A map from 0 (black) to the largest value of `scale`, with a line of text in its corner."""
    left, right, bottom, top = extent
    most = float(scale.max()) or 1.0
    axes.imshow(values, cmap="magma", vmin=0, vmax=most, extent=(left, right, bottom, top), interpolation="nearest")
    if text:
        write_on(axes, 0.04, 0.04, text, "left", "bottom")


def draw_outline(axes: Axes, mask: np.ndarray, number: int, case: CaseView, extent: tuple[float, ...]) -> None:
    """The contour of class `number` in its color; nothing where the part shown is all inside or all outside."""
    if not mask.any() or mask.all() or min(mask.shape) < 2:
        return
    x = (np.arange(mask.shape[1]) + 0.5) * case.spacing_mm[2]
    y = (np.arange(mask.shape[0]) + 0.5) * case.spacing_mm[1]
    color = class_color(number) if number else BACKGROUND_COLOR
    axes.contour(x, y, mask, [0.5], colors=[color], linewidths=0.9)
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
