"""`train` as a person calls it: a recipe or its name, a dataset or its manifest, a split file, and where to compute."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from unpaired.choices import counted, in_hours
from unpaired.consent.modules import Trust, load_trusted
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.simulated import of_patients
from unpaired.data.split import Split, as_split, read_folds
from unpaired.data.splits import folds_by_patient, with_sides
from unpaired.errors import InputError
from unpaired.overrides import Changes
from unpaired.recipe import Recipe, override
from unpaired.recipes import find_recipe
from unpaired.runs.folder import FOLD, is_run
from unpaired.runs.lock import InUseError
from unpaired.runs.run import Run
from unpaired.training.loop import Hardware
from unpaired.training.loop import train as train_recipe
from unpaired.training.planned import AUTO, HOURS, plan_training
from unpaired.training.progress import case_progress, tell


def train(
    recipe: Recipe | str,
    data: Dataset | str | Path,
    run: str | Path,
    *,
    split: Split | str | Path | None = None,
    changes: Changes = (),
    cache: str | Path | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int = 1,
    trust: Trust = (),
    show: bool = True,
    hours: float | None = None,
) -> Run:
    """Train a recipe on a dataset's "train" cases into the folder `run`, or finish the run that it holds.

    `recipe` is one, or what `find_recipe` takes: a name, file.py:function, a run's folder; "auto" plans one for this
    dataset, this machine and so many `hours` (default: 1; `plan_training`), or goes on with the one that the run began
    with. `data` is a dataset or its manifest, `split` a split or its file, which takes the place of the manifest's own
    sides; where nobody says who trains, "auto" draws it as `unpaired split` does (`data.splits.with_sides`).
    `changes` replace fields of the recipe ("steps=500"). Prepared volumes go to `cache` (default: `prepared` beside the
    run folder, shared by the runs there). `devices` processes train on each of `nodes`, each with `workers` that cut
    and augment batches (0: it does so itself). `trust` are modules outside the package that `changes` or a run's recipe
    may name. Without `show` nothing is said while it trains.

    Raises InputError for anything that doesn't fit, a folder that holds another run among it; `Stopped` after Ctrl-C.
    """
    load_trusted(trust)
    _require_no_hours(recipe, hours)
    hardware = Hardware(device, devices, nodes, workers)
    dataset = as_dataset(data)
    dataset = dataset if split is None else as_split(split).apply(dataset)
    if recipe == AUTO:
        dataset, said = with_sides(dataset)
        if said:
            _say(said, show)
        recipe = _planned_recipe(dataset, Path(run), hours, hardware, show)
    return _train(recipe, dataset, Path(run), changes, hardware, cache, trust, show)


def _train(
    recipe: Recipe | str,
    dataset: Dataset,
    run: Path,
    changes: Changes,
    hardware: Hardware,
    cache: str | Path | None,
    trust: Trust,
    show: bool,
) -> Run:
    """Train as `train` does, on a dataset that has its sides, by a recipe that isn't "auto"."""
    name = recipe if isinstance(recipe, str) else ""
    chosen = override(find_recipe(recipe, trust) if isinstance(recipe, str) else recipe, changes)
    return train_recipe(chosen, dataset, run, name=name, hardware=hardware, cache=cache, show=show)


def _require_no_hours(recipe: Recipe | str, hours: float | None) -> None:
    """Raise InputError for hours that nobody would keep to."""
    if recipe != AUTO and hours is not None:
        raise InputError(
            f"hours are what the recipe auto is planned for, and another one has its own steps; got {in_hours(hours)}: "
            "leave them out, or change the recipe (--set steps=2000)"
        )


def _planned_recipe(dataset: Dataset, run: Path, hours: float | None, hardware: Hardware, show: bool) -> Recipe | str:
    """The recipe that a run began with (its folder), or one planned now. Processes that don't know of each other would
    each time a step, and plan something else: they need a plan that is written down."""
    if is_run(run):
        _say(f"{run} goes on with the recipe that it began with; nothing is planned", show)
        return str(run)
    hours = HOURS if hours is None else hours
    if (processes := hardware.devices * hardware.nodes) > 1:
        raise InputError(
            f"the recipe auto is planned by one process, got {processes} (devices times nodes); write the plan down "
            "with `unpaired plan` and train that file"
        )
    cases = sum(case.split != "test" for case in dataset.cases)
    _say(f"planning for {in_hours(hours)}: reading {counted(cases, 'case')}, then timing a step", show)
    with case_progress("reading", Console(stderr=True, quiet=not show)) as progress:
        planned = plan_training(
            dataset, hours=hours, device=hardware.device, workers=hardware.workers, progress=progress
        )
    if is_run(run):  # of several processes that share the folds, another was faster
        return str(run)
    for line in planned.lines():
        _say(line, show)
    return planned.plan.recipe


def _say(text: str, show: bool) -> None:
    tell(Console(stderr=True, quiet=not show), text)


def train_folds(
    recipe: Recipe | str,
    data: Dataset | str | Path,
    runs: str | Path,
    *,
    folds: int = 5,
    split: str | Path | None = None,
    changes: Changes = (),
    cache: str | Path | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int = 1,
    trust: Trust = (),
    show: bool = True,
    hours: float | None = None,
) -> list[Run]:
    """Cross-validation: a run for each fold, `runs`/fold0, fold1, ...; every labeled patient is tested in one of them.

    The folds are those of `split(data, folds=folds)` with seed 0, or those of `split`: a folder of split files, or
    nnU-Net's splits_final.json (`data.split.read_folds`). Patients that the manifest keeps for testing stay out of the
    folds that are drawn, which is told. Runs that are finished are left as they are, and one that was stopped goes on.
    A recipe "auto" is planned once, for `hours` in each fold. Folds that another process trains are left to it, and out
    of what is returned: so the same call, started once for each GPU, shares them out. `predict` averages the folds
    where it is given the folder. The other arguments are those of `train`. Raises what `train` and `split` raise.
    """
    load_trusted(trust)
    _require_no_hours(recipe, hours)
    dataset, folder, hardware = as_dataset(data), Path(runs), Hardware(device, devices, nodes, workers)
    if split is None:
        drawn = _drawn_folds(dataset, folds, show)
    else:
        drawn = read_folds(split)
        if len(drawn) != folds:
            raise InputError(f"{split} holds {len(drawn)} folds, but {folds} are asked for")
    given = [recipe] * folds
    if recipe == AUTO:
        given = [_planned_recipe(dataset, folder / f"{FOLD}0", hours, hardware, show)] * folds
    runs_here: list[Run] = []
    for number, (chosen, side) in enumerate(zip(given, drawn, strict=True)):
        run = folder / f"{FOLD}{number}"
        kept = () if recipe == AUTO and isinstance(chosen, str) else changes
        _say(f"{run} ({number + 1} of {folds})", show)
        try:
            runs_here.append(_train(chosen, side.apply(dataset), run, kept, hardware, cache, trust, show))
        except InUseError:
            if hardware.devices * hardware.nodes > 1:
                raise
            _say(f"{run}: another process trains it; left to that one", show)
    return runs_here


def _drawn_folds(dataset: Dataset, folds: int, show: bool) -> list[Split]:
    """Folds of all patients but those that the manifest keeps for testing: these are in none."""
    kept = {case.patient for case in of_patients(dataset, split="test")}
    free = replace(dataset, cases=tuple(case for case in dataset.cases if case.patient not in kept))
    if kept:
        _say(
            f"note: {counted(len(kept), 'patient')} that the manifest keeps for testing "
            f"{'is' if len(kept) == 1 else 'are'} in no fold; predict them by all folds with --split test",
            show,
        )
    return folds_by_patient(free, folds=folds)
