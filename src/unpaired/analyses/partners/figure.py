"""Dice of every case alone and beside different partners: a dot, and the spread that partners make of it."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.analyses.partners.results import ignores_partners
from unpaired.analyses.partners.scores import ALONE, PartnerRow
from unpaired.errors import InputError
from unpaired.figures.style import LIGHT, Theme, legend_above, plain

MARKS = (("own", "s", "beside the same patient"), ("sorted", "D", "beside the scan of equal place"))
FLAT = "no partner changed a voxel: this network doesn't use partners"


def draw_partners(rows: Sequence[PartnerRow], theme: Theme = LIGHT) -> Figure:
    """A panel per modality, a column per case, from low to high Dice alone (the mean over classes): a filled dot alone,
    small dots beside random partners, marks beside the patient's own and the sorted partner, a line over all of them.

    Raises InputError without a scored case.
    """
    cases = _cases(rows)
    if not any(cases.values()):
        raise InputError("expected scored cases to draw, got none")
    widths = [max(len(of), 3) for of in cases.values()]
    figure = Figure(figsize=(1.6 + 0.42 * sum(widths), 3.9), facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(1, len(cases), squeeze=False, sharey=True, width_ratios=widths)[0]
    for axes, (modality, of) in zip(panels, cases.items(), strict=True):
        _draw_panel(axes, of, theme)
        axes.set_title(modality, loc="left", color=theme.ink, fontsize=10.5, fontweight="bold")
    panels[0].set_ylabel("Dice %, mean over classes", color=theme.ink, fontsize=9)
    if ignores_partners(rows):
        figure.supxlabel(FLAT, color=theme.ink, fontsize=9)
    named = {text: handle for axes in panels for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    legend_above(figure, named, theme, columns=2)
    return figure


def _cases(rows: Sequence[PartnerRow]) -> dict[str, dict[str, dict[str, float]]]:
    """{modality: {case: {form: mean Dice over classes, in percent}}}, cases by their Dice alone."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        if row.dice is not None:
            values.setdefault(row.modality, {}).setdefault(row.case, {}).setdefault(row.form, []).append(row.dice)
    means = {
        modality: {case: {form: 100 * fmean(of) for form, of in forms.items()} for case, forms in cases.items()}
        for modality, cases in values.items()
    }
    return {
        modality: {case: cases[case] for case in sorted(cases, key=lambda case: (cases[case].get(ALONE, 0.0), case))}
        for modality, cases in means.items()
    }


def _draw_panel(axes: Axes, cases: dict[str, dict[str, float]], theme: Theme) -> None:
    alone, beside = theme.series[0], theme.series[1]
    for place, forms in enumerate(cases.values()):
        others = [value for form, value in forms.items() if form != ALONE]
        if others:
            axes.plot([place, place], [min(others), max(others)], color=beside, linewidth=3.5, alpha=0.35, zorder=1)
        draws = [value for form, value in forms.items() if form.startswith("random")]
        axes.scatter([place] * len(draws), draws, s=13, color=beside, zorder=3, label="beside random training patients")
        for form, marker, label in MARKS:
            if form in forms:
                axes.scatter(
                    place,
                    forms[form],
                    s=44,
                    marker=marker,
                    facecolor="none",
                    edgecolor=theme.ink,
                    linewidth=1.1,
                    zorder=4,
                    label=label,
                )
        if ALONE in forms:
            axes.scatter(place, forms[ALONE], s=34, color=alone, zorder=2, label="alone (partner-free)")
    axes.set_xticks(range(len(cases)), list(cases), rotation=90)
    axes.set_xlim(-0.6, max(len(cases), 3) - 0.4)
    plain(axes, theme, 7.5, "y")
