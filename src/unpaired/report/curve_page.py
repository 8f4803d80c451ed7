"""The page of a study at several budgets: the curve, its table, a link to each budget's page, what failed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from unpaired.data.overwriting import Subject
from unpaired.figures.style import DARK, LIGHT, Theme, svg
from unpaired.files import write_text
from unpaired.report.pictures import Picture, data_uri
from unpaired.report.template import render
from unpaired.tables import Table


class BudgetLink(NamedTuple):
    """A budget and where its page is, from this one."""

    name: str
    page: str


def write_curve_page(
    path: Path,
    title: str,
    table: Table,
    rows: Table,
    draw: Callable[[Theme], Figure],
    alt: str,
    baseline: str,
    links: Sequence[BudgetLink],
    failures: Sequence[tuple[str, str]],
) -> None:
    """Write the page, one file that opens offline; `draw` draws the curve in light and in dark, `alt` says it in words,
    `rows` is what became of each row, which are tested against `baseline`."""
    light, dark = (data_uri("image/svg+xml", svg(draw(theme))) for theme in (LIGHT, DARK))
    text = render(
        "curve.html.jinja",
        Subject("study", (title,)),
        title=title,
        curve=Picture("Dice by minutes of training", light, dark, alt),
        baseline=baseline,
        table=table,
        rows=rows,
        links=links,
        failures=failures,
    )
    write_text(path, text)
