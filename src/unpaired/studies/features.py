"""What runs have learned: how well their feature maps localize classes; pictures of maps, affinities, predictions.

Every choice is made by a rule that looks at no method in particular, and nothing that is reported on test patients was
chosen on them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.data.case import Case
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import NIFTI
from unpaired.figures.case_view import CaseView, edge_letters, read_case_view
from unpaired.figures.feature_maps import ClassChannels, FeatureView, telling_slice
from unpaired.figures.segmentation_grid import GridCase, dice_by_class, median_and_worst
from unpaired.inference.predictor import choose_device
from unpaired.networks.network import Network
from unpaired.runs.run import Run
from unpaired.studies.affinities.computation import pooled_affinities, untrained_network
from unpaired.studies.affinities.figure import AffinityView
from unpaired.studies.attention.study import ClassAttention
from unpaired.studies.feature_maps import layer_cells, read_labeled_case, slice_maps
from unpaired.studies.localization.comparison import LocalizationComparison, compare_localization
from unpaired.studies.localization.scores import (
    CaseLocalization,
    Choice,
    Key,
    Row,
    choose_channels,
    localization_rows,
    localize,
)
from unpaired.studies.plan import Member, Options, Plan, make_plan

Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """Everything found, as far as there was something to find it in; `notes` say what was left out and why."""

    comparison: LocalizationComparison | None
    choosing: Mapping[str, str]
    maps: list[FeatureView]
    affinities: list[AffinityView]
    grid: list[GridCase]
    attention: ClassAttention = field(default_factory=ClassAttention)
    notes: list[str] = field(default_factory=list)


def study(members: Sequence[Member], data: Dataset | None, options: Options, say: Say = lambda line: None) -> Study:
    """Look at runs (and predictions) over the labeled cases of one side of their split.

    `data` says where images and labels are (None: the first run's own record). Raises InputError for anything that
    can't be looked at, before any network runs: see `make_plan`.
    """
    plan = make_plan(members, data, options)
    notes = list(plan.notes)
    localized = {member.name: _localize_run(member, plan, options, say) for member in members if member.run is not None}
    comparison = None
    maps: list[FeatureView] = []
    affinities: list[AffinityView] = []
    attention = ClassAttention()
    if localized:
        rows = {name: of_run.rows for name, of_run in localized.items()}
        comparison = compare_localization(rows, plan.dataset.classes, options.baseline)
        shown = _median_cases(comparison)
        for member in members:
            if member.run is not None:
                say(f"{member.name}: pictures")
                network = _network(member.run, options)
                maps += _feature_views(
                    member, network, plan, localized[member.name], [shown[m] for m in plan.modalities], options
                )
                if len(plan.modalities) > 1:
                    affinities.append(_affinity_view(member, network, plan, options))
                attention.add(
                    member,
                    plan,
                    partial(_case, member.run, plan.dataset),
                    partial(_view, classes=plan.dataset.classes),
                    [shown[modality] for modality in plan.modalities],
                    options.device,
                )
        if len(plan.modalities) < 2:
            notes.append("affinity matrices need two modalities or more to compare")
    grid, missing = _grid(members, plan)
    return Study(comparison, plan.choosing, maps, affinities, grid, attention, notes + attention.notes + missing)


def _network(run: Run, options: Options) -> Network:
    return run.load_method(options.weights).network.to(choose_device(options.device))


@dataclass(frozen=True)
class _Localized:
    rows: list[Row]
    choices: dict[Key, list[Choice]]


def _localize_run(member: Member, plan: Plan, options: Options, say: Say) -> _Localized:
    """Choose channels on the one side's patients, then report the other's."""
    assert member.run is not None
    network = _network(member.run, options)
    localizations: dict[str, list[CaseLocalization]] = {"choose": [], "report": []}
    for modality in plan.modalities:
        for what, entries in (("choose", plan.choosing_cases[modality]), ("report", plan.cases[modality])):
            for number, entry in enumerate(entries, start=1):
                say(f"{member.name}: {modality}, {what} {number} of {len(entries)}")
                case = _case(member.run, plan.dataset, entry)
                cells = layer_cells(network, member.run.recipe, case, plan.layers, len(plan.dataset.classes))
                localizations[what] += [
                    localize(parts, case.id, case.patient, modality, layer) for layer, parts in cells
                ]
    choices = choose_channels(localizations["choose"])
    return _Localized(list(localization_rows(localizations["report"], choices, plan.dataset.classes)), choices)


def _case(run: Run, dataset: Dataset, entry: CaseEntry) -> Case:
    """A case prepared as the run wants it, its values normalized as the run's own dataset says."""
    return read_labeled_case(replace(dataset, modalities=run.dataset.modalities), entry, run.recipe.preprocessing)


def _median_cases(comparison: LocalizationComparison) -> dict[str, str]:
    """{modality: the case in the middle by the best channels' AP, averaged over runs, layers, foreground classes}."""
    chosen = {}
    for modality in comparison.modalities:
        values: dict[str, list[float]] = {}
        for rows in comparison.rows.values():
            for row in rows:
                if row.modality == modality and row.class_name != comparison.classes[0]:
                    values.setdefault(row.case, []).append(row.map if row.best is None else row.best)
        order = sorted(values, key=lambda case: (float(np.mean(values[case])), case))
        chosen[modality] = order[(len(order) - 1) // 2]
    return chosen


def _feature_views(
    member: Member, network: Network, plan: Plan, localized: _Localized, cases: Sequence[str], options: Options
) -> Iterator[FeatureView]:
    assert member.run is not None
    classes = plan.dataset.classes
    for case_id in cases:
        case = _case(member.run, plan.dataset, plan.dataset.case(case_id))
        view = _view(case, classes)
        assert view.reference is not None
        depth = telling_slice(view.reference)
        ranked = [
            localized.choices.get((case.modality, plan.layer, c), [])[: options.channels] for c in range(len(classes))
        ]
        numbers = sorted({choice.channel for of_class in ranked for choice in of_class})
        maps = slice_maps(network, member.run.recipe, case, plan.layer, depth, numbers)
        channels = tuple(
            ClassChannels(
                tuple(choice.channel for choice in of_class),
                tuple(choice.precision for choice in of_class),
                maps.channels[[numbers.index(choice.channel) for choice in of_class]],
            )
            for of_class in ranked
        )
        yield FeatureView(member.name, plan.layer, view, depth, maps.mean, channels)


def _view(case: Case, classes: tuple[str, ...]) -> CaseView:
    """The prepared case as figures take it; voxels of several possible classes are -1."""
    reference = np.where(case.label_map < len(classes), case.label_map.astype(np.int16), -1)
    edges = edge_letters(case.geometry)
    return CaseView(case.id, case.modality, classes, case.volume, reference, None, case.geometry.spacing_mm, edges)


def _affinity_view(member: Member, network: Network, plan: Plan, options: Options) -> AffinityView:
    run = member.run
    assert run is not None
    fresh = untrained_network(run).to(choose_device(options.device))
    before, after = (
        [
            pooled_affinities(
                state,
                run,
                (_case(run, plan.dataset, entry) for entry in plan.cases[modality]),
                plan.pair,
                len(plan.dataset.classes),
            )
            for modality in plan.modalities
        ]
        for state in (fresh, network)
    )
    return AffinityView(member.name, plan.pair, plan.modalities, plan.dataset.classes, before, after)


def _grid(members: Sequence[Member], plan: Plan) -> tuple[list[GridCase], list[str]]:
    """The median and the worst case of each modality, of those that every method with predictions has predicted."""
    notes = []
    shown = []
    for member in members:
        if any(_label_map(member, case) for of in plan.cases.values() for case in of):
            shown.append(member)
        else:
            notes.append(f"{member.name} has no predictions to draw; make them with `unpaired predict`")
    grid: list[GridCase] = []
    if not shown:
        return grid, notes
    for entries in plan.cases.values():
        common = [entry for entry in entries if all(_label_map(member, entry) for member in shown)]
        scores: dict[str, dict[str, float]] = {member.name: {} for member in shown}
        for entry in common:
            for name, view in _views(shown, plan.dataset, entry).items():
                values = list(dice_by_class(view).values())
                if values:
                    scores[name][entry.id] = sum(values) / len(values)
        for case, why in median_and_worst(scores).items():
            grid.append(GridCase(why, _views(shown, plan.dataset, plan.dataset.case(case))))
    return grid, notes


def _label_map(member: Member, entry: CaseEntry) -> Path | None:
    places = (member.predictions / f"{entry.id}{suffix}" for suffix in NIFTI)
    return next((path for path in places if path.is_file()), None)


def _views(shown: Sequence[Member], dataset: Dataset, entry: CaseEntry) -> dict[str, CaseView]:
    return {member.name: read_case_view(dataset, entry, _label_map(member, entry)) for member in shown}
