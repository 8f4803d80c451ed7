"""Every case's score as a dot, so that nobody mistakes a mean for its cases."""

import numpy as np
from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, Theme, plain
from unpaired.scores.scores import Evaluation

MARKERS = ("o", "s", "D", "^", "v", "P")
MANY_DOTS = 5000
"""More dots are drawn as pixels, not as shapes: a page would hold a hundred bytes of each, twice."""


def draw_dice_strips(evaluation: Evaluation, theme: Theme = LIGHT) -> Figure:
    """Dice of each case, in a column per class, a color and marker per modality; a bar marks the mean.

    A cross at 0 is a missed or false positive class. Not applicable ones are left out; without scores the axes are
    empty.
    """
    names, modalities = evaluation.class_names, evaluation.modalities
    columns = max(len(names), 1)
    figure = Figure(figsize=(max(4.6, 1.6 * columns), 3.3), facecolor=theme.paper, layout="constrained")
    axes = figure.add_subplot(facecolor=theme.paper)
    lane = 0.8 / max(len(modalities), 1)
    as_pixels = len(evaluation.scores) > MANY_DOTS
    for place, modality in enumerate(modalities):
        color, marker = theme.series[place % len(theme.series)], MARKERS[place % len(MARKERS)]
        for column, name in enumerate(names):
            center = column + (place - (len(modalities) - 1) / 2) * lane
            rows = [row for row in evaluation.rows(modality, name) if row.dice is not None]
            scored = sorted(row.dice for row in rows if row.status == "scored" and row.dice is not None)
            # Neighbors in rank stand side by side, so that equal scores don't hide each other.
            offsets = (np.arange(len(scored)) % 5 - 2) * lane / 8
            dots = axes.scatter(center + offsets, scored, s=20, color=color, alpha=0.75, linewidths=0, marker=marker)
            empty = len(rows) - len(scored)
            beside = center + (np.arange(empty) % 5 - 2) * lane / 8
            crosses = axes.scatter(beside, [0.0] * empty, s=28, color=color, marker="x")
            for drawn in (dots, crosses):
                drawn.set_rasterized(as_pixels)
            mean = evaluation.mean("dice", modality, name).value
            if mean is not None:
                axes.plot([center - lane * 0.38, center + lane * 0.38], [mean, mean], color=color, linewidth=2.2)
        axes.scatter([], [], s=24, color=color, marker=marker, label=modality)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(-0.03, 1.02)
    axes.set_ylabel("Dice", color=theme.ink, fontsize=9)
    plain(axes, theme, 9, "y")
    if modalities:
        figure.legend(loc="outside upper left", ncols=len(modalities), frameon=False, fontsize=9, labelcolor=theme.ink)
    return figure
