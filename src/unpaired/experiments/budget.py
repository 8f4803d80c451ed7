"""A row's budget: as many steps as fit the minutes that every row gets, by the measured speed of its own steps."""

from dataclasses import replace

from unpaired.data.dataset import Dataset
from unpaired.experiments.speeds import Speeds
from unpaired.overrides import Changes, assignments
from unpaired.recipe import Recipe, override

LEAST_STEPS = 10


def with_budget(
    row: str, recipe: Recipe, minutes: float | None, dataset: Dataset, changes: Changes, speeds: Speeds
) -> Recipe:
    """A row's recipe with the steps that fit `minutes` (None: its own); `changes` that name steps win.

    The speed is that of the recipe as it is changed: a wider network gets fewer steps.
    """
    named = {text.partition("=")[0].strip() for text in assignments(changes)}
    if minutes is None or "steps" in named:
        return recipe
    seconds = speeds.of(row, override(recipe, changes), dataset).seconds
    return with_steps(recipe, max(int(minutes * 60 / seconds), LEAST_STEPS))


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with another number of steps; what is counted in steps keeps its share of them."""

    def scaled(value: int) -> int:
        return max(round(value * steps / recipe.steps), 1)

    optimization = recipe.optimization
    return replace(
        recipe,
        steps=steps,
        validate_every=scaled(recipe.validate_every),
        save_every=min(recipe.save_every, scaled(recipe.validate_every)),
        optimization=replace(
            optimization,
            warmup_steps=scaled(optimization.warmup_steps) if optimization.warmup_steps else 0,
            decay_every=scaled(optimization.decay_every),
        ),
    )
