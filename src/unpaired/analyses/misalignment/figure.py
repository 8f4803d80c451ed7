"""Dice against misalignment of the partner: a line per run, a panel per modality and kind of misalignment."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from unpaired.analyses.misalignment.scores import (
    KINDS,
    UNITS,
    MisalignmentCurve,
    MisalignmentRow,
    flat_runs,
    misalignment_curves,
)
from unpaired.errors import InputError
from unpaired.figures.style import LIGHT, LINE_STYLES, Theme, legend_above, plain

PANEL_INCHES = (3.1, 2.5)
TITLES = {"shift": "shifted", "rotation": "turned", "missing": "slices missing"}


def draw_misalignment(rows: Sequence[MisalignmentRow], theme: Theme = LIGHT) -> Figure:
    """Rows of panels are modalities, columns what was done to the partner. A line per run through its mean Dice, a band
    for the 95 % bootstrap interval over patients of its change from amount 0; dotted, the partner-free Dice.

    A run that uses no partner says so in the legend: its line is flat. Raises InputError without curves.
    """
    curves = misalignment_curves(rows)
    if not curves:
        raise InputError("expected curves of Dice against misalignment to draw, got none")
    runs = list(dict.fromkeys(curve.run for curve in curves))
    modalities = list(dict.fromkeys(curve.modality for curve in curves))
    kinds = [kind for kind in KINDS if any(curve.kind == kind for curve in curves)]
    size = max(PANEL_INCHES[0] * len(kinds), 4.6), PANEL_INCHES[1] * len(modalities) + 0.3 + 0.22 * len(runs)
    figure = Figure(figsize=size, facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(len(modalities), len(kinds), squeeze=False, sharey="row", sharex="col")
    flat = flat_runs(rows)
    for row, modality in zip(panels, modalities, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            for curve in curves:
                if (curve.modality, curve.kind) == (modality, kind):
                    name = f"{curve.run}: uses no partner, flat" if curve.run in flat else curve.run
                    _draw_curve(axes, curve, name, runs.index(curve.run), theme)
        for axes in row:
            _label(axes, theme)
        row[0].set_ylabel(f"{modality}: Dice %", color=theme.ink, fontsize=9)
    for axes, kind in zip(panels[0], kinds, strict=True):
        axes.set_title(TITLES[kind], loc="left", color=theme.ink, fontsize=10.5, fontweight="bold")
    for axes, kind in zip(panels[-1], kinds, strict=True):
        axes.set_xlabel(f"partner {TITLES[kind]}, {UNITS[kind]}", color=theme.ink, fontsize=8.5)
    _legend(figure, panels[0][0], theme)
    return figure


def _draw_curve(axes: Axes, curve: MisalignmentCurve, name: str, place: int, theme: Theme) -> None:
    color, style = theme.series[place % len(theme.series)], LINE_STYLES[place % len(LINE_STYLES)]
    amounts = [point.amount for point in curve.points]
    base = curve.points[0].dice
    ends = [
        (base + point.change_interval.low, base + point.change_interval.high)
        if point.change_interval
        else (point.dice, point.dice)
        for point in curve.points
    ]
    axes.fill_between(
        amounts, [100 * low for low, _ in ends], [100 * high for _, high in ends], color=color, alpha=0.18, linewidth=0
    )
    axes.axhline(100 * curve.alone, color=color, linewidth=1.0, linestyle=(0, (1, 2)))
    dice = [100 * point.dice for point in curve.points]
    axes.plot(amounts, dice, color=color, linestyle=style, linewidth=1.7, marker="o", markersize=3.5, label=name)


def _label(axes: Axes, theme: Theme) -> None:
    axes.margins(y=0.12)
    plain(axes, theme)
    low, high = axes.get_ylim()
    if high - low < 4:  # points of Dice: a flat line must look flat
        middle = (low + high) / 2
        axes.set_ylim(middle - 2, middle + 2)


def _legend(figure: Figure, axes: Axes, theme: Theme) -> None:
    handles, labels = axes.get_legend_handles_labels()
    dotted = Line2D([], [], color=theme.ink, linewidth=1.0, linestyle=(0, (1, 2)))
    band = Patch(color=theme.ink, alpha=0.18, linewidth=0)
    named = dict(zip(labels, handles, strict=True))
    named |= {"alone (partner-free)": dotted, "95 % interval of the change from 0, over patients": band}
    legend_above(figure, named, theme, columns=2)
