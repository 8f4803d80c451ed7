"""One picture of a training while it runs: its curves, and below them a validation case of each modality."""

import io
from collections.abc import Iterable, Mapping, Sequence

from PIL import Image

from unpaired.figures.case_view import CaseView
from unpaired.figures.curves import curves_of, draw_curve
from unpaired.figures.overlays import PAPER, draw_case
from unpaired.figures.style import DARK, png

DPI = 80
SLICES = 5
"""How many slices of a case are drawn, as wide as three curves."""
SHOWN = ("loss", "validation Dice", "learning rate")


def draw_training(
    log: Sequence[Mapping[str, str]], validation: Sequence[Mapping[str, str]], cases: Iterable[CaseView]
) -> bytes:
    """A PNG: loss, validation Dice and learning rate by step, and of every case slices with prediction and reference.

    `log` and `validation` are the rows of log.csv and validation.csv.
    """
    curves = [curve for curve in curves_of(log, validation) if curve.title in SHOWN]
    pictures = [[png(draw_curve(curve, theme=DARK), DPI) for curve in curves]]
    pictures += [[png(draw_case(view, SLICES), DPI)] for view in cases]
    return _stacked([[Image.open(io.BytesIO(picture)).convert("RGB") for picture in row] for row in pictures if row])


def _stacked(rows: Sequence[Sequence[Image.Image]]) -> bytes:
    """Rows of pictures below each other, each row from the left."""
    width = max((sum(picture.width for picture in row) for row in rows), default=1)
    height = sum(max(picture.height for picture in row) for row in rows) or 1
    sheet = Image.new("RGB", (width, height), PAPER)
    top = 0
    for row in rows:
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width
        top += max(picture.height for picture in row)
    stream = io.BytesIO()
    sheet.save(stream, format="png")
    return stream.getvalue()
