"""`train` as a person calls it: a recipe or its name, a dataset or its manifest, a split file, and where to compute."""

from collections.abc import Sequence
from pathlib import Path

from unpaired.consent.modules import Trust, load_trusted
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import as_dataset
from unpaired.data.split import Split, as_split
from unpaired.recipe import Recipe, override
from unpaired.recipes import find_recipe
from unpaired.runs.run import Run
from unpaired.training.loop import Hardware
from unpaired.training.loop import train as train_recipe


def train(
    recipe: Recipe | str,
    data: Dataset | str | Path,
    run: str | Path,
    *,
    split: Split | str | Path | None = None,
    changes: Sequence[str] = (),
    cache: str | Path | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int = 1,
    trust: Trust = (),
    show: bool = True,
) -> Run:
    """Train a recipe on a dataset's "train" cases into the folder `run`, or finish the run that it holds.

    `recipe` is one, or what `find_recipe` takes: a name, file.py:function, a run's folder. `data` is a dataset or its
    manifest, `split` a split or its file, which takes the place of the manifest's own sides. `changes` replace fields
    of the recipe ("steps=500"). Prepared volumes go to `cache` (default: `prepared` beside the run folder, shared by
    the runs there). `devices` processes train on each of `nodes`, each with `workers` that cut and augment batches (0:
    it does so itself). `trust` are modules outside the package that `changes` or a run's recipe may name. Without
    `show` nothing is said while it trains.

    Raises InputError for anything that doesn't fit, a folder that holds another run among it; `Stopped` after Ctrl-C.
    """
    load_trusted(trust)
    chosen = override(find_recipe(recipe, trust) if isinstance(recipe, str) else recipe, changes)
    dataset = as_dataset(data)
    dataset = dataset if split is None else as_split(split).apply(dataset)
    return train_recipe(
        chosen,
        dataset,
        run,
        name=recipe if isinstance(recipe, str) else "",
        hardware=Hardware(device, devices, nodes, workers),
        cache=cache,
        show=show,
    )
