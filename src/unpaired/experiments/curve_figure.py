"""Dice against minutes: a panel for each modality, a line for each row."""

from matplotlib.figure import Figure

from unpaired.experiments.curve import StudyCurve
from unpaired.figures.style import LIGHT, LINE_STYLES, Theme, legend_above, plain

PANEL_INCHES = (3.8, 3.0)


def draw_curve(curve: StudyCurve, theme: Theme = LIGHT) -> Figure:
    """Mean Dice % of each row by the minutes that it had, on a logarithmic axis; filled where it differs from the
    baseline."""
    size = PANEL_INCHES[0] * len(curve.modalities), PANEL_INCHES[1] + 0.2 * len(curve.rows)
    figure = Figure(figsize=size, facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(1, len(curve.modalities), squeeze=False, sharey=True)[0]
    for axes, modality in zip(panels, curve.modalities, strict=True):
        for number, row in enumerate(curve.rows):
            points, color = curve.line(row, modality), theme.series[number % len(theme.series)]
            minutes, means = [point.minutes for point in points], [100 * point.mean for point in points]
            style = LINE_STYLES[number // len(theme.series) % len(LINE_STYLES)]
            axes.plot(minutes, means, color=color, linestyle=style, lw=1.7, label=row)
            filled = [color if point.significant else theme.paper for point in points]
            axes.scatter(minutes, means, s=24, color=filled, edgecolor=color, linewidth=1.2, zorder=3)
        axes.set_xscale("log")
        axes.set_xticks(curve.minutes, [f"{minutes:g}" for minutes in curve.minutes])
        axes.set_xticks([], minor=True)
        axes.set_title(modality, loc="left", color=theme.ink, fontsize=10, fontweight="bold")
        axes.set_xlabel("minutes of training", color=theme.ink, fontsize=8.5)
        plain(axes, theme)
    panels[0].set_ylabel("mean Dice %", color=theme.ink, fontsize=9)
    named = {line.get_label(): line for axes in panels for line in axes.lines}
    legend_above(figure, {row: named[row] for row in curve.rows}, theme, columns=3, size=8.5)
    return figure


def curve_alt(curve: StudyCurve) -> str:
    """The figure in words: each row at the first and the last budget."""
    parts: list[str] = []
    for modality in curve.modalities:
        for row in curve.rows:
            points = curve.line(row, modality)
            ends = dict.fromkeys((*points[:1], *points[-1:]))  # one point is both, and there may be none
            said = " to ".join(f"{100 * point.mean:.1f} ({point.minutes:g} min)" for point in ends)
            parts += [f"{row} on {modality}: {said}"] if said else []
    return f"Mean Dice % by minutes of training. {'; '.join(parts)}."
