"""A dataset's own recipe: its fingerprint, the rules, and what a step takes on this very machine."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import torch

from unpaired.choices import counted, in_hours, some_of
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.simulated import simulated_beside
from unpaired.data.split import Split, as_split
from unpaired.errors import InputError
from unpaired.inference.devices import has_bfloat16
from unpaired.planning.budget import Device
from unpaired.planning.fingerprint import Fingerprint, read_fingerprint, take_fingerprint
from unpaired.planning.labels import simulated_advice
from unpaired.planning.plan import Dimensions, Plan, plan_recipe
from unpaired.planning.recipe_file import require_new_file, write_recipe
from unpaired.recipe import MemoryFormat, Precision
from unpaired.training.memory_format import WORTH
from unpaired.training.probe import StepCost, free_memory_gb, time_step

AUTO = "auto"
HOURS = 1.0
"""How long a planned training takes where nobody says it."""
SHARE_OF_MEMORY = 0.8
LEAST, MOST = 200, 100_000
"""Steps that a plan has at least and at most, whatever the time."""
ENOUGH, SMALLEST_SHARE = 2000, 0.4
"""Steps from which slices on a processor have the voxels that they might have; where fewer fit, the share of these that
a patch still has at least: pixels 1.6 times larger (docs/results/planned.md)."""


def memory_text(gigabytes: float) -> str:
    """An amount of memory for a person, such as "2.0 GB" or "35 MB"."""
    return f"{gigabytes:.1f} GB" if gigabytes >= 0.1 else f"{1000 * gigabytes:.2g} MB"


@dataclass(frozen=True)
class PlannedTraining:
    """A plan with the fingerprint that it comes from, and what a step costs on the machine that it was made on."""

    plan: Plan
    fingerprint: Fingerprint
    step: StepCost
    hours: float
    """What training will take, validation aside."""
    limited: str = ""
    """Where that isn't what was asked for: why."""
    without_patients: str = ""
    """Where every patient is on the test side: what trains instead."""
    advice: str = ""
    """What simulated scans could do for modalities with few labels."""

    def lines(self) -> tuple[str, ...]:
        """What a person is told: what is trained, in which steps, and why that takes other hours than those given."""
        recipe = self.plan.recipe
        notes = (self.without_patients, self.limited, self.advice)
        return (
            self.plan.summary,
            f"patch {' x '.join(map(str, recipe.patch_size))}, {counted(recipe.steps, 'step')} of "
            f"{self.step.seconds:.2f} s: {in_hours(self.hours, 2)}, validation on top; "
            f"about {memory_text(self.step.gigabytes)}",
            *(f"note: {line}" for line in notes if line),
        )


def plan_training(
    data: Dataset | str | Path,
    out: str | Path | None = None,
    *,
    hours: float = HOURS,
    memory_gb: float | None = None,
    device: str = AUTO,
    dimensions: Dimensions = "auto",
    fingerprint: Fingerprint | str | Path | None = None,
    split: Split | str | Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> PlannedTraining:
    """Plan the training of a dataset (or its manifest): network, grid, patch, batch, and as many steps as fit `hours`.

    The recipe goes to the Python file `out` (None: nowhere), to be read, changed and trained. `memory_gb` is what
    training may take (None: four fifths of what is free), `device` "cpu", "cuda" or "auto". `dimensions` "2" or "3"
    asks for slices or volumes whatever the rule says. Test cases, by the manifest or by `split`, are not looked at;
    where these are all patients, the plan is for the simulated scans that train, and `without_patients` says so.
    Labels of validation cases don't count as any to learn from.
    `fingerprint` is one of the dataset (or the file of `unpaired inspect`), which spares reading the scans; what it
    says of test cases is left out. A step is timed on this machine; one that takes too much memory halves the batch,
    and where fewer than `ENOUGH` of them fit on a processor, slices get coarser.
    A plan has `LEAST` to `MOST` steps; where these take other hours than those given, its file, `limited` and `lines`
    say so.

    Raises InputError for a dataset without labels, hours or memory that aren't above 0 or finite, and a device that
    isn't there.
    """
    for name, value in (("hours", hours), ("memory_gb", memory_gb)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} must be above 0 and finite, got {value}")
    if out is not None:
        require_new_file(out)  # before the scans are read and a step is timed
    kind = _device(device)
    limit = memory_gb if memory_gb is not None else SHARE_OF_MEMORY * free_memory_gb(kind)
    dataset = as_dataset(data)
    dataset = dataset if split is None else as_split(split).apply(dataset)
    simulated = simulated_beside(dataset)
    dataset = replace(dataset, cases=tuple(case for case in dataset.cases if case.split != "test"))
    trains = {case.id for case in dataset.cases if case.split != "validation"}
    known = _fingerprint(dataset, simulated, fingerprint, workers, progress)
    learned = known.taught_by(trains, simulated)
    plan, step = _timed(learned, kind, limit, hours, dimensions)
    steps, limited = _steps(hours, step.seconds)
    took = f"{step.seconds:.2f} s a step on this machine, {in_hours(hours)}"
    plan = plan.with_steps(steps, "; ".join(filter(None, (took, limited))))
    if out is not None:
        write_recipe(plan, out, dataset.name, version("unpaired"))
    return PlannedTraining(
        plan,
        known,
        step,
        steps * step.seconds / 3600,
        limited,
        _without_patients(dataset, simulated),
        simulated_advice(learned),
    )


def _timed(
    known: Fingerprint, device: Device, limit: float, hours: float, dimensions: Dimensions
) -> tuple[Plan, StepCost]:
    """The plan, and what its step costs; where too few fit on a processor, that of coarser slices."""
    plan = plan_recipe(known, device, limit, hours, dimensions)
    plan, step = _with_the_fastest_step(*_that_fits(plan, known, limit, device), known, device)
    whole = math.prod(plan.recipe.patch_size)
    share = max(hours * 3600 / step.seconds / ENOUGH, SMALLEST_SHARE)
    if share >= 1 or device != "cpu" or len(plan.recipe.patch_size) > 2:
        return plan, step
    coarser = plan_recipe(known, device, limit, hours, dimensions, int(share * whole))
    if math.prod(coarser.recipe.patch_size) >= whole:
        return plan, step
    return _with_the_fastest_step(*_that_fits(coarser, known, limit, device), known, device)


def _without_patients(dataset: Dataset, simulated: Collection[str]) -> str:
    """A line where nothing but simulated scans is left to train, of a dataset that has patients too."""
    if not simulated or any(case.id not in simulated for case in dataset.cases):
        return ""
    return (
        f"all patients of {dataset.name} are on the test side: the plan is for {len(dataset.cases)} simulated scans, "
        "which train alone; split anew with `unpaired split` to train with patients"
    )


def _steps(hours: float, seconds: float) -> tuple[int, str]:
    """How many steps of so many seconds a plan has, and "" where they take the hours given, else why they don't."""
    fitting = int(hours * 3600 / seconds)
    steps = min(max(fitting, LEAST), MOST)
    takes = steps * seconds / 3600
    if fitting < LEAST:
        return steps, (
            f"{counted(fitting, 'step')} {'fits' if fitting == 1 else 'fit'} into {in_hours(hours)}; a plan has at "
            f"least {LEAST}, since fewer teach a network little: {in_hours(takes, 2)}"
        )
    if fitting > MOST:
        return steps, f"a plan has at most {MOST:,} steps: {takes:.2g} of the {in_hours(hours)}"
    return steps, ""


def _device(device: str) -> Device:
    if device == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise InputError(f"a plan is for cpu or cuda, got device {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: torch finds none on this machine; plan where it will be trained, or for cpu")
    return "cuda" if device == "cuda" else "cpu"


def _fingerprint(
    dataset: Dataset,
    simulated: Collection[str],
    given: Fingerprint | str | Path | None,
    workers: int,
    progress: Callable[[int, int, str], None] | None,
) -> Fingerprint:
    if given is None:
        return take_fingerprint(dataset, workers, progress, simulated)[0]
    known = given if isinstance(given, Fingerprint) else read_fingerprint(given)
    if known.classes != dataset.classes or {facts.name for facts in known.modalities} - set(dataset.modalities):
        raise InputError(
            f"the fingerprint is of dataset {known.dataset}, with other classes or modalities than {dataset.name}; "
            "take it anew with `unpaired inspect`"
        )
    looked_at = {case.id for case in known.cases} | {case for case, _ in known.failures}
    if missing := [case.id for case in dataset.cases if case.id not in looked_at]:
        raise InputError(
            f"the fingerprint of dataset {known.dataset} was taken without {len(missing)} of the cases of "
            f"{dataset.name} ({some_of(missing)}); take it anew with `unpaired inspect`"
        )
    known = known.of_cases({case.id for case in dataset.cases}, simulated)
    there = {case.id: (case.patient, case.modality, case.label is not None) for case in dataset.cases}
    other = [case.id for case in known.cases if (case.patient, case.modality, case.labeled) != there[case.id]]
    if other:
        raise InputError(
            f"the fingerprint of dataset {known.dataset} has another patient, modality or label for {len(other)} of "
            f"the cases that train ({some_of(other)}); plan without it: the scans are read then"
        )
    return known


def _that_fits(plan: Plan, known: Fingerprint, limit: float, device: Device) -> tuple[Plan, StepCost]:
    """The plan with a batch whose step stays below the memory limit, and what that step costs."""
    modalities = _trained(plan, known)
    while True:
        cost = time_step(plan.recipe, modalities, len(known.classes), device)
        size = plan.recipe.batch_size
        if cost.gigabytes <= limit or size == 1:
            if cost.gigabytes > limit:
                smaller = " or with --dimensions 2" if len(plan.recipe.patch_size) == 3 else ""
                raise InputError(
                    f"one image of each modality takes {memory_text(cost.gigabytes)}, more than the "
                    f"{memory_text(limit)} allowed; plan with more memory{smaller}"
                )
            return plan, cost
        plan = plan.with_batch(size // 2, f"{size} images of each modality took {memory_text(cost.gigabytes)}")


def _trained(plan: Plan, known: Fingerprint) -> list[str]:
    borrowed = plan.recipe.randomization.borrowed
    return [facts.name for facts in known.modalities if facts.labeled_patients or facts.simulated_patients or borrowed]


def _with_the_fastest_step(plan: Plan, plain: StepCost, known: Fingerprint, device: Device) -> tuple[Plan, StepCost]:
    """The plan in the precision and memory format that are clearly faster than its own on this machine."""
    precisions: tuple[Precision, ...] = ("32-true", "bf16-mixed") if has_bfloat16(device) else ("32-true",)
    formats: tuple[MemoryFormat, ...] = ("contiguous", "channels_last")
    best, cost = plan, plain
    for precision, memory_format in list(product(precisions, formats))[1:]:
        recipe = replace(plan.recipe, precision=precision, memory_format=memory_format)
        other = time_step(recipe, _trained(plan, known), len(known.classes), device)
        if other.seconds < WORTH * cost.seconds:
            reason = f"{other.seconds:.2f} s a step on this machine, {plain.seconds:.2f} without"
            best, cost = plan.with_step(precision, memory_format, reason), other
    return best, cost
