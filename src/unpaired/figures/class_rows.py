"""A slice of a case, a row per class: the image, then maps, outlined, with their means in the class and around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.figures.case_view import CaseView
from unpaired.figures.crop import Crop, crop_of, draw_gray
from unpaired.figures.overlays import INK, PAPER, write_on
from unpaired.figures.style import class_color

HEAD_INCHES = 0.62
BACKGROUND_COLOR = "#ffffff"


@dataclass(frozen=True)
class ClassRow:
    """The row of class `number`: its panels from left to right, the slice's voxels that are of the class (`mask`) and
    those whose class is certain, both (height, width)."""

    number: int
    panels: list[Axes]
    mask: np.ndarray
    certain: np.ndarray
    case: CaseView
    crop: Crop

    def draw(self, column: int, values: np.ndarray, note: str = "") -> None:
        """A map (height, width) from 0 (black) to its largest value in the crop; its means below, `note` above."""
        self._draw(column, values, values, note)
        write_on(self.panels[column], 0.04, 0.04, inside_outside(values, self.mask, self.certain), "left", "bottom")

    def draw_inside(self, column: int, values: np.ndarray, note: str = "") -> None:
        """The same colors, inside the class alone."""
        self._draw(column, np.where(self.mask, values, 0), values, note)

    def outline(self, axes: Axes) -> None:
        """The class's contour in its color; nothing where the crop is all inside or all outside."""
        mask = self.mask[self.crop.box]
        if not mask.any() or mask.all() or min(mask.shape) < 2:
            return
        x = (np.arange(mask.shape[1]) + 0.5) * self.case.spacing_mm[2]
        y = (np.arange(mask.shape[0]) + 0.5) * self.case.spacing_mm[1]
        color = class_color(self.number) if self.number else BACKGROUND_COLOR
        axes.contour(x, y, mask, [0.5], colors=[color], linewidths=0.9)
        left, right, bottom, top = self.crop.extent
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)

    def _draw(self, column: int, values: np.ndarray, scale: np.ndarray, note: str) -> None:
        box, axes = self.crop.box, self.panels[column]
        most = float(scale[box].max()) or 1.0
        axes.imshow(values[box], cmap="magma", vmin=0, vmax=most, extent=self.crop.extent, interpolation="nearest")
        if note:
            write_on(axes, 0.04, 0.96, note, "left", "top")


def draw_class_rows(
    case: CaseView, reference: np.ndarray, depth: int, heads: Sequence[str], title: str, panel_inches: float
) -> tuple[Figure, list[ClassRow]]:
    """A figure with a row for each class of a case, its first panel drawn, the others empty.

    `reference` is the slice's label map (height, width), negative where the class is not certain, `depth` the slice,
    `heads` what stands above each column, `panel_inches` the width of one.
    """
    crop = crop_of(case)
    width, height = panel_inches * len(heads), panel_inches * crop.aspect * len(case.classes) + HEAD_INCHES
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    top = 1 - HEAD_INCHES / height
    grid = figure.add_gridspec(
        len(case.classes), len(heads), left=0, right=1, bottom=0, top=top, wspace=0.02, hspace=0.02
    )
    rows: list[ClassRow] = []
    for number, name in enumerate(case.classes):
        panels = [figure.add_subplot(grid[number, column]) for column in range(len(heads))]
        for axes in panels:
            axes.set_axis_off()
        draw_gray(panels[0], case, depth, crop, interpolation=None)
        write_on(panels[0], 0.04, 0.96, name, "left", "top")
        rows.append(ClassRow(number, panels, reference == number, reference >= 0, case, crop))
    for column, head in enumerate(heads):
        place = ((column + 0.5) / len(heads), 1 - 0.44 / height)
        figure.text(*place, head, color=INK, fontsize=8, ha="center", va="center")
    figure.text(0.008, 1 - 0.17 / height, title, color=INK, fontsize=10, va="center")
    return figure, rows


def inside_outside(values: np.ndarray, mask: np.ndarray, certain: np.ndarray) -> str:
    """ "in 1.3  out 0.42": the mean of a map inside a mask and outside of it, over voxels whose class is certain."""
    parts: list[str] = []
    for word, where in (("in", mask & certain), ("out", certain & ~mask)):
        parts.append(f"{word} {values[where].mean():.2g}" if where.any() else f"{word} –")
    return "  ".join(parts)
