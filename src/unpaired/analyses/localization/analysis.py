"""Localization of one run over whole datasets: channels chosen on some patients, reported on others, and drawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.analyses.cases import read_case, view_of
from unpaired.analyses.feature_maps import slice_maps
from unpaired.analyses.localization.comparison import LocalizationComparison
from unpaired.analyses.localization.computation import layer_cells
from unpaired.analyses.localization.scores import (
    CaseLocalization,
    Choice,
    Key,
    Row,
    choose_channels,
    localization_rows,
    localize,
)
from unpaired.analyses.plan import Plan
from unpaired.figures.feature_maps import ClassChannels, FeatureView, telling_slice
from unpaired.networks.network import Network
from unpaired.runs.run import Run

Say = Callable[[str], None]


@dataclass(frozen=True)
class Localized:
    """A run's rows over the reported cases, and the channels of each class, ranked on the choosing side's."""

    rows: list[Row]
    choices: dict[Key, list[Choice]]


def localize_run(name: str, run: Run, network: Network, plan: Plan, say: Say) -> Localized:
    """Choose channels on the one side's patients, then report the other's."""
    localizations: dict[str, list[CaseLocalization]] = {"choose": [], "report": []}
    for modality in plan.modalities:
        for what, entries in (("choose", plan.choosing_cases[modality]), ("report", plan.cases[modality])):
            for number, entry in enumerate(entries, start=1):
                say(f"{name}: {modality}, {what} {number} of {len(entries)}")
                case = read_case(run, plan.dataset, entry)
                cells = layer_cells(network, run.recipe, case, plan.layers, len(plan.dataset.classes))
                localizations[what] += [
                    localize(parts, case.id, case.patient, modality, layer) for layer, parts in cells
                ]
    choices = choose_channels(localizations["choose"])
    return Localized(list(localization_rows(localizations["report"], choices, plan.dataset.classes)), choices)


def median_cases(comparison: LocalizationComparison) -> dict[str, str]:
    """{modality: the case in the middle by the best channels' AP, averaged over runs, layers, foreground classes}."""
    chosen: dict[str, str] = {}
    for modality in comparison.modalities:
        values: dict[str, list[float]] = {}
        for rows in comparison.rows.values():
            for row in rows:
                if row.modality == modality and row.class_name != comparison.classes[0]:
                    values.setdefault(row.case, []).append(row.map if row.best is None else row.best)
        order = sorted(values, key=lambda case: (float(np.mean(values[case])), case))
        chosen[modality] = order[(len(order) - 1) // 2]
    return chosen


def feature_views(
    name: str, run: Run, network: Network, plan: Plan, localized: Localized, cases: Sequence[str], channels: int
) -> Iterator[FeatureView]:
    """A view of each case: the slice that tells most, with the `channels` best channels of each class in it."""
    classes = plan.dataset.classes
    for case_id in cases:
        case = read_case(run, plan.dataset, plan.dataset.case(case_id))
        view = view_of(case, classes)
        assert view.reference is not None
        depth = telling_slice(view.reference)
        ranked = [localized.choices.get((case.modality, plan.layer, c), [])[:channels] for c in range(len(classes))]
        numbers = sorted({choice.channel for of_class in ranked for choice in of_class})
        maps = slice_maps(network, run.recipe, case, plan.layer, depth, numbers)
        of_classes = tuple(
            ClassChannels(
                tuple(choice.channel for choice in of_class),
                tuple(choice.precision for choice in of_class),
                maps.channels[[numbers.index(choice.channel) for choice in of_class]],
            )
            for of_class in ranked
        )
        yield FeatureView(name, plan.layer, view, depth, maps.mean, of_classes)
