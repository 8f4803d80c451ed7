"""What all figures share: colors that color-blind people can tell apart, a light and a dark theme, and bytes to embed.

Figures are `matplotlib.figure.Figure` objects that were never given to pyplot, so nothing global changes.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from unpaired.files import write_bytes

OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
"""M. Okabe and K. Ito, Color Universal Design (2008), ordered so that neighbors differ most on gray images.

At least 16 apart in CIELAB, with normal color vision and without each kind of cones (tested). Mixed with gray as a fill
some do come close to it or to each other, so pictures have outlines and names too.
"""
LineStyle = Literal["-", "--", ":", "-."]
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Theme:
    """Colors of a figure's paper and ink. The lines of `series` keep a contrast of 3:1 to the paper, and are at least
    15 apart in CIELAB, also without each kind of cones."""

    paper: str
    ink: str
    faint: str
    series: tuple[str, ...]


LIGHT = Theme("#ffffff", "#30363d", "#d8dee4", ("#0072B2", "#D55E00", "#69965A", "#A9558A", "#222222", "#8700FF"))
DARK = Theme("#15191e", "#d0d7de", "#3a424b", ("#56B4E9", "#E69F00", "#873CFF", "#CC79A7", "#F0E442", "#D22D3C"))


def class_color(number: int) -> str:
    """The color of foreground class `number` (1, 2, ...); after seven classes they repeat (see `class_style`)."""
    return OKABE_ITO[(number - 1) % len(OKABE_ITO)]


def class_style(number: int) -> LineStyle:
    """The contour's line style: solid for the first seven classes, dashed for the next, so that pairs stay distinct."""
    return LINE_STYLES[((number - 1) // len(OKABE_ITO)) % len(LINE_STYLES)]


def plain(axes: Axes, theme: Theme, labelsize: float = 8, grid: Literal["both", "x", "y"] = "both") -> None:
    """Panels without a frame: a faint grid behind the data, tick labels of `labelsize` points, no tick marks."""
    axes.set_facecolor(theme.paper)
    axes.tick_params(which="both", colors=theme.ink, labelsize=labelsize, length=0)
    axes.grid(axis=grid, color=theme.faint, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def legend_above(figure: Figure, handles: Mapping[str, Artist], theme: Theme, columns: int, size: float = 8.5) -> None:
    """The legend above all panels, from the left; `handles` {text: what it stands for}."""
    figure.legend(
        handles=list(handles.values()),
        labels=list(handles),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=size,
        labelcolor=theme.ink,
    )


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    _take_names_literally(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return stream.getvalue()


def write_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.svg and `name`.png into a folder."""
    write_bytes(folder / f"{name}.svg", svg(figure))
    write_bytes(folder / f"{name}.png", png(figure))


def webp(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as WebP: a fifth of PNG's size for pictures of scans, sharp enough for dense screens."""
    _take_names_literally(figure)
    stream = io.BytesIO()
    options = {"quality": 86, "method": 4}
    figure.savefig(stream, format="webp", dpi=dpi, facecolor=figure.get_facecolor(), pil_kwargs=options)
    return stream.getvalue()


def webp_of(picture: bytes) -> bytes:
    """A PNG as WebP, so that a figure that is wanted as both is drawn once."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(stream, format="webp", quality=86, method=4)
    return stream.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as SVG with its text as outlines, so that it looks the same without the font.

    The same figure gives the same bytes: matplotlib's random ids are drawn from a fixed salt.
    """
    _take_names_literally(figure)
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "unpaired"}):
        figure.savefig(stream, format="svg", facecolor=figure.get_facecolor(), metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _take_names_literally(figure: Figure) -> None:
    """A case called `a$x^$` is no formula: matplotlib would refuse to draw it. Only powers of ten on log axes are."""
    for text in _texts(figure):
        text.set_parse_math(False)


def _texts(artist: Artist) -> Iterator[Text]:
    """The texts below an artist, but for ticks that are not drawn (making them takes longer than a picture of a scan)
    and those of log axes."""
    if isinstance(artist, Text):
        yield artist
    for child in artist.get_children():
        if isinstance(child, Axis) and (not child.axes.axison or child.get_scale() == "log"):
            yield child.label
        else:
            yield from _texts(child)
