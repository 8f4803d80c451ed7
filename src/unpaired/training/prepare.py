"""`prepare` as a person calls it: a recipe or its name, a dataset or its manifest, and the folder of the cache."""

from pathlib import Path

from unpaired.data.dataset import Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.prepare import Prepared, Progress
from unpaired.data.prepare import prepare as prepare_dataset
from unpaired.overrides import Changes
from unpaired.recipe import Recipe, override
from unpaired.recipes import find_recipe


def prepare(
    recipe: Recipe | str,
    data: Dataset | str | Path,
    out: str | Path,
    *,
    changes: Changes = (),
    workers: int = 0,
    progress: Progress | None = None,
) -> Prepared:
    """Prepare every case of a dataset as a recipe wants it, which training does by itself. Finished cases are kept.

    `recipe` is one, or what `find_recipe` takes. `data` is a dataset or its manifest. `out` is the cache folder, which
    `train` takes as `cache`. `changes` replace fields of the recipe ("preprocessing.plane=axial"). `workers` above 1
    are processes; `progress` is called with (cases done, cases in all, case id). Cases that fail are listed in
    `failures` and stop no other. Raises InputError for what doesn't fit, `UnwritableError` if the disk is full.
    """
    chosen = override(find_recipe(recipe) if isinstance(recipe, str) else recipe, changes)
    return prepare_dataset(as_dataset(data), chosen.preprocessing, out, workers=workers, progress=progress)
