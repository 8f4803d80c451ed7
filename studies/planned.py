"""Is the plan that nobody wrote as good as a recipe made by hand, in the same minutes?

The plan (`unpaired plan --hours H`) and each hand-made recipe train on one split, on one thread, for the same time: the
steps of a hand-made recipe are as many as fit the plan's time by the same measure, a step timed on this machine. Each
then predicts the test patients, who are scored on their scans' own grid with default settings.

    unpaired import mscmrseg FOLDER data/mscmrseg.json
    unpaired split data/mscmrseg.json data/folds --folds 5 --validation 0.1 --seed 0
    python studies/planned.py data/mscmrseg.json data/folds/fold0.json planned --hours 0.5

Which grid should thick MR and thin CT share? `--plans 2 3` trains the plan for slices (2D, pixels shared, each scan's
own distance across slices) and the plan for volumes (3D, the medians along all axes) in the same way, such as on CHAOS
and simulated CT (`studies/ct_on_labels.py`):

    unpaired import btcv data/simulated_ct data/ct.json
    unpaired import chaos CHAOS data/mr.json --modalities t2
    unpaired join data/ct.json data/mr.json --out data/abdomen.json
    unpaired split data/abdomen.json data/abdomen_split.json
    python studies/planned.py data/abdomen.json data/abdomen_split.json grids --hours 0.5 --plans 2 3 --recipes

The rows go to OUT/results.json, one after the other; a row that is there is not trained again, and a stopped run goes
on. The last thing printed is the table of docs/results/planned.md.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import torch

import unpaired
from unpaired import Dataset, Evaluation, Recipe
from unpaired.files import atomic
from unpaired.planning.plan import Dimensions
from unpaired.runs.folder import is_run
from unpaired.tables import DASH, Table
from unpaired.training.probe import time_step

PLANS: Mapping[str, Dimensions] = {"auto": "auto", "2": "2", "3": "3"}
ROUNDS = 5
BY_HAND = ("class_specific_affinity/small_msbn", "class_specific_affinity/small_unet_msbn")
"""The rows of docs/results/ms-cmrseg.md that the plan should not be below."""


@dataclass(frozen=True)
class Row:
    """One recipe's training, and the mean Dice of its test patients in percent."""

    recipe: str
    steps: int
    seconds_a_step: float
    """As timed before training; validation, reading and saving come on top."""
    minutes: float
    """Of the whole training, by the clock."""
    parameters: int
    patch_size: list[int]
    precision: str
    dice: dict[str, float | None]
    """By modality, over its cases and classes."""
    by_class: dict[str, dict[str, float | None]]
    by_case: dict[str, float]
    """The mean over the classes of a case, for whoever wants to compare rows pairwise."""


def timed(recipes: Mapping[str, Recipe], dataset: Dataset, file: Path) -> dict[str, float]:
    """The seconds of a step of each recipe, written to `file`, where they are read from later.

    Other work on the machine slows a step, so they take turns, and the fastest of all rounds counts. What the file has
    already stays.
    """
    known: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
    if not set(recipes) <= set(known):
        rounds = [
            {
                name: time_step(recipe, list(dataset.modalities), len(dataset.classes)).seconds
                for name, recipe in recipes.items()
            }
            for _ in range(ROUNDS)
        ]
        with atomic(file) as temporary:
            fastest = {name: min(each[name] for each in rounds) for name in recipes}
            temporary.write_text(json.dumps(fastest | known) + "\n")
    return json.loads(file.read_text())


def same_time(recipe: Recipe, seconds: float, hours: float) -> Recipe:
    """A recipe with as many steps of so many seconds as fit `hours`.

    It is validated and saved as often as a plan is, every tenth of its steps, so that no row validates for longer.
    """
    steps = max(int(hours * 3600 / seconds), 1)
    every = max(steps // 10, min(steps, 50))
    warmup = min(recipe.optimization.warmup_steps, steps // 10)
    optimization = replace(recipe.optimization, warmup_steps=warmup)
    return replace(recipe, steps=steps, validate_every=every, save_every=every, optimization=optimization)


def trained(name: str, recipe: Recipe, seconds: float, dataset: Dataset, folder: Path) -> Row:
    """Train a recipe, predict the test patients, score them. A run that was stopped goes on with its own recipe."""
    begun = str(folder) if is_run(folder) else recipe
    began = time.monotonic()
    run = unpaired.train(begun, dataset, folder, device="cpu", workers=0, show=False)
    minutes = (time.monotonic() - began) / 60
    unpaired.predict(run, dataset, run.predictions, split="test", device="cpu", worker=False, overwrite=True)
    scores = unpaired.evaluate(run.predictions, run, split="test", workers=0).evaluation
    cases = {case.id: [row for row in scores.scores if row.case == case.id] for case in dataset.of(split="test")}
    return Row(
        recipe=name,
        steps=run.recipe.steps,
        seconds_a_step=seconds,
        minutes=minutes,
        parameters=sum(weights.numel() for weights in run.load_method().network.parameters()),
        patch_size=list(run.recipe.patch_size),
        precision=run.recipe.precision,
        dice={modality: _percent(scores, modality) for modality in scores.modalities},
        by_class={
            modality: {name: _percent(scores, modality, name) for name in dataset.classes[1:]}
            for modality in scores.modalities
        },
        by_case={
            case: 100 * mean([row.dice for row in rows if row.dice is not None])
            for case, rows in cases.items()
            if any(row.dice is not None for row in rows)
        },
    )


def _percent(scores: Evaluation, modality: str, class_name: str | None = None) -> float | None:
    value = scores.mean("dice", modality, class_name).value
    return None if value is None else 100 * value


def table(rows: Sequence[Row], hours: float) -> Table:
    """A line per recipe: steps, what they took, and Dice by modality (of each class)."""
    modalities = list(rows[0].dice)
    lines = [
        [
            row.recipe,
            f"{row.steps:,}",
            f"{row.seconds_a_step:.3f}",
            f"{row.minutes:.1f}",
            f"{row.parameters / 1e6:.2f} M",
            " x ".join(map(str, row.patch_size)),
            row.precision,
            *(_dice(row, modality) for modality in modalities),
        ]
        for row in rows
    ]
    head = ["recipe", "steps", "s a step", "minutes", "weights", "patch", "precision", *modalities]
    return Table(head, lines, align="lr", title=f"Dice of the test patients in percent, {hours:g} hours each")


def _dice(row: Row, modality: str) -> str:
    """Such as 83.1 (90.2, 76.5, 82.6)."""
    texts = [DASH if value is None else f"{value:.1f}" for value in row.by_class[modality].values()]
    value = row.dice[modality]
    return f"{DASH if value is None else f'{value:.1f}'} ({', '.join(texts)})"


def planned(dataset: Dataset, out: Path, dimensions: Dimensions, hours: float) -> tuple[str, str]:
    """A plan's name, and the recipe's place; it is made where none is there yet."""
    name = "plan" if dimensions == "auto" else f"plan_{dimensions}d"
    file = out / f"{name.replace('plan', 'planned')}.py"
    if not file.exists():
        unpaired.plan_training(dataset, file, hours=hours, device="cpu", dimensions=dimensions)
    return name, f"{file}:planned"


def main() -> None:
    """Do the rows that OUT/results.json lacks, write each down, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=0.5, help="of training for each row, validation aside")
    parser.add_argument("--plans", nargs="*", choices=list(PLANS), default=["auto"], help="their dimensions")
    parser.add_argument("--recipes", nargs="*", default=list(BY_HAND), help="the hand-made ones")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    dataset = unpaired.read_split(asked.split).apply(unpaired.read_dataset(asked.data))
    results = asked.out / "results.json"
    rows = [Row(**row) for row in json.loads(results.read_text())] if results.is_file() else []
    plans = dict(planned(dataset, asked.out, PLANS[dimensions], asked.hours) for dimensions in asked.plans)
    names = {**plans, **{name: name for name in asked.recipes}}
    recipes = {name: unpaired.find_recipe(place) for name, place in names.items()}
    seconds = timed(recipes, dataset, asked.out / "seconds_a_step.json")
    for name in [name for name in recipes if name not in {row.recipe for row in rows}]:
        recipe = same_time(recipes[name], seconds[name], asked.hours)
        rows.append(trained(name, recipe, seconds[name], dataset, asked.out / name.replace("/", "_")))
        with atomic(results) as file:
            file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
        print(f"{name}: {rows[-1].minutes:.1f} minutes", flush=True)
    print(table(rows, asked.hours).markdown())


if __name__ == "__main__":
    main()
