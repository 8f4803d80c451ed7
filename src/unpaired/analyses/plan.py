"""What will be looked at, and every check that needs no network to run: runs, cases, layers, who chooses channels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from unpaired.analyses.cases import read_case
from unpaired.analyses.feature_maps import require_layers
from unpaired.comparison.contenders import parse_contender, predictions_of
from unpaired.consent.modules import Trust, require_there
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.simulated import of_patients
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.inference.known_cases import with_sides_of
from unpaired.networks.network import Network
from unpaired.recipe import build_method
from unpaired.runs.model_file import holds_runs, unpacked_from
from unpaired.runs.run import Run
from unpaired.runs.same_data import require_same_classes


@dataclass(frozen=True)
class Member:
    """What is looked at: a name, its run (None for a bare folder of predictions), and its folder of label maps."""

    name: str
    run: Run | None
    predictions: Path


@dataclass(frozen=True)
class Options:
    """What of the runs is looked at, and on which patients."""

    layers: tuple[str, ...] | None = None
    """Feature maps by name; None: all that the runs share."""
    pair: tuple[str, str] | None = None
    """The layers of the affinity matrices; None: the first pair that a run's method compares."""
    layer: str | None = None
    """The layer whose maps are drawn; None: the first of the pair."""
    channels: int = 3
    """How many channels of each class are drawn."""
    choose_on: str | None = None
    """The side whose patients choose channels; None: validation if a modality has labeled cases there, else train."""
    split: str = "test"
    baseline: str | None = None
    weights: str = "best"
    device: str = "auto"


def read_members(texts: Sequence[str], trust: Trust = ()) -> list[Member]:
    """Runs and folders of predictions from "PATH" or "NAME=PATH"; `trust` are modules outside the package that the runs
    may use. Raises InputError for a path that is neither, names
    that occur twice, or no path at all."""
    require_there(trust)
    members: list[Member] = []
    for text in texts:
        name, (path, *more) = parse_contender(text)
        if more:
            raise InputError(f"{name}: expected one run, got {1 + len(more)}; name each seed's run apart: NAME=PATH")
        holds = holds_runs(path)
        if not (holds or path.is_dir()):
            raise InputError(
                f"expected a run folder, a model file or a folder of predictions, found none at {path}; check the path"
            )
        run = Run.open(path, trust) if holds else None
        members.append(Member(name, run, predictions_of(path)))
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two runs are called {name!r}; name them apart: NAME=PATH")
    if not members:
        raise InputError("expected at least one run folder to look at, got none")
    return members


def own_run(runs: Iterable[Run | None]) -> Run | None:
    """The only one of `runs` if results about it lie in its folder: None of several, predictions, and a model file."""
    first, *others = runs
    return None if others or first is None or unpacked_from(first.folder) else first


@dataclass(frozen=True)
class Plan:
    """What will be looked at, after every check: cases by id, layers, the pair of layers, who chooses channels."""

    dataset: Dataset
    modalities: tuple[str, ...]
    cases: dict[str, list[CaseEntry]]
    choosing_cases: dict[str, list[CaseEntry]]
    choosing: dict[str, str]
    layers: tuple[str, ...]
    pair: tuple[str, str]
    layer: str
    notes: tuple[str, ...]


def make_plan(members: Sequence[Member], data: Dataset | None, options: Options) -> Plan:
    """Check everything that can be checked without running a network. Cases that are simulated beside those of patients
    are neither looked at nor do they choose channels.

    Raises InputError for runs of other classes, modalities or splits, without layers in common or without the layers
    named, for a dataset without labeled cases to look at, and for bare predictions without `data`.
    """
    runs = {member.name: member.run for member in members if member.run is not None}
    dataset = common_dataset(runs, data)
    known = [set(run.modalities) for run in runs.values()] or [set(dataset.modalities)]
    modalities = tuple(name for name in dataset.modalities if all(name in of_run for of_run in known))
    cases = {name: of_patients(dataset, name, options.split, labeled=True) for name in modalities}
    cases = {name: of for name, of in cases.items() if of}
    if not cases:
        raise InputError(
            f"dataset {dataset.name}: no labeled case in split {options.split!r} of a modality that all runs know; "
            "name the manifest with labels: --data"
        )
    for name, run in runs.items():
        require_unseen(name, run, cases, options.split)
    if not runs:
        return Plan(dataset, tuple(cases), cases, {}, {}, (), ("", ""), "", ())
    networks = {
        name: build_method(run.recipe, run.modalities, len(dataset.classes)).network for name, run in runs.items()
    }
    layers, notes = _layers(networks, options)
    pair = options.pair or _usual_pair(runs, layers)
    for name, network in networks.items():
        require_layers(network, [*pair, *([options.layer] if options.layer else [])], f"run {name}")
    choosing = {name: _choosing_side(dataset, name, options) for name in cases}
    choosing_cases = {name: of_patients(dataset, name, side, labeled=True) for name, side in choosing.items()}
    return Plan(dataset, tuple(cases), cases, choosing_cases, choosing, layers, pair, options.layer or pair[0], notes)


def readable(plan: Plan, run: Run, say: Callable[[str], None]) -> tuple[Plan, list[tuple[str, str]]]:
    """The plan without the cases that can't be read and prepared as a run wants them, and (case, why) of each.

    Raises InputError if a modality has no case left to look at, or to choose channels on.
    """
    entries = {case.id: case for of in (plan.cases, plan.choosing_cases) for cases in of.values() for case in cases}
    failures: list[tuple[str, str]] = []
    for number, entry in enumerate(entries.values(), start=1):
        say(f"reading case {number} of {len(entries)}")
        _, why = attempt(partial(read_case, run, plan.dataset, entry))
        if why is not None:
            failures.append((entry.id, why))
    failed = {case for case, _ in failures}

    def rest(cases: Mapping[str, list[CaseEntry]]) -> dict[str, list[CaseEntry]]:
        return {name: [case for case in of if case.id not in failed] for name, of in cases.items()}

    left = replace(plan, cases=rest(plan.cases), choosing_cases=rest(plan.choosing_cases))
    for name in plan.modalities:
        for what, of in (("to look at", left.cases[name]), ("to choose channels on", left.choosing_cases[name])):
            if not of:
                case, why = next(failure for failure in failures if entries[failure[0]].modality == name)
                raise InputError(f"no {name} case is left {what}: {case}: {why}")
    return left, failures


def common_dataset(runs: Mapping[str, Run], data: Dataset | None) -> Dataset:
    """Where images are, by `data` or the first run; who is tested, by the first run.

    Raises InputError for runs of other classes, and for no run and no `data`.
    """
    if not runs:
        if data is None:
            raise InputError(
                "folders of predictions don't say where images and labels are: name the manifest with --data"
            )
        return data
    first = next(iter(runs.values()))
    if data is None and unpacked_from(first.folder):
        raise InputError(f"{first.called} is a model, which holds no scans: name a dataset with label maps by --data")
    dataset = first.dataset if data is None else data
    for name, run in runs.items():
        require_same_classes(name, run.dataset, dataset, "look at runs of one dataset")
    return dataset if data is None else with_sides_of(first, data)


def require_unseen(name: str, run: Run, cases: Mapping[str, Sequence[CaseEntry]], split: str) -> None:
    """Raise InputError if a run learned from the patients that another is tested with."""
    looked_at = {case.patient for of in cases.values() for case in of}
    learned = {case.patient for case in run.dataset.cases if case.split in ("train", "validation")}
    both = sorted(looked_at & learned)
    if both and split == "test":
        raise InputError(
            f"run {name} learned from {len(both)} of the patients looked at ({both[0]}), whom another run is tested "
            "with; look at runs of one split"
        )


def _layers(networks: Mapping[str, Network], options: Options) -> tuple[tuple[str, ...], tuple[str, ...]]:
    for name, network in networks.items():
        require_layers(network, options.layers or (), f"run {name}")
    if options.layers:
        return options.layers, ()
    first_name, first = next(iter(networks.items()))
    shared = tuple(
        name for name in first.feature_names if all(name in network.feature_names for network in networks.values())
    )
    if not shared:
        other_name, other = next(
            (name, network)
            for name, network in networks.items()
            if not set(network.feature_names) & set(first.feature_names)
        )
        raise InputError(
            f"runs of different networks: {first_name} has the layers {', '.join(first.feature_names)}, {other_name} "
            f"has {', '.join(other.feature_names)}; look at them one at a time"
        )
    dropped = sorted({name for network in networks.values() for name in network.feature_names} - set(shared))
    return shared, (f"layers that not every run has were left out: {', '.join(dropped)}",) if dropped else ()


def _usual_pair(runs: Mapping[str, Run], layers: Sequence[str]) -> tuple[str, str]:
    """The layers that the first method with layer pairs compares; else the two in the middle."""
    for run in runs.values():
        pairs = getattr(run.recipe.method, "layer_pairs", None)
        if pairs and set(pairs[0]) <= set(layers):
            return tuple(pairs[0])
    middle = max(len(layers) // 2 - 1, 0)
    return layers[middle], layers[min(middle + 1, len(layers) - 1)]


def _choosing_side(dataset: Dataset, modality: str, options: Options) -> str:
    sides = [options.choose_on] if options.choose_on else ["validation", "train"]
    for side in sides:
        if side != options.split and of_patients(dataset, modality, side, labeled=True):
            return side
    simulated = sum(len(dataset.of(modality, side, labeled=True)) for side in sides if side != options.split)
    but = f" but {simulated} simulated ones, which are no patients" if simulated else ""
    raise InputError(
        f"no labeled {modality} case in split {' or '.join(sides)} to choose channels on{but}; choosing them on the "
        "patients that are reported would flatter every run: name another side with --choose-on, or with --data a "
        "manifest that labels some"
    )
