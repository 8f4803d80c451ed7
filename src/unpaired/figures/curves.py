"""Training curves: loss, each of its terms, validation Dice and learning rate, one small figure each."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unpaired.figures.style import LIGHT, LINE_STYLES, LineStyle, Theme, plain

POINTS = 600
"""At most so many points are drawn per line: more can't be told apart and make the page heavy."""
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One panel: a title, its lines by name ({"ct": [(step, value), ...]}) and what the picture shows, in words.

    `groups` says which lines look alike and have one entry in the legend ({"csa, run 1": "csa"}).
    """

    title: str
    lines: Mapping[str, Points]
    smooth: bool = True
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def alt(self) -> str:
        """The picture in words: first and last value of each line."""
        ends = [f"{name or self.title} from {line[0][1]:.3g} to {line[-1][1]:.3g}" for name, line in self.lines.items()]
        return f"{self.title} by training step: {'; '.join(ends)}"


def curves_of(
    log: Sequence[Mapping[str, str]], validation: Sequence[Mapping[str, str]], classes: Sequence[str] = ()
) -> Iterator[Curve]:
    """The panels that a run's log.csv and validation.csv rows have numbers for, loss first.

    Log columns: `step`, `loss`, `lr` and `term/<name>`, `term/<name>/<modality>` or `term/<name>/<class>`, where a
    class is its number and is called as in `classes`; validation rows: `step`, `modality`, `class`, `dice`. Cells that
    are empty or no finite number are skipped; no rows give no panels.
    """
    loss = _column(log, "loss")
    if loss:
        yield Curve("loss", {"": loss})
    terms: dict[str, dict[str, Points]] = defaultdict(dict)
    for column in log[0] if log else ():
        if column.startswith("term/") and (points := _column(log, column)):
            name, _, line = column.removeprefix("term/").partition("/")
            known = line.isdecimal() and int(line) < len(classes)
            terms[name][classes[int(line)] if known else line] = points
    for name, lines in terms.items():
        yield Curve(name, lines)
    dice = _validation_lines(validation)
    if dice:
        yield Curve("validation Dice", dice, smooth=False)
    rate = _column(log, "lr")
    if rate:
        yield Curve("learning rate", {"": rate}, smooth=False)


def draw_curve(curve: Curve, modalities: Sequence[str] = (), theme: Theme = LIGHT) -> Figure:
    """Draw one panel; a modality keeps its color and line style through all panels. Noisy lines get a running mean.

    Where lines are methods, `modalities` are their names, and `curve.groups` the seeds' methods.
    """
    figure = Figure(figsize=(4.2, 2.7), facecolor=theme.paper, layout="constrained")
    axes = figure.add_subplot(facecolor=theme.paper)
    groups = {name: curve.groups.get(name, name) for name in curve.lines}
    order = list(dict.fromkeys([*modalities, *groups.values()]))
    named: set[str] = set()
    for name, points in curve.lines.items():
        place = order.index(groups[name]) if name else 0
        label = None if groups[name] in named else groups[name]
        named.add(groups[name])
        look = (theme.series[place % len(theme.series)], LINE_STYLES[place % len(LINE_STYLES)], label)
        _draw_line(axes, points, curve.smooth, look)
    values = [value for points in curve.lines.values() for _, value in points]
    if curve.title == "learning rate" and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
    elif curve.title.startswith("validation Dice"):
        low = min(values) - 0.03
        axes.set_ylim(low if curve.groups else min(0.5, low), 1.0)  # methods differ by less than training gains
    axes.set_title(curve.title, loc="left", color=theme.ink, fontsize=10.5, fontweight="bold")
    axes.set_xlabel("step", color=theme.ink, fontsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    plain(axes, theme)
    if any(curve.lines):
        axes.legend(frameon=False, fontsize=8, labelcolor=theme.ink, handlelength=2.4)
    return figure


def _draw_line(axes: Axes, points: Points, smooth: bool, look: tuple[str, LineStyle, str | None]) -> None:
    """A line in its color, style and with its name in the legend (None: it has none of its own)."""
    color, style, label = look
    steps, values = _thinned(points)
    if smooth and len(values) >= 20:
        axes.plot(steps, values, color=color, linewidth=0.7, alpha=0.3)
        values = _running_mean(values, max(3, len(values) // 30))
    marker = "o" if len(values) <= 30 else None
    axes.plot(steps, values, color=color, linestyle=style, linewidth=1.7, marker=marker, markersize=3, label=label)


def _column(rows: Sequence[Mapping[str, str]], column: str) -> Points:
    points: Points = []
    for row in rows:
        step, value = _number(row.get("step")), _number(row.get(column))
        if step is not None and value is not None:
            points.append((step, value))
    return points


def _number(text: str | None) -> float | None:
    """The finite number in a cell; None for an empty cell, a half-written last row or NaN."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _validation_lines(rows: Sequence[Mapping[str, str]]) -> dict[str, Points]:
    """Per modality the mean over the classes at each step."""
    values: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        step, dice = _number(row.get("step")), _number(row.get("dice"))
        if step is not None and dice is not None:
            values[str(row.get("modality"))][step].append(dice)
    return {
        modality: [(step, sum(values) / len(values)) for step, values in sorted(by_step.items())]
        for modality, by_step in values.items()
    }


def _thinned(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, averaged in equal runs of points down to at most POINTS."""
    array = np.array(points)
    run = math.ceil(len(array) / POINTS)
    means = np.array([array[start : start + run].mean(axis=0) for start in range(0, len(array), run)])
    return means[:, 0], means[:, 1]


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean over a centered window, shorter at both ends."""
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones_like(values), kernel, "same")
