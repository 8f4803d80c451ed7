"""The one training loop, for every paper. Everything that a step needs is a function of its number.

A step's batch comes from (seed, rank, step), its dropout from the same, its learning rate from the step: so a run that
was stopped or killed goes on from its last saved state and ends with the very bits it would have had.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console

from unpaired.configs import code_of
from unpaired.data.batch import Batch
from unpaired.data.dataset import CaseEntry, Dataset
from unpaired.data.prepare import Prepared, PreparedCase, prepare
from unpaired.data.splits import check_patients
from unpaired.errors import InputError, Stopped
from unpaired.files import clear_leftovers
from unpaired.inference.pages import keep_pages
from unpaired.methods.method import Method, Objective
from unpaired.networks.weights import load_weights
from unpaired.recipe import Recipe, build_method
from unpaired.runs.lock import only_one
from unpaired.runs.run import Run, training_modalities
from unpaired.training.batches import batch_errors_in_one_line, batches_from, images_over_the_run, unpaired_steps
from unpaired.training.log import LOG_EVERY, TrainingLog, writer_errors_once
from unpaired.training.norm_statistics import refresh_norms
from unpaired.training.optimization import build_optimizer, learning_rate, parameter_counts
from unpaired.training.processes import build_fabric, by_the_first
from unpaired.training.progress import progress_bar, stop_on_signal
from unpaired.training.validate import mean_dice, validate

WARNINGS_SHOWN = 3


@dataclass(frozen=True)
class Hardware:
    """Where a run is computed. `device` is "auto", "cpu", "cuda" or "mps"; `devices` counts processes (DDP).

    `workers` are processes that cut and augment batches (0: the training process itself does).
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 1

    def __post_init__(self) -> None:
        for name, least in (("devices", 1), ("nodes", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be {least} or more, got {getattr(self, name)}")


def train(
    recipe: Recipe,
    dataset: Dataset,
    folder: str | Path,
    *,
    name: str = "",
    hardware: Hardware | None = None,
    cache: str | Path | None = None,
    show: bool = True,
) -> Run:
    """Train a recipe on a dataset's "train" cases into a run folder, or finish the run that the folder holds.

    Prepared volumes go to `cache` (default: `prepared` beside the run folder, shared by the runs there). Raises
    InputError for a dataset without training cases or a folder that holds another run, `Stopped` after Ctrl-C.
    """
    hardware = hardware or Hardware()
    check_patients(dataset)
    modalities = training_modalities(recipe, dataset)
    _cases_to_prepare(recipe, dataset, modalities)  # this and what follows before any file: a recipe may not fit
    method = build_method(recipe, modalities, len(dataset.classes))
    if method.needs_unlabeled and not recipe.unlabeled_batch_size:
        raise InputError(
            f"recipe.method {type(recipe.method).__name__} is for unlabeled images, and recipe.unlabeled_batch_size is "
            "0; set it, such as to recipe.batch_size"
        )
    if recipe.unlabeled_batch_size and not method.takes_unlabeled:
        raise InputError(
            f"recipe.unlabeled_batch_size is {recipe.unlabeled_batch_size}, and recipe.method "
            f"{type(recipe.method).__name__} makes no use of unlabeled images; set it to 0, or put the method inside "
            "MeanTeacherConfig, CrossPseudoSupervisionConfig or AnatomicalConsistencyConfig"
        )
    began_with = _first_weights(recipe, method, folder)
    fabric = build_fabric(hardware.device, hardware.devices, hardware.nodes, recipe.precision)
    fabric.launch()
    by_the_first(fabric, lambda: Run.create(folder, recipe, dataset, name))
    run = Run.open(folder, code_of(recipe))
    console = Console(stderr=True, quiet=not (show and fabric.is_global_zero))
    cache = Path(cache or run.folder.parent / "prepared")
    if fabric.device.type == "cpu":
        keep_pages()
    with ExitStack() as stack:
        by_the_first(fabric, lambda: stack.enter_context(only_one(run.lock, "training there")))
        by_the_first(fabric, lambda: clear_leftovers(run.folder))
        stack.enter_context(batch_errors_in_one_line(run))
        cases = _prepared_cases(run, cache, modalities, fabric, hardware, console)
        by_the_first(fabric, lambda: _record_weights(run, method, began_with, console))
        _train_steps(run, method, cases, fabric, hardware, console)
    return run


def _first_weights(recipe: Recipe, method: Method, folder: str | Path) -> dict[str, Any]:
    """Weights to begin with, into the network; {"init_from" or "pretrained": record} of other than random ones.

    A run that was saved begins with its own. Read before any file is written: a wrong path shall not leave a run
    behind. `init_from` fills the network, but for whole parts that the other run's lacks, so nothing pre-trained is
    read then.
    """
    if Run.begun(folder):
        return {}
    if recipe.init_from:
        fresh = load_weights(method.network, Run.at(recipe.init_from).weights("best"), larger=True)
        return {"init_from": {"run": str(recipe.init_from), "weights": "best", "fresh": list(fresh)}}
    for network in method.further_networks:
        recipe.network.load_pretrained(network)
    pretrained = recipe.network.load_pretrained(method.network)
    return {} if pretrained is None else {"pretrained": pretrained}


def _record_weights(run: Run, method: Method, began_with: dict[str, Any], console: Console) -> None:
    """Write down, and say, what the weights began with and how many of them move."""
    for kind, record in began_with.items():
        run.record(kind, record)
        if kind == "pretrained":
            text = "{loaded} tensors from {file}, {fresh} begin fresh".format(**record)
            text += "".join(f"; {count} left out: {reason}" for reason, count in record["skipped"].items())
        else:
            text = f"all weights from {record['run']}" + "".join(f", {part} begins fresh" for part in record["fresh"])
        console.print(text, highlight=False, soft_wrap=True)
    counts = parameter_counts(method)
    run.record("parameters", counts)
    console.print(f"{counts['trained']:,} of {sum(counts.values()):,} parameters are trained", highlight=False)


def _train_steps(
    run: Run,
    method: Method,
    cases: dict[str, dict[str, list[PreparedCase]]],
    fabric: Fabric,
    hardware: Hardware,
    console: Console,
) -> None:
    recipe, dataset = run.recipe, run.dataset
    optimizer = build_optimizer(method, recipe.optimization)
    model, optimizer = fabric.setup(method, optimizer)
    start, best = _restore(run, method, optimizer, fabric)
    log = TrainingLog(run, enabled=fabric.is_global_zero)
    bar = progress_bar(recipe.steps, start, not console.quiet, console)
    with stop_on_signal() as stop, writer_errors_once(), bar as update:
        steps = unpaired_steps(run, cases["train"], fabric)
        batches = batches_from(start, steps, recipe, fabric, hardware.workers)
        for step in range(start, recipe.steps):
            objective = _training_step(fabric, model, optimizer, batches, recipe, step)
            method.after_step()
            log.add(step + 1, objective, optimizer)
            done = step + 1
            if done % recipe.validate_every == 0 or done == recipe.steps:
                if recipe.norm_batches:
                    refresh_norms(method.network, images_over_the_run(steps, recipe.norm_batches, fabric))
                scores = (
                    validate(method, recipe, dataset, cases["validation"], fabric.device)
                    if fabric.is_global_zero
                    else {}
                )
                log.add_validation(done, scores)
                if fabric.is_global_zero and (mean_dice(scores) > best or not any(cases["validation"].values())):
                    best = mean_dice(scores)
                    run.save_weights(method.network, "best")
            stopping = fabric.broadcast(stop.asked) if fabric.world_size > 1 else stop.asked
            if done % recipe.save_every == 0 or done == recipe.steps or stopping:
                log.flush()
                if fabric.is_global_zero:
                    _save(run, method, optimizer, fabric, done, best)
                fabric.barrier()
            if stopping and done < recipe.steps:
                raise Stopped(
                    f"stopped after step {done} and saved in {run.folder}; the same command goes on from there"
                )
            if done % LOG_EVERY == 0 or done == recipe.steps:
                update(done, log.latest)


def _training_step(
    fabric: Fabric, model: Any, optimizer: Any, batches: Iterator[dict[str, Batch]], recipe: Recipe, step: int
) -> Objective:
    """One optimizer step: the method's objective on `accumulate` batches, backward, update."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe.optimization, step, recipe.steps)
    _seed_step(recipe.seed, step, fabric)
    optimizer.zero_grad(set_to_none=True)
    objectives = []
    for part in range(recipe.accumulate):
        with fabric.no_backward_sync(model, enabled=part < recipe.accumulate - 1):
            objectives.append(model(fabric.to_device(next(batches)), step / recipe.steps))
            fabric.backward(objectives[-1].loss / recipe.accumulate)
    if recipe.optimization.gradient_clip is not None:
        fabric.clip_gradients(model, optimizer, max_norm=recipe.optimization.gradient_clip)
    optimizer.step()
    return objectives[-1]


def _prepared_cases(
    run: Run, cache: Path, modalities: tuple[str, ...], fabric: Fabric, hardware: Hardware, console: Console
) -> dict[str, dict[str, list[PreparedCase]]]:
    """{side: {modality: prepared cases}} for training and validation; rank 0 prepares, the others read it."""
    wanted = _cases_to_prepare(run.recipe, run.dataset, modalities)
    entries = {case.id: case for case in wanted}

    def prepared_here() -> Prepared:
        prepared = prepare(run.dataset, run.recipe.preprocessing, cache, only=set(entries), workers=hardware.workers)
        if prepared.failures:
            lines = "; ".join(message for _, message in prepared.failures[:3])
            raise InputError(
                f"{len(prepared.failures)} of {len(entries)} cases can't be prepared (see `unpaired verify`): {lines}"
            )
        return prepared

    prepared = by_the_first(fabric, prepared_here) or prepared_here()
    console.print(f"{len(entries)} prepared cases in {cache}")
    for case, message in prepared.warnings[:WARNINGS_SHOWN]:
        console.print(f"warning: {case}: {message}", highlight=False, soft_wrap=True)
    if len(prepared.warnings) > WARNINGS_SHOWN:
        console.print(f"and {len(prepared.warnings) - WARNINGS_SHOWN} more such warnings: {prepared.report}")
    return {
        side: {
            modality: [prepared.cases[c.id] for c in wanted if c.split == side and c.modality == modality]
            for modality in modalities
        }
        for side in ("train", "validation")
    }


def _cases_to_prepare(recipe: Recipe, dataset: Dataset, modalities: tuple[str, ...]) -> list[CaseEntry]:
    """Labeled training and validation cases, and unlabeled training cases for a recipe that takes them.

    Raises InputError if it takes them and there is none.
    """
    cases = [case for case in dataset.cases if case.modality in modalities]
    unlabeled = {case.id for case in cases if case.split == "train" and case.label is None}
    if recipe.unlabeled_batch_size and not unlabeled:
        raise InputError(
            f"recipe.unlabeled_batch_size is {recipe.unlabeled_batch_size}, but dataset {dataset.name} has no "
            f'unlabeled training case of {", ".join(modalities)} (split "train", label null): add some to the manifest '
            "or keep the labels of few patients with `unpaired labeled-fraction`; 0 trains without"
        )
    labeled = {case.id for case in cases if case.split in ("train", "validation") and case.label is not None}
    taken = labeled | unlabeled if recipe.unlabeled_batch_size else labeled
    return [case for case in cases if case.id in taken]


def _seed_step(seed: int, step: int, fabric: Fabric) -> None:
    """Seed what a step draws on the device (dropout); distinct for steps below 2^31 and ranks below 2^10.

    Not `torch.manual_seed`: where CUDA is not initialized it queues one more call for every step of the run.
    """
    number = ((seed & 0x3FFFFF) << 41) ^ (fabric.global_rank << 31) ^ step
    torch.default_generator.manual_seed(number)
    if fabric.device.type == "cuda":
        torch.cuda.manual_seed(number)
    elif fabric.device.type == "mps":
        torch.mps.manual_seed(number)


def _restore(run: Run, method: Method, optimizer: Any, fabric: Fabric) -> tuple[int, float]:
    """(first step to do, best validation Dice so far) from the run's saved state, or from nothing."""
    state = run.load_state()
    if state is None:
        if fabric.is_global_zero:
            run.forget_rows_from(-1)
        return 0, -1.0
    try:
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        fabric.strategy.precision.load_state_dict(state["precision"])
        step, best = int(state["step"]), float(state["best"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        raise run.of_another_training(error) from error
    if fabric.is_global_zero:
        run.forget_rows_from(step)
    return step, best


def _save(run: Run, method: Method, optimizer: Any, fabric: Fabric, step: int, best: float) -> None:
    run.save_weights(method.network, "last")
    run.save_state(
        {
            "step": step,
            "best": best,
            "method": method.state_dict(),
            "optimizer": optimizer.state_dict(),
            "precision": fabric.strategy.precision.state_dict(),
        }
    )
