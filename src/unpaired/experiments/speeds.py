"""What a step of each recipe costs on this machine: measured once and kept in the study's folder, by the recipe.

So budgets in minutes mean the same steps on every day of a study and in every shard, and after an update of the
package: the recipe is kept with its speed, and compared as stored recipes are read. Delete the folder to measure anew.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from unpaired.configs import NotNegative, Positive, code_of, from_json, to_json
from unpaired.data.dataset import Dataset
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import is_object, read_json, temporary_beside, write_json
from unpaired.recipe import DAMAGED, Recipe
from unpaired.runs.folder import RECIPE
from unpaired.runs.run import training_modalities

SPEEDS = "speeds"
NOT_A_STEP = {"steps", "validate_every", "save_every", "seed", "init_from", "begin_as", "paper_row"}
"""The fields of a recipe on which the cost of a step doesn't depend."""
SCALED = ("warmup_steps", "decay_every")
"""The fields of its optimization that a budget changes."""
RECIPES = (f"runs/*/*/*/{RECIPE}", f"*/runs/*/*/*/{RECIPE}")
"""Where a study's folder holds recipes of runs, at one budget or several."""


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step, and the gigabytes that it takes; `device` is where that was measured."""

    seconds: float
    gigabytes: float
    device: str


Measure = Callable[[str, Recipe, tuple[str, ...], int], Speed]
"""(row, recipe, modalities, classes) -> its speed, measured now."""


@dataclass(frozen=True)
class Step:
    """A step that takes some time: of a recipe (as JSON), for modalities and classes, on a device."""

    recipe: dict[str, Any]
    modalities: tuple[str, ...]
    classes: int
    device: str

    @property
    def fields(self) -> dict[str, Any]:
        """What counts of the recipe."""
        return {name: value for name, value in self.recipe.items() if name not in NOT_A_STEP}

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits of what counts."""
        document = [self.fields, self.modalities, self.classes, self.device]
        return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]

    def equals(self, other: "Step", trust: tuple[str, ...]) -> bool:
        """Whether the other, which another version of the package may have written, is the same step."""
        try:
            now = replace(other, recipe=to_json(from_json(other.recipe, trust=trust)))
        except InputError:
            return False
        return now.key == self.key


@dataclass(frozen=True)
class _Kept:
    """A speed as it is stored, with the step; early versions left the step out."""

    seconds: Positive
    gigabytes: NotNegative
    device: str
    step: Step | None = None


@dataclass(frozen=True)
class Speeds:
    """The speeds in a folder; what isn't there yet is measured."""

    folder: Path
    device: str
    measure: Measure

    def of(self, row: str, recipe: Recipe, dataset: Dataset) -> Speed:
        """The cost of a step of a row's recipe.

        Raises InputError where it doesn't fit the dataset, or can't be computed here.
        """
        modalities, classes = training_modalities(recipe, dataset), len(dataset.classes)
        step = Step(to_json(recipe), tuple(modalities), classes, self.device)
        file = self.folder / f"{step.key}.json"
        if not file.is_file():
            known = self._of_another_version(step, code_of(recipe))
            fresh = replace(recipe, init_from=None, begin_as=None, trained="all")
            _keep_first(file, step, known or self.measure(row, fresh, modalities, classes))
        kept = _read(file)
        if kept.step is None:
            write_json(file, asdict(replace(kept, step=step)))
        return Speed(kept.seconds, kept.gigabytes, kept.device)

    def _of_another_version(self, step: Step, trust: tuple[str, ...]) -> Speed | None:
        """The speed of the same step under the name that another version of the package gave it."""
        files = {file.stem: file for file in sorted(self.folder.glob("*.json"))}
        kept = {name: _read(file) for name, file in files.items()}
        steps = chain(
            ((name, each.step) for name, each in kept.items() if each.step is not None),
            ((older.key, older) for older in self._of_runs(step) if files),
        )
        same = next((name for name, other in steps if name in kept and step.equals(other, trust)), None)
        return None if same is None else Speed(kept[same].seconds, kept[same].gigabytes, kept[same].device)

    def _of_runs(self, step: Step) -> Iterator[Step]:
        """A step of each recipe that a run was trained with, before its budget: early versions kept it nowhere else."""
        for file in chain.from_iterable(self.folder.parent.glob(pattern) for pattern in RECIPES):
            recipe = read_json(file, DAMAGED)
            if is_object(recipe) and is_object(recipe.get("optimization")):
                unscaled = {name: step.recipe["optimization"][name] for name in SCALED}
                yield replace(step, recipe=recipe | {"optimization": recipe["optimization"] | unscaled})


def timed_on(folder: Path) -> str | None:
    """The device whose speeds a folder holds; None where it holds none, or those of several."""
    devices = {_read(file).device for file in folder.glob("*.json")}
    return devices.pop() if len(devices) == 1 else None


def _read(file: Path) -> _Kept:
    return read(file, _Kept, "delete it: the step is timed anew")


def _keep_first(file: Path, step: Step, speed: Speed) -> None:
    """Write what was measured; where another process was faster, its measurement stays."""
    temporary = temporary_beside(file)
    write_json(temporary, asdict(_Kept(speed.seconds, speed.gigabytes, speed.device, step)))
    try:
        os.link(temporary, file)
    except FileExistsError:
        return
    except OSError:  # a file system without links: the last one stays
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
