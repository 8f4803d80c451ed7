"""Few-shot curves: a score against the number of training patients of one modality."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.comparison.cells import number, percent, short_title
from unpaired.comparison.few_shot import FewShotCurve
from unpaired.errors import InputError
from unpaired.figures.style import LIGHT, LINE_STYLES, Theme, legend_above, plain

PANEL_INCHES = (3.4, 2.7)


def draw_few_shot(curves: Sequence[FewShotCurve], theme: Theme = LIGHT) -> Figure:
    """A row per modality with few training patients, a column per modality that is scored: every draw a point, a line
    through the means of each method's draws. Patients are counted on a logarithmic axis. Raises InputError without
    curves."""
    if not curves:
        raise InputError("expected few-shot curves to draw, got none")
    scarce = list(dict.fromkeys(curve.scarce for curve in curves))
    measured = list(dict.fromkeys(curve.measured for curve in curves))
    methods = list(dict.fromkeys(curve.method for curve in curves))
    size = PANEL_INCHES[0] * len(measured), PANEL_INCHES[1] * len(scarce) + 0.4
    figure = Figure(figsize=size, facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(len(scarce), len(measured), squeeze=False, sharey=True)
    for row, few in zip(panels, scarce, strict=True):
        for axes, modality in zip(row, measured, strict=True):
            shown = [curve for curve in curves if (curve.scarce, curve.measured) == (few, modality)]
            for curve in shown:
                _draw_curve(axes, curve, methods.index(curve.method), theme)
            _label(axes, sorted({draw.patients for curve in shown for draw in curve.draws}), theme)
            axes.set_title(f"scored on {modality}", loc="left", color=theme.ink, fontsize=10, fontweight="bold")
            axes.set_xlabel(f"training patients of {few}", color=theme.ink, fontsize=8.5)
        row[0].set_ylabel(short_title(curves[0].score), color=theme.ink, fontsize=9)
    named = {line.get_label(): line for axes in panels.flat for line in axes.lines}
    legend_above(figure, {name: named[name] for name in methods}, theme, columns=4, size=9)
    return figure


def few_shot_alt(curves: Sequence[FewShotCurve]) -> str:
    """The curves in words: the means of each."""
    parts: list[str] = []
    for curve in curves:
        ends = ", ".join(f"{number(curve.score, mean)} with {count}" for count, mean in curve.means.items())
        parts.append(f"{curve.method} on {curve.measured}, patients of {curve.scarce}: {ends}")
    return f"{short_title(curves[0].score) if curves else 'score'} by training patients. {'; '.join(parts)}"


def _draw_curve(axes: Axes, curve: FewShotCurve, place: int, theme: Theme) -> None:
    scale = 100 if percent(curve.score) else 1
    color, style = theme.series[place % len(theme.series)], LINE_STYLES[place % len(LINE_STYLES)]
    means = curve.means
    axes.plot(
        list(means), [scale * mean for mean in means.values()], color=color, linestyle=style, label=curve.method, lw=1.7
    )
    counts, values = [draw.patients for draw in curve.draws], [scale * draw.value for draw in curve.draws]
    axes.scatter(counts, values, s=22, facecolor="none", edgecolor=color, linewidth=1.2, zorder=3)


def _label(axes: Axes, counts: Sequence[int], theme: Theme) -> None:
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xticks([], minor=True)
    plain(axes, theme)
