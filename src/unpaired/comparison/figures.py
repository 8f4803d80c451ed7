"""Methods beside each other: every patient as a point, boxes per class, and paired differences with their interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unpaired.comparison.cells import number, p_text, percent, short_title
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.records import Column, Key
from unpaired.figures.style import LIGHT, Theme, legend_above, plain
from unpaired.scores.scores import higher_is_better

MARKERS = ("o", "s", "D", "^", "v", "P")
CLASSES_PER_ROW = 8
FAR = 4.0
"""A distance so many times the third quartile (as a rule an image's diagonal) gets the axis a square-root scale."""
ROOT_TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def draw_boxes(comparison: Comparison, score: str, modality: str, theme: Theme = LIGHT) -> Figure:
    """One score in one modality: per class a box for each method (quartiles, median) with its patients as points.

    A cross is a patient with a missed or invented structure in that column. Values of several seeds are averaged per
    patient. Columns without values are empty.
    """
    columns = [column for column in comparison.columns if column.modality == modality]
    chunks = [columns[start : start + CLASSES_PER_ROW] for start in range(0, len(columns), CLASSES_PER_ROW)]
    lanes = len(comparison.names)
    width = max(4.8, (0.35 + 0.22 * lanes) * max(map(len, chunks)) + 0.7)
    figure = Figure(figsize=(width, 3.2 * len(chunks)), facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(len(chunks), 1, squeeze=False, sharey=True)[:, 0]
    scale = 100 if percent(score) else 1
    for axes, chunk in zip(panels, chunks, strict=True):
        plain(axes, theme, 9, "y")
        for place, column in enumerate(chunk):
            for lane, name in enumerate(comparison.names):
                center = place + (lane - (lanes - 1) / 2) * 0.8 / lanes
                _draw_lane(axes, comparison, Key(score, column, name), center, 0.8 / lanes, scale, theme)
        axes.set_xticks(range(len(chunk)), [column.class_name for column in chunk])
        axes.set_xlim(-0.6, len(chunk) - 0.4)
        axes.set_ylabel(short_title(score), color=theme.ink, fontsize=9)
    _set_scale(panels[0], comparison, score, columns)
    handles = {name: _handle(place, theme, name) for place, name in enumerate(comparison.names)}
    legend_above(figure, handles, theme, columns=4, size=9)
    return figure


def draw_differences(comparison: Comparison, score: str, theme: Theme = LIGHT) -> Figure:
    """Each method minus the baseline, patients as points, their mean with its 95 % interval, a panel per modality.

    Over all classes together (the columns "mean"). Whichever direction a score has, the axis says which side is better.
    """
    columns, others = comparison.main_columns, comparison.others
    height = 0.75 + 0.5 * len(others)
    figure = Figure(figsize=(7.0, height * len(columns)), facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(len(columns), 1, squeeze=False, sharex=True)[:, 0]
    scale = 100 if percent(score) else 1
    for axes, column in zip(panels, columns, strict=True):
        plain(axes, theme, 9, "x")
        axes.axvline(0, color=theme.ink, linewidth=1)
        for row, name in enumerate(others):
            _draw_difference(axes, comparison, Key(score, column, name), row, scale, theme)
        axes.set_yticks(range(len(others)), others)
        axes.set_ylim(len(others) - 0.4, -0.6)
        axes.set_title(column.modality, loc="left", color=theme.ink, fontsize=10, fontweight="bold")
    sides = ("worse", "better") if higher_is_better(score) else ("better", "worse")
    panels[-1].set_xlabel(
        f"←  {sides[0]}     {short_title(score)}, minus {comparison.baseline}     {sides[1]}  →",
        color=theme.ink,
        fontsize=9,
    )
    return figure


def boxes_alt(comparison: Comparison, score: str, modality: str) -> str:
    """The boxes in words: each method's mean over all classes."""
    column = next(column for column in comparison.main_columns if column.modality == modality)
    means = ", ".join(
        f"{name} {number(score, comparison.cells[Key(score, column, name)].mean)}" for name in comparison.names
    )
    return f"{short_title(score)} of every patient in {modality}, by class and method. Means over the classes: {means}."


def differences_alt(comparison: Comparison, score: str) -> str:
    """The differences in words."""
    parts = [
        f"{key.method} in {key.column.modality} {number(score, difference.mean, signed=True)}, "
        f"corrected p {p_text(difference.p_holm)}"
        for key, difference in comparison.differences.items()
        if key.score == score and key.column in comparison.main_columns
    ]
    return f"Differences of {short_title(score)} to {comparison.baseline}, patients as points: {'; '.join(parts)}."


def _draw_lane(
    axes: Axes,
    comparison: Comparison,
    key: Key,
    center: float,
    width: float,
    scale: float,
    theme: Theme,
) -> None:
    """One method's box and points in one column."""
    color, marker = _look(comparison.names.index(key.method), theme)
    values = comparison.by_patient[key]
    if not values:
        return
    shown = np.array(list(values.values())) * scale
    box = axes.boxplot(
        [shown], positions=[center], widths=width * 0.78, whis=(0, 100), showfliers=False, showcaps=False
    )
    for part in (*box["boxes"], *box["whiskers"]):
        part.set(color=color, linewidth=1.0)
    for part in box["medians"]:
        part.set(color=color, linewidth=2.2)
    order = np.argsort(shown, kind="stable")
    places = np.empty(len(shown))
    places[order] = center + (np.arange(len(shown)) % 5 - 2) * width / 9  # neighbors in rank stand side by side
    empty = _patients_with_empty_structures(comparison, key.column, key.method)
    crossed = np.array([patient in empty for patient in values])
    axes.plot(places[~crossed], shown[~crossed], linestyle="", color=color, marker=marker, ms=4, mew=0, alpha=0.8)
    axes.plot(places[crossed], shown[crossed], linestyle="", color=color, marker="x", ms=6.5, mew=1.6, alpha=0.8)


def _draw_difference(axes: Axes, comparison: Comparison, key: Key, row: int, scale: float, theme: Theme) -> None:
    color, marker = _look(comparison.names.index(key.method), theme)
    values, baseline = comparison.by_patient[key], comparison.by_patient[key._replace(method=comparison.baseline)]
    points = np.sort([scale * (values[patient] - baseline[patient]) for patient in baseline if patient in values])
    offsets = (np.arange(len(points)) % 3 - 1) * 0.09
    axes.plot(points, row + offsets, linestyle="", marker=marker, color=color, markersize=4.5, alpha=0.55, mew=0)
    difference = comparison.differences[key]
    if difference.mean is None:
        return
    if difference.interval is not None:
        ends = [difference.interval.low * scale, difference.interval.high * scale]
        axes.plot(ends, [row + 0.26] * 2, color=color, linewidth=2.4, solid_capstyle="butt")
    axes.plot(difference.mean * scale, row + 0.26, marker="d", color=color, markersize=8, mec=theme.paper, mew=0.8)
    text = (
        number(key.score, difference.mean, signed=True),
        f"p {p_text(difference.p_holm)}",
        f"{difference.better}/{difference.patients} better",
    )
    axes.text(
        1.01, row, "   ".join(text), transform=axes.get_yaxis_transform(), color=theme.ink, fontsize=8.5, va="center"
    )


def _patients_with_empty_structures(comparison: Comparison, column: Column, name: str) -> set[str]:
    return {
        row.patient
        for rows in comparison.rows[name, column]
        for row in rows
        if row.status in ("missed", "false_positive")
    }


def _set_scale(axes: Axes, comparison: Comparison, score: str, columns: Sequence[Column]) -> None:
    """Percent up to 100; distances from 0, on a square-root scale where a few are far beyond the rest."""
    scale = 100 if percent(score) else 1
    values = [
        value * scale
        for column in columns
        for name in comparison.names
        for value in comparison.patient_values(score, column, name).values()
    ]
    if not values:
        return
    if higher_is_better(score):
        low = min(values)
        axes.set_ylim(max(-2.0, low - 0.08 * (100 - low) - 0.5), 100.5)
        return
    usual, most = float(np.quantile(values, 0.75)), max(values)
    axes.set_ylim(0, most * 1.06 or 1)
    if most > FAR * usual:
        axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        ticks = [0.0]
        for tick in ROOT_TICKS:
            if tick <= most and tick**0.5 - ticks[-1] ** 0.5 > 0.09 * most**0.5:
                ticks.append(tick)
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_ylim(0, most * 1.12)


def _look(place: int, theme: Theme) -> tuple[str, str]:
    return theme.series[place % len(theme.series)], MARKERS[place % len(MARKERS)]


def _handle(place: int, theme: Theme, name: str) -> Line2D:
    color, marker = _look(place, theme)
    return Line2D([], [], color=color, marker=marker, markersize=5, linewidth=1.6, label=name)
