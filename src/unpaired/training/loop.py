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
from unpaired.data.dataset import Dataset
from unpaired.data.prepared import PreparedCase
from unpaired.data.preprocess import with_windows
from unpaired.data.sampling import UnpairedSteps
from unpaired.data.split import check_patients
from unpaired.errors import InputError, Stopped
from unpaired.files import clear_leftovers
from unpaired.inference.engine.small_maps import right_in_bfloat16
from unpaired.inference.pages import keep_pages
from unpaired.methods.method import Method, Objective
from unpaired.networks.norm_kernels import use_group_kernels
from unpaired.networks.norm_statistics import refresh_norms
from unpaired.recipe import Recipe, build_method
from unpaired.runs.folder import PREPARED
from unpaired.runs.lock import only_one
from unpaired.runs.progress import LOG_EVERY
from unpaired.runs.run import Run
from unpaired.training.batches import (
    TimedBatches,
    batch_errors_in_one_line,
    batches_from,
    images_over_the_run,
    on_device,
    unpaired_steps,
)
from unpaired.training.cases import cases_to_prepare, nothing_to_compare, prepared_cases
from unpaired.training.first_weights import load_first_weights, record_first_weights, train_new_modalities_alone
from unpaired.training.layout import MemoryFormat, laid_out, lay_out
from unpaired.training.log import TrainingLog, writer_errors_once
from unpaired.training.memory_format import memory_format_of
from unpaired.training.modalities import modalities_to_train, require_as_before, require_labels_to_join
from unpaired.training.optimization import build_optimizer, learning_rate
from unpaired.training.picture import TrainingPicture
from unpaired.training.processes import build_fabric, by_the_first, emulated
from unpaired.training.progress import TrainingProgress, stop_on_signal, tell
from unpaired.training.state import TrainingState
from unpaired.training.validate import validate


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
    dataset = with_windows(dataset, recipe.preprocessing)
    check_patients(dataset)
    modalities = modalities_to_train(recipe, dataset, Run.begun(folder))
    cases_to_prepare(recipe, dataset, modalities)  # this and what follows before any file: a recipe may not fit
    method = build_method(recipe, modalities, len(dataset.classes))
    _check_unlabeled(recipe, method)
    began_with = load_first_weights(recipe, method, dataset.classes, folder)
    only = train_new_modalities_alone(recipe, method, folder, began_with)
    require_labels_to_join(only or (), recipe, dataset)
    if only and began_with:
        require_as_before(recipe, dataset)
    fabric = build_fabric(hardware.device, hardware.devices, hardware.nodes, recipe.precision)
    fabric.launch()
    by_the_first(fabric, lambda: Run.create(folder, recipe, dataset, name))
    run = Run.open(folder, code_of(recipe))
    console = Console(stderr=True, quiet=not (show and fabric.is_global_zero))
    cache = Path(cache or run.folder.parent / PREPARED)
    if said := emulated(recipe.precision, fabric.device.type):
        tell(console, f"warning: {said}")
    if method.caution:
        tell(console, f"warning: {method.caution}")
    if method.compares_unlabeled and (said := nothing_to_compare(dataset, modalities)):
        tell(console, f"warning: {type(recipe.method).__name__}: {said}")
    if fabric.device.type == "cpu":
        keep_pages()
    with ExitStack() as stack:
        by_the_first(fabric, lambda: stack.enter_context(only_one(run.lock, "training there")))
        by_the_first(fabric, lambda: clear_leftovers(run.folder))
        stack.enter_context(batch_errors_in_one_line(run))
        cases = prepared_cases(run, cache, modalities, fabric, hardware.workers, console)
        by_the_first(fabric, lambda: record_first_weights(run, method, began_with, console))
        _train_steps(run, method, cases, fabric, hardware, console, only)
    return run


def _check_unlabeled(recipe: Recipe, method: Method) -> None:
    """Raise InputError for a method that needs unlabeled images and gets none, or gets some and doesn't use them."""
    if method.needs_unlabeled and not recipe.unlabeled_batch_size:
        raise InputError(
            f"recipe.method {type(recipe.method).__name__} is for unlabeled images, and recipe.unlabeled_batch_size is "
            "0; set it, such as to recipe.batch_size"
        )
    if recipe.unlabeled_batch_size and not method.takes_unlabeled:
        raise InputError(
            f"recipe.unlabeled_batch_size is {recipe.unlabeled_batch_size}, and recipe.method "
            f"{type(recipe.method).__name__} makes no use of unlabeled images; set it to 0, or put the method inside "
            "WeakToStrongConfig, MeanTeacherConfig, CrossPseudoSupervisionConfig or AnatomicalConsistencyConfig; "
            "PseudoCorrelationConfig takes some too"
        )


def _train_steps(
    run: Run,
    method: Method,
    cases: dict[str, dict[str, list[PreparedCase]]],
    fabric: Fabric,
    hardware: Hardware,
    console: Console,
    only: tuple[str, ...] | None = None,
) -> None:
    """Do the steps that are left, on batches of the modalities `only` (None: all); validate, log and save as the recipe
    says. Raises `Stopped` where somebody asks."""
    recipe = run.recipe
    memory_format = memory_format_of(run, fabric)
    lay_out(method, memory_format)
    if fabric.device.type == "cpu":
        use_group_kernels(method)
    optimizer = build_optimizer(method, recipe.optimization)
    model, optimizer = fabric.setup(method, optimizer)
    state = TrainingState(run, method, optimizer, fabric, memory_format)
    start = state.restore()
    log = TrainingLog(run, enabled=fabric.is_global_zero)
    shown = TrainingProgress(recipe.steps, start, console)
    picture = TrainingPicture(run, enabled=fabric.is_global_zero)
    with stop_on_signal() as stop, writer_errors_once(), shown:
        steps = unpaired_steps(run, cases["train"], fabric, only)
        batches = TimedBatches(batches_from(start, steps, recipe, fabric, hardware.workers))
        for done in range(start + 1, recipe.steps + 1):
            objective = _training_step(fabric, model, optimizer, batches, recipe, memory_format, done - 1)
            method.after_step()
            log.add(done, objective, optimizer)
            last = done == recipe.steps
            if done % recipe.validate_every == 0 or last:
                shown.validated(done, _validate(state, cases["validation"], steps, log, done, picture))
                log.flush()
                if failure := picture.draw():
                    shown.note("picture", f"{run.picture.name} could not be drawn: {failure}")
            stopping = fabric.broadcast(stop.asked) if fabric.world_size > 1 else stop.asked
            if done % recipe.save_every == 0 or last or stopping:
                log.flush()
                state.save(done)
            if stopping and not last:
                raise Stopped(
                    f"stopped after step {done} and saved in {run.folder}; the same command goes on from there"
                )
            if (done % LOG_EVERY == 0 or last) and shown.update(done, log.latest, batches.seconds):
                log.flush()


def _validate(
    state: TrainingState,
    cases: dict[str, list[PreparedCase]],
    steps: UnpairedSteps,
    log: TrainingLog,
    done: int,
    picture: TrainingPicture,
) -> dict[tuple[str, str], float]:
    """Score the network on the validation cases after `done` steps; keep its weights if they are the best so far.

    {(modality, class): Dice}, empty on all processes but the first.
    """
    recipe, fabric = state.run.recipe, state.fabric
    if recipe.norm_batches:
        refresh_norms(state.method.network, images_over_the_run(steps, recipe.norm_batches, fabric))
    if not fabric.is_global_zero:
        return {}
    scores = validate(state.method, recipe, state.run.dataset, cases, fabric.device, picture.look)
    log.add_validation(done, scores)
    state.keep_if_best(scores, validated=any(cases.values()))
    return scores


def _training_step(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    batches: Iterator[dict[str, Batch]],
    recipe: Recipe,
    memory_format: MemoryFormat,
    step: int,
) -> Objective:
    """One optimizer step: the method's objective on `accumulate` batches, backward, update."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe.optimization, step, recipe.steps)
    _seed_step(recipe.seed, step, fabric)
    optimizer.zero_grad(set_to_none=True)
    objectives: list[Objective] = []
    for part in range(recipe.accumulate):
        with fabric.no_backward_sync(model, enabled=part < recipe.accumulate - 1):
            given = laid_out(on_device(next(batches), recipe.randomization, fabric), memory_format)
            with right_in_bfloat16(fabric.device.type, recipe.precision == "bf16-mixed"):
                objectives.append(model(given, step / recipe.steps))
            fabric.backward(objectives[-1].loss / recipe.accumulate)
    if recipe.optimization.gradient_clip is not None:
        fabric.clip_gradients(model, optimizer, max_norm=recipe.optimization.gradient_clip)
    optimizer.step()
    return objectives[-1]


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
