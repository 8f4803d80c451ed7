"""What a process of a study does: run one cell, or time a step. Plain data in, JSON values out."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.choices import counted
from unpaired.configs import code_of, dumps, from_json
from unpaired.consent.modules import load_trusted
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.files import is_object, read_json, write_json
from unpaired.inference.devices import choose_device
from unpaired.inference.predict import predict
from unpaired.recipe import DAMAGED, Recipe
from unpaired.runs.folder import RunFolder
from unpaired.runs.lock import only_one
from unpaired.scores.evaluate_predictions import evaluate
from unpaired.training.loop import Hardware, train
from unpaired.training.probe import time_step

SHOWN = 2


@dataclass(frozen=True)
class StoredRecipe:
    """A recipe as JSON, and the modules of a person's own that it names, by file where they have one."""

    document: str
    trust: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe) -> "StoredRecipe":
        """For another process; a person named these modules' files, so they are trusted there too."""
        return cls(dumps(recipe), tuple(map(_file_or_name, code_of(recipe))))

    def recipe(self) -> Recipe:
        """The recipe again. Raises InputError where one of its modules can't be imported any more."""
        load_trusted(self.trust)
        recipe = from_json(json.loads(self.document), trust=self.trust)
        assert isinstance(recipe, Recipe)
        return recipe


def _file_or_name(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return file if file and "." not in module and file.endswith(".py") else module


@dataclass(frozen=True)
class RunCell:
    """Train a recipe on a dataset into a run folder, segment its test cases, score them. What is done is skipped."""

    name: str
    recipe: StoredRecipe
    dataset: Dataset
    folder: Path
    cache: Path
    device: str
    workers: int
    norms_of: str | None
    presets: tuple[str, ...]
    show: bool

    def __call__(self) -> dict[str, float]:
        """{"predict" | "evaluate": seconds}; those of training are in its log.

        Raises InputError for what doesn't fit, or where a case could not be segmented or scored; `Stopped` after Ctrl-C
        in training.
        """
        recipe = self.recipe.recipe()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with only_one(self.folder.with_name(f"{self.folder.name}.lock"), "at work on this run"):
            hardware = Hardware(self.device, workers=self.workers)
            follow_first_stage(recipe, RunFolder(self.folder))
            run = train(
                recipe, self.dataset, self.folder, name=self.name, hardware=hardware, cache=self.cache, show=self.show
            )
            began = time.monotonic()
            predicted = predict(
                run,
                self.dataset,
                run.predictions,
                split="test",
                device=self.device,
                norms_of=self.norms_of,
                trust=code_of(recipe),
                worker=False,
            )
            _require_none("segmented", predicted.failures)
            segmented = time.monotonic()
            scored = evaluate(
                run.predictions, RunFolder(self.folder), preset=self.presets, workers=max(self.workers, 1)
            )
            _require_none("scored", scored.failures)
            return {"predict": segmented - began, "evaluate": time.monotonic() - segmented}


def follow_first_stage(recipe: Recipe, run: RunFolder) -> None:
    """Let the run of a recipe say where the run that it begins with is now: a study's folder may have moved."""
    if recipe.init_from is None or not run.recipe_file.is_file():
        return
    stored = read_json(run.recipe_file, DAMAGED)
    if is_object(stored) and stored.get("init_from") != recipe.init_from:
        write_json(run.recipe_file, stored | {"init_from": recipe.init_from})


def _require_none(what: str, failures: list[tuple[str, str]]) -> None:
    if failures:
        lines = "; ".join(f"{case}: {reason}" for case, reason in failures[:SHOWN])
        raise InputError(f"{counted(len(failures), 'case')} could not be {what}: {lines}")


@dataclass(frozen=True)
class TimeStep:
    """Time a few real steps of a recipe, on a processor by its own seconds for each thread, as the peers' are."""

    recipe: StoredRecipe
    modalities: tuple[str, ...]
    classes: int
    device: str

    def __call__(self) -> dict[str, float]:
        """{"seconds": of a step, "gigabytes": that it takes}. Raises InputError for a step that gives no number."""
        device = choose_device(self.device).type
        cost = time_step(self.recipe.recipe(), self.modalities, self.classes, device, clock="processor")
        if cost.seconds == float("inf"):
            raise InputError("its loss is not finite in this precision on this device; choose another precision")
        return {"seconds": cost.seconds, "gigabytes": cost.gigabytes}


Task = Callable[[], dict[str, Any]]
"""`RunCell` and `TimeStep`."""
