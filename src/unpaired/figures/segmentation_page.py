"""A printable page of one segmented scan: slices with what was segmented, a table of volumes, what made it."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from unpaired.figures.style import LIGHT

A4_INCHES = (8.27, 11.69)
PANEL_COLUMNS = 4
FIRST_ROWS, FURTHER_ROWS, TABLE_COLUMNS = 16, 60, 2
"""Rows of a column of the table on the first page and on each further one, and columns of it on a page."""
ROW_HEIGHT = 0.0145
DPI = 200
Row = tuple[tuple[int, int, int], str, str, str]
"""Color, class, volume, slices."""
HEAD = ("class", "ml", "slices")


def segmentation_pages(
    title: str, facts: Sequence[str], panels: Sequence[tuple[str, np.ndarray]], aspect: float, rows: Sequence[Row]
) -> bytes:
    """A PDF: title and facts, panels (caption, picture (row, column, red-green-blue)), and the table of classes.

    `aspect` is a pixel's height by its width. A long table goes on on further pages. Equal contents give equal bytes.
    """
    stream = io.BytesIO()
    first = Figure(figsize=A4_INCHES, facecolor=LIGHT.paper)
    first.text(0.07, 0.955, title, color=LIGHT.ink, fontsize=17, weight="bold", va="top")
    for line, fact in enumerate(facts):
        first.text(0.07, 0.925 - 0.0155 * line, fact, color=LIGHT.ink, fontsize=8.5, va="top", wrap=True)
    bottom = _draw_panels(first, panels, aspect, top=0.905 - 0.0155 * len(facts))
    pages, start = [first], TABLE_COLUMNS * FIRST_ROWS
    _draw_table(first, rows[:start], FIRST_ROWS, top=bottom - 0.03)
    while start < len(rows):
        page = Figure(figsize=A4_INCHES, facecolor=LIGHT.paper)
        _draw_table(page, rows[start : start + TABLE_COLUMNS * FURTHER_ROWS], FURTHER_ROWS, top=0.95)
        pages.append(page)
        start += TABLE_COLUMNS * FURTHER_ROWS
    nothing = {"CreationDate": None, "Creator": None, "Producer": None}
    with warnings.catch_warnings(), PdfPages(stream, metadata=nothing) as document:
        warnings.simplefilter("ignore")  # of letters that the font lacks: boxes stand for them
        for page in pages:
            for text in page.findobj(Text):
                assert isinstance(text, Text)
                text.set_parse_math(False)  # a class called `a$x^$` is no formula
            document.savefig(page, dpi=DPI)
    return stream.getvalue()


def _draw_panels(figure: Figure, panels: Sequence[tuple[str, np.ndarray]], aspect: float, top: float) -> float:
    """Draw pictures side by side in true proportions; returns the lower end of the last row."""
    gap, left, width = 0.012, 0.07, 0.86
    columns = min(PANEL_COLUMNS, len(panels))
    across = (width - gap * (PANEL_COLUMNS - 1)) / PANEL_COLUMNS
    rows, length = panels[0][1].shape[:2]
    lines = -(-len(panels) // columns)
    down = min(across * A4_INCHES[0] / A4_INCHES[1] * aspect * rows / length, (top - 0.36) / lines - gap)
    for place, (caption, picture) in enumerate(panels):
        line, column = divmod(place, columns)
        box = (left + column * (across + gap), top - (line + 1) * down - line * gap, across, down)
        axes = figure.add_axes(box)
        axes.imshow(picture, aspect=aspect, interpolation="bilinear", interpolation_stage="rgba")
        axes.set_facecolor("black")
        _bare(axes)
        axes.text(0.03, 0.96, caption, transform=axes.transAxes, color="white", fontsize=7, va="top")
    return top - lines * down - (lines - 1) * gap


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_table(figure: Figure, rows: Sequence[Row], lines: int, top: float) -> None:
    for column in range(-(-len(rows) // lines)):
        left = 0.07 + 0.45 * column
        ends = (left + 0.025, left + 0.31, left + 0.4)
        for text, x, align in zip(HEAD, ends, ("left", "right", "right"), strict=True):
            figure.text(x, top, text, color=LIGHT.ink, fontsize=8, weight="bold", ha=align, va="center")
        for line, (color, *texts) in enumerate(rows[column * lines : (column + 1) * lines], start=1):
            y = top - line * ROW_HEIGHT
            shade = tuple(level / 255 for level in color)
            figure.add_artist(Rectangle((left, y - 0.004), 0.014, 0.008, facecolor=shade, edgecolor="none"))
            for text, x, align in zip(texts, ends, ("left", "right", "right"), strict=True):
                shortened = text if len(text) <= 38 else f"{text[:37]}…"
                figure.text(x, y, shortened, color=LIGHT.ink, fontsize=8, ha=align, va="center")
