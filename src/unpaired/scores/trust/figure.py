"""Pictures of trust: the reliability plot (probability said against frequency found), agreement against true Dice."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, LINE_STYLES, LineStyle, Theme, plain
from unpaired.scores.trust.calibration import ClassCalibration
from unpaired.scores.trust.uncertainty_check import Point

MARKERS = ("o", "s", "D", "^", "v", "P")


def draw_reliability(rows: Sequence[ClassCalibration], title: str = "", theme: Theme = LIGHT) -> Figure:
    """The reliability plot of the classes of one modality, a line each, above the share of voxels in each bin.

    Points below the diagonal are overconfident: the class is there less often than said. Bins without voxels have no
    point. Without rows the axes are empty.
    """
    figure = Figure(figsize=(4.2, 4.4), facecolor=theme.paper, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=theme.ink, linewidth=0.9, linestyle=(0, (2, 3)))
    for place, row in enumerate(rows):
        look = _Look.of(place, theme)
        _draw_frequencies(upper, row, look)
        _draw_shares(lower, row, look)
    upper.set_ylim(-0.02, 1.02)
    upper.set_xlim(-0.02, 1.02)
    upper.set_ylabel("frequency found", color=theme.ink, fontsize=8.5)
    upper.set_title(title, loc="left", color=theme.ink, fontsize=10.5, fontweight="bold")
    lower.set_yscale("log")
    lower.set_ylabel("share of voxels", color=theme.ink, fontsize=8.5)
    lower.set_xlabel("probability said", color=theme.ink, fontsize=8.5)
    for axes in (upper, lower):
        plain(axes, theme)
    if rows:
        upper.legend(frameon=False, fontsize=8, labelcolor=theme.ink, loc="upper left")
    return figure


@dataclass(frozen=True)
class _Look:
    """What tells the lines of classes apart, without color too."""

    color: str
    style: LineStyle
    marker: str

    @classmethod
    def of(cls, place: int, theme: Theme) -> "_Look":
        """The look of the line number `place`, from 0."""
        turn, color = divmod(place, len(theme.series))
        return cls(theme.series[color], LINE_STYLES[turn % len(LINE_STYLES)], MARKERS[place % len(MARKERS)])


def _draw_frequencies(axes: Axes, row: ClassCalibration, look: _Look) -> None:
    points = [
        (each.mean_probability, each.frequency)
        for each in row.bins
        if each.mean_probability is not None and each.frequency is not None
    ]
    ece = "" if row.ece is None else f" (ECE {100 * row.ece:.2f} %)"
    axes.plot(
        [probability for probability, _ in points],
        [frequency for _, frequency in points],
        color=look.color,
        linestyle=look.style,
        linewidth=1.5,
        marker=look.marker,
        markersize=4,
        label=f"{row.class_name}{ece}",
    )


def _draw_shares(axes: Axes, row: ClassCalibration, look: _Look) -> None:
    filled = [each for each in row.bins if each.voxels]
    axes.plot(
        [(each.low + each.high) / 2 for each in filled],
        [each.voxels / max(row.voxels, 1) for each in filled],
        color=look.color,
        linestyle=look.style,
        linewidth=1.2,
        drawstyle="steps-mid",
        marker=look.marker,
        markersize=2.5,
    )


def draw_agreement(points: Sequence[Point], theme: Theme = LIGHT) -> Figure:
    """Each case's agreement (what can be known without a reference) against its true mean Dice, by modality.

    Where agreement is worth something, low points are on the left. Without points the axes are empty.
    """
    figure = Figure(figsize=(4.2, 3.3), facecolor=theme.paper, layout="constrained")
    axes = figure.add_subplot()
    for place, modality in enumerate(dict.fromkeys(point.modality for point in points)):
        mine = [point for point in points if point.modality == modality]
        axes.scatter(
            [point.agreement for point in mine],
            [point.dice for point in mine],
            s=26,
            color=theme.series[place % len(theme.series)],
            marker=MARKERS[place % len(MARKERS)],
            linewidths=0,
            alpha=0.85,
            label=modality,
        )
    axes.set_xlabel("agreement of the single predictions", color=theme.ink, fontsize=8.5)
    axes.set_ylabel("Dice with the reference", color=theme.ink, fontsize=8.5)
    axes.set_title("agreement and Dice", loc="left", color=theme.ink, fontsize=10.5, fontweight="bold")
    plain(axes, theme)
    if points:
        axes.legend(frameon=False, fontsize=8, labelcolor=theme.ink, loc="lower right")
    return figure
