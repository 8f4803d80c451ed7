"""Figures that are made and not drawn, for tests of what is around them: drawing is most of the time of a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from PIL import Image

from unpaired.figures import style


@contextmanager
def undrawn() -> Iterator[None]:
    """Inside, every figure is saved as a picture of one pixel, or an empty SVG.

    Nor are ticks made: matplotlib makes them, for all panels, to set how the grid is drawn and where it ends.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_a_pixel)
        patch.setattr(Axes, "grid", left_out)
        patch.setattr(Axis, "set_clip_path", left_out)
        patch.setattr(style, "_take_names_literally", left_out)
        yield


def save_a_pixel(figure: Figure, file: BinaryIO, *, format: str, **_: Any) -> None:
    if format == "svg":
        file.write(b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    else:
        Image.new("RGB", (1, 1)).save(file, format)


def left_out(*_: Any, **__: Any) -> None:
    """What no picture shows."""
