"""What runs have learned: how well their feature maps localize classes; pictures of maps, affinities, predictions.

Every choice is made by a rule that looks at no method in particular, and nothing that is reported on test patients was
chosen on them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from unpaired.analyses.affinities.analysis import affinity_view
from unpaired.analyses.affinities.figure import AffinityView
from unpaired.analyses.attention.analysis import ClassAttention
from unpaired.analyses.localization.analysis import feature_views, localize_run, median_cases
from unpaired.analyses.localization.comparison import LocalizationComparison, compare_localization
from unpaired.analyses.plan import Member, Options, Plan, make_plan, readable
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.images import NIFTI
from unpaired.failures import attempt
from unpaired.figures.case_view import CaseView, read_case_view
from unpaired.figures.feature_maps import FeatureView
from unpaired.figures.segmentation_grid import GridCase, dice_by_class, median_and_worst
from unpaired.inference.devices import choose_device
from unpaired.networks.network import Network
from unpaired.runs.run import Run
from unpaired.scores.freshness import is_not_as_recorded, remark_on_changed

Say = Callable[[str], None]


@dataclass
class Study:
    """What runs have learned, as far as there was something to look at; `notes` say what was left out and why.

    `choosing` {modality: the side whose patients chose channels}.
    """

    comparison: LocalizationComparison | None = None
    choosing: Mapping[str, str] = field(default_factory=dict[str, str])
    maps: list[FeatureView] = field(default_factory=list[FeatureView])
    affinities: list[AffinityView] = field(default_factory=list[AffinityView])
    grid: list[GridCase] = field(default_factory=list[GridCase])
    attention: ClassAttention = field(default_factory=ClassAttention)
    notes: list[str] = field(default_factory=list[str])
    failures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(case, one line) of those that could not be read; they are in nothing else."""


def study(members: Sequence[Member], data: Dataset | None, options: Options, say: Say = lambda line: None) -> Study:
    """Look at runs (and predictions) over the labeled cases of one side of their split.

    `data` says where images and labels are (None: the first run's own record). Raises InputError for anything that
    can't be looked at, before any network runs: see `make_plan`.
    """
    plan = make_plan(members, data, options)
    device = choose_device(options.device)
    runs = {member.name: member.run for member in members if member.run is not None}
    result = Study(choosing=plan.choosing, notes=list(plan.notes))
    if runs:
        plan, result.failures = readable(plan, next(iter(runs.values())), say)
    localized = {name: localize_run(name, run, _network(run, options, device), plan, say) for name, run in runs.items()}
    if localized:
        rows = {name: of_run.rows for name, of_run in localized.items()}
        result.comparison = compare_localization(rows, plan.dataset.classes, options.baseline)
        medians = median_cases(result.comparison)
        shown = [medians[modality] for modality in plan.modalities]
        for name, run in runs.items():
            say(f"{name}: pictures")
            network = _network(run, options, device)
            result.maps += feature_views(name, run, network, plan, localized[name], shown, options.channels)
            if len(plan.modalities) > 1:
                result.affinities.append(affinity_view(name, run, network, plan, device))
            result.attention.add(name, run, plan, shown, device)
        if len(plan.modalities) < 2:
            result.notes.append("affinity matrices need two modalities or more to compare")
    result.grid, missing = _grid(members, plan, result.failures)
    result.notes += [*result.attention.notes, *missing]
    return result


def _network(run: Run, options: Options, device: torch.device) -> Network:
    return run.load_method(options.weights).network.to(device)


def _grid(members: Sequence[Member], plan: Plan, failures: list[tuple[str, str]]) -> tuple[list[GridCase], list[str]]:
    """The median and the worst case of each modality, of those that every method with predictions has predicted.

    Cases that can't be read are added to `failures`.
    """
    notes: list[str] = []
    shown: list[Member] = []
    for member in members:
        if any(_label_map(member, case) for of in plan.cases.values() for case in of):
            shown.append(member)
        else:
            notes.append(f"{member.name} has no predictions to draw; make them with `unpaired predict`")
    notes += _remarks(shown, plan)
    grid: list[GridCase] = []
    if not shown:
        return grid, notes
    for entries in plan.cases.values():
        common = [entry for entry in entries if all(_label_map(member, entry) for member in shown)]
        scores: dict[str, dict[str, float]] = {member.name: {} for member in shown}
        for entry in common:
            views, why = attempt(partial(_views, shown, plan.dataset, entry))
            if why is not None:
                failures.append((entry.id, why))
            for name, view in (views or {}).items():
                values = list(dice_by_class(view).values())
                if values:
                    scores[name][entry.id] = sum(values) / len(values)
        for case, why in median_and_worst(scores).items():
            grid.append(GridCase(why, _views(shown, plan.dataset, plan.dataset.case(case))))
    return grid, notes


def _remarks(shown: Sequence[Member], plan: Plan) -> Iterator[str]:
    """A line for each method some of whose label maps aren't as their records tell."""
    for member in shown:
        files = {case.id: path for of in plan.cases.values() for case in of if (path := _label_map(member, case))}
        if said := remark_on_changed([case for case, path in files.items() if is_not_as_recorded(path)]):
            yield f"{member.name}: {said}"


def _label_map(member: Member, entry: CaseEntry) -> Path | None:
    places = (member.predictions / f"{entry.id}{suffix}" for suffix in NIFTI)
    return next((path for path in places if path.is_file()), None)


def _views(shown: Sequence[Member], dataset: Dataset, entry: CaseEntry) -> dict[str, CaseView]:
    return {member.name: read_case_view(dataset, entry, _label_map(member, entry)) for member in shown}
