"""Figures that are made and not drawn, for tests of what is around them: drawing is most of the time of a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from unpaired.figures import style


@contextmanager
def undrawn(whole: bool = False) -> Iterator[None]:
    """Inside, every figure is saved as an empty SVG, or a picture of one pixel: of all pixels where it has to be as
    large as it is drawn (`whole`), for a browser.

    Nor are ticks made: matplotlib makes them, for all panels, to set how the grid is drawn and where it ends.
    """

    def save_empty(figure: Figure, file: BinaryIO, *, format: str, dpi: float = 72, **_: Any) -> None:
        width, height = (round(inches * dpi) for inches in figure.get_size_inches())
        if format == "svg":
            look = f'width="{width}pt" height="{height}pt" style="background: {to_hex(figure.get_facecolor())}"'
            file.write(f'<svg xmlns="http://www.w3.org/2000/svg" {look}/>'.encode())
        else:
            Image.new("L", (width, height) if whole else (1, 1)).save(file, format, method=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_empty)
        patch.setattr(Axes, "grid", left_out)
        patch.setattr(Axis, "set_clip_path", left_out)
        patch.setattr(style, "_take_names_literally", left_out)
        yield


def left_out(*_: Any, **__: Any) -> None:
    """What no picture shows."""
