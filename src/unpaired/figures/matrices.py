"""A matrix as an image in its panel, and the bar that says what its colors mean."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from unpaired.figures.style import Theme


def draw_matrix(
    axes: Axes, matrix: np.ndarray | None, colors: str, limits: tuple[float, float], theme: Theme, stretched: bool
) -> AxesImage | None:
    """The matrix in matplotlib's color map `colors`, from the lower to the upper limit; "absent" for None.

    `stretched` fills the panel; otherwise entries are squares.
    """
    axes.set_facecolor(theme.paper)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
    if matrix is None:
        axes.text(0.5, 0.5, "absent", ha="center", va="center", color=theme.ink, fontsize=8, transform=axes.transAxes)
        return None
    aspect = "auto" if stretched else "equal"
    return axes.imshow(matrix, cmap=colors, vmin=limits[0], vmax=limits[1], aspect=aspect, interpolation="nearest")


def draw_color_bar(
    figure: Figure, image: AxesImage, box_inches: tuple[float, float, float, float], label: str, gap: int, theme: Theme
) -> None:
    """The bar of an image's colors in a box (left, bottom, width, height), its label `gap` points from the numbers."""
    width, height = figure.get_size_inches()
    left, bottom, bar_width, bar_height = box_inches
    axes = figure.add_axes((left / width, bottom / height, bar_width / width, bar_height / height))
    bar = figure.colorbar(image, cax=axes)
    bar.set_label(label, color=theme.ink, fontsize=8, labelpad=gap)
    bar.ax.tick_params(colors=theme.ink, labelsize=7, length=0)
    bar.outline.set_visible(False)  # type: ignore[operator]
