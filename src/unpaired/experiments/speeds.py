"""What a step of each recipe costs on this machine: measured once and kept in the study's folder, by the recipe.

So budgets in minutes mean the same steps on every day of a study and in every shard. Delete the folder to measure anew.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from unpaired.configs import dumps
from unpaired.data.dataset import Dataset
from unpaired.documents import read
from unpaired.files import temporary_beside, write_json
from unpaired.recipe import Recipe
from unpaired.runs.run import training_modalities

SPEEDS = "speeds"
NOT_A_STEP = {"steps", "validate_every", "save_every", "seed", "init_from", "begin_as", "paper_row"}
"""The fields of a recipe on which the cost of a step doesn't depend."""


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step, and the gigabytes that it takes; `device` is where that was measured."""

    seconds: float
    gigabytes: float
    device: str


Measure = Callable[[str, Recipe, tuple[str, ...], int], Speed]
"""(row, recipe, modalities, classes) -> its speed, measured now."""


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
        fields = {name: value for name, value in json.loads(dumps(recipe)).items() if name not in NOT_A_STEP}
        key = sha256(json.dumps([fields, modalities, classes, self.device], sort_keys=True).encode()).hexdigest()[:16]
        file = self.folder / f"{key}.json"
        if not file.is_file():
            fresh = replace(recipe, init_from=None, begin_as=None, trained="all")
            _keep_first(file, self.measure(row, fresh, modalities, classes))
        return read(file, Speed, "delete it: the step is timed anew")


def _keep_first(file: Path, speed: Speed) -> None:
    """Write what was measured; where another process was faster, its measurement stays."""
    temporary = temporary_beside(file)
    write_json(temporary, asdict(speed))
    try:
        os.link(temporary, file)
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)
