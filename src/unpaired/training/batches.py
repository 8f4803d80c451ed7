"""The batches of a run as training takes them: cut by worker processes, from any step on, and how those end."""

import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.data.prepared import PreparedCase
from unpaired.data.randomization import AS_IT_IS, Randomization, randomize
from unpaired.data.sampling import Sampling, UnpairedSteps
from unpaired.data.sides import class_swap, label_swap
from unpaired.data.simulated import simulated_beside
from unpaired.errors import InputError
from unpaired.inference.pseudo_labels import is_pseudo_labeled
from unpaired.recipe import Recipe
from unpaired.runs.run import Run

SECONDS_AFTER_SIGTERM = 20


def unpaired_steps(
    run: Run, cases: dict[str, list[PreparedCase]], fabric: Fabric, only: Sequence[str] | None = None
) -> UnpairedSteps:
    """The run's batches by step from all its training cases, labeled or not; this process's part of them, for the
    modalities `only` (None: those that the run trains)."""
    recipe, classes = run.recipe, run.dataset.classes
    label_sets, swap = label_swap(
        run.dataset.label_sets(), class_swap(classes, recipe.preprocessing.plane, recipe.augmentation.mirror_swaps)
    )
    sampling = Sampling(
        recipe.patch_size,
        recipe.batch_size,
        recipe.context_slices,
        recipe.foreground_share,
        recipe.augmentation,
        recipe.unlabeled_batch_size,
        recipe.randomization,
        recipe.rare_classes,
        recipe.simulated_share,
        swap,
    )
    return UnpairedSteps(
        {modality: [case for case in members if case.label_file is not None] for modality, members in cases.items()},
        label_sets,
        len(classes),
        sampling,
        steps=recipe.steps * recipe.accumulate,
        seed=recipe.seed,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        unlabeled={
            modality: [case for case in members if case.label_file is None] for modality, members in cases.items()
        },
        only=only or run.joined or None,
        pseudo=pseudo_labeled(run.dataset),
        simulated=simulated_beside(run.dataset),
    )


def pseudo_labeled(dataset: Dataset) -> frozenset[str]:
    """The ids of the training cases that have a network's labels."""
    return frozenset(case.id for case in dataset.of(split="train", labeled=True) if is_pseudo_labeled(case))


def batches_from(
    start: int, steps: UnpairedSteps, recipe: Recipe, fabric: Fabric, workers: int
) -> Iterator[dict[str, Batch]]:
    """The batches of optimizer step `start` and all later ones, cut and augmented by `workers` processes (0: here)."""
    loader = DataLoader(
        steps,
        batch_size=None,
        sampler=range(start * recipe.accumulate, len(steps)),
        num_workers=workers,
        pin_memory=fabric.device.type == "cuda",
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_stopping_to_the_parent,
    )
    return iter(loader)


def on_device(batches: dict[str, Batch], randomization: Randomization, fabric: Fabric) -> dict[str, Batch]:
    """The batches on the training device, where the intensities of those that are to be are randomized."""
    numbers = {
        name: [] if batch.random_numbers is None else batch.random_numbers.tolist() for name, batch in batches.items()
    }
    moved = fabric.to_device({name: batch._replace(random_numbers=None) for name, batch in batches.items()})
    return {
        name: batch._replace(images=randomize(batch.images, batch.label_map, numbers[name], randomization))
        for name, batch in moved.items()
    }


def images_over_the_run(steps: UnpairedSteps, count: int, fabric: Fabric) -> Iterator[dict[str, Tensor]]:
    """Images of `count` training batches spread evenly over the run: always the same, so that a resumed run is too.

    Of a modality that borrows, and has unlabeled images, its own alone: what it will meet is neither scans of another
    one nor in random intensities.
    """
    for index in range(count):
        drawn = steps[index * len(steps) // count]
        batches = on_device(drawn, steps.sampling.randomization, fabric)
        yield {
            name: own_images(batch, drawn[name].random_numbers) if steps.borrowing[name].share else batch.images
            for name, batch in batches.items()
        }


def own_images(batch: Batch, random_numbers: Tensor | None) -> Tensor:
    """The images of a batch that are as they are, and the unlabeled ones; all labeled ones where there are none of
    these. What is borrowed is always randomized, so none of it is as it is."""
    if batch.unlabeled is None or random_numbers is None:
        return batch.images
    return torch.cat([batch.images[(random_numbers == AS_IT_IS).to(batch.images.device)], batch.unlabeled])


class TimedBatches:
    """An iterator over batches that adds up the seconds in which training waited for them, the first one aside."""

    def __init__(self, batches: Iterator[dict[str, Batch]]) -> None:
        self.seconds = 0.0
        self._batches, self._first = batches, True

    def __iter__(self) -> "TimedBatches":
        return self

    def __next__(self) -> dict[str, Batch]:
        began = time.monotonic()
        batch = next(self._batches)
        self.seconds += 0.0 if self._first else time.monotonic() - began
        self._first = False
        return batch


def _leave_stopping_to_the_parent(worker: int) -> None:
    """A terminal or Slurm tells every process to stop: a worker that died of it would tear down a half-done step.

    After SIGTERM a worker still ends by itself, so that nobody has to wait for it should the parent not tell it to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(SECONDS_AFTER_SIGTERM))


@contextmanager
def batch_errors_in_one_line(run: Run) -> Generator[None]:
    """What torch raises when a worker was killed, or failed itself, as one line that says how to go on."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        text = str(error).strip()
        if text.startswith("DataLoader worker"):
            reason = "was killed, as a rule for want of memory or shared memory"
            advice = "with fewer --workers (0 cuts batches in the training process)"
        elif text.startswith("Caught ") and "in DataLoader worker process" in text:
            reason, advice = f"failed: {text.splitlines()[-1]}", "once that is mended"
        else:
            raise
        raise InputError(
            f"{run.folder}: a process that cuts batches {reason}; start the same command again, {advice}: it goes on "
            "from the last saved step"
        ) from error
