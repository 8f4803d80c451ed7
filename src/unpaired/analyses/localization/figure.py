"""Average precision by layer: a line per run between chance and ceiling; below, each patient's difference."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.analyses.localization.comparison import ALL, MEAN, LocalizationComparison, Place
from unpaired.analyses.localization.tables import KIND_NAMES, percent
from unpaired.figures.style import LIGHT, Theme, plain

MARKERS = ("o", "s", "D", "^", "v", "P")


def draw_localization(
    comparison: LocalizationComparison, modality: str, kind: str = "best", theme: Theme = LIGHT
) -> Figure:
    """One modality: the mean AP of foreground classes by layer, a line per run; chance and ceiling as dashed lines.

    With several runs a second panel has every patient's difference to the baseline as a point, a diamond at the mean
    with its 95 % interval. "All layers" stands last.
    """
    stops = [*comparison.layers, ALL]
    several = bool(comparison.others)
    figure = Figure(
        figsize=(max(5.6, 0.8 * len(stops) + 1.2), 5.6 if several else 3.4), facecolor=theme.paper, layout="constrained"
    )
    panels = figure.subplots(2 if several else 1, 1, squeeze=False, sharex=True)[:, 0]
    _draw_levels(panels[0], comparison, modality, kind, theme)
    if several:
        _draw_differences(panels[1], comparison, modality, kind, theme)
    for axes in panels:
        plain(axes, theme, 8.5, "y")
    panels[-1].set_xticks(range(len(stops)), stops, rotation=30 if len(stops) > 6 else 0)
    panels[-1].set_xlim(-0.5, len(stops) - 0.5)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8.5, labelcolor=theme.ink)
    return figure


def localization_alt(comparison: LocalizationComparison, modality: str, kind: str = "best") -> str:
    """The plot in words: each run's mean over all layers."""
    place = Place(kind, modality, ALL, MEAN)
    means = [
        f"{name} {percent(comparison.summaries[place, name].mean)} %"
        for name in comparison.names
        if (place, name) in comparison.summaries
    ]
    return f"Average precision of {KIND_NAMES[kind]} by layer in {modality}. Over all layers: {', '.join(means)}."


def _draw_levels(axes: Axes, comparison: LocalizationComparison, modality: str, kind: str, theme: Theme) -> None:
    layers = list(comparison.layers)
    for number, name in enumerate(comparison.names):
        color, marker = _look(number, theme)
        summaries = [comparison.summaries.get((Place(kind, modality, layer, MEAN), name)) for layer in (*layers, ALL)]
        values = [float("nan") if summary is None else 100 * summary.mean for summary in summaries]
        axes.plot(
            range(len(layers)), values[:-1], color=color, marker=marker, markersize=4.5, linewidth=1.6, label=name
        )
        axes.plot([len(layers)], values[-1:], color=color, marker=marker, markersize=6.5, linestyle="")
    baseline = [comparison.summaries.get((Place(kind, modality, layer, MEAN), comparison.baseline)) for layer in layers]
    for what, style in (("ceiling", "--"), ("chance", ":")):
        values = [float("nan") if summary is None else 100 * getattr(summary, what) for summary in baseline]
        axes.plot(range(len(layers)), values, color=theme.ink, linestyle=style, linewidth=1.0, label=what)
    axes.set_ylim(0, 101)
    axes.set_ylabel("AP %", color=theme.ink, fontsize=9)
    axes.set_title(f"{modality}: {KIND_NAMES[kind]}", loc="left", color=theme.ink, fontsize=10, fontweight="bold")


def _draw_differences(axes: Axes, comparison: LocalizationComparison, modality: str, kind: str, theme: Theme) -> None:
    axes.axhline(0, color=theme.ink, linewidth=1)
    lane = 0.8 / len(comparison.others)
    for position, layer in enumerate((*comparison.layers, ALL)):
        place = Place(kind, modality, layer, MEAN)
        baseline = comparison.values.get((place, comparison.baseline), {})
        for number, name in enumerate(comparison.others):
            difference = comparison.differences.get((place, name))
            if difference is None or difference.mean is None:
                continue
            color, marker = _look(comparison.names.index(name), theme)
            center = position + (number - (len(comparison.others) - 1) / 2) * lane
            values = comparison.values[place, name]
            gaps = [100 * (values[patient] - baseline[patient]) for patient in values if patient in baseline]
            axes.plot([center - lane * 0.18] * len(gaps), gaps, marker, color=color, markersize=3.2, alpha=0.5, mew=0)
            if difference.interval is not None:
                ends = [100 * difference.interval.low, 100 * difference.interval.high]
                axes.plot([center + lane * 0.15] * 2, ends, color=color, linewidth=2.0, solid_capstyle="butt")
            axes.plot(
                center + lane * 0.15, 100 * difference.mean, "d", color=color, markersize=6, mec=theme.paper, mew=0.6
            )
    axes.set_ylabel(f"AP %, minus {comparison.baseline}", color=theme.ink, fontsize=9)


def _look(place: int, theme: Theme) -> tuple[str, str]:
    return theme.series[place % len(theme.series)], MARKERS[place % len(MARKERS)]
