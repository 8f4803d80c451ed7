"""A row's budget: as many steps as fit the minutes that every row gets, by the measured speed of its own steps."""

from collections.abc import Sequence
from dataclasses import replace

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.experiments.program import Program
from unpaired.experiments.speeds import Speeds
from unpaired.experiments.study import Study
from unpaired.overrides import Changes, assignments
from unpaired.recipe import Recipe, override

LEAST_STEPS = 10


def with_budget(
    row: str, recipe: Recipe, minutes: float | None, dataset: Dataset, changes: Changes, speeds: Speeds
) -> Recipe:
    """A row's recipe with the steps that fit `minutes` (None: its own); `changes` that name steps win.

    The speed is that of the recipe as it is changed: a wider network gets fewer steps.
    """
    if minutes is None or "steps" in _named(changes):
        return recipe
    seconds = speeds.of(row, override(recipe, changes), dataset).seconds
    return with_steps(recipe, max(int(minutes * 60 / seconds), LEAST_STEPS))


def as_changed(study: Study, changes: Changes, budgets: Sequence[float | None]) -> Study:
    """The study with the budget that changes of its rows leave it: a number of steps takes the place of its minutes.

    What fits some rows alone is a failure of the others, which stops none. Raises InputError for changes that fit no
    row, for steps beside `budgets` that were asked for, and for a seed: runs would differ in nothing but names.
    """
    _require_changes(study, changes)
    if study.minutes is None or "steps" not in _named(changes):
        return study
    if any(budget is not None for budget in budgets):
        raise InputError(f"--minutes {study.minutes:g} and --set steps both say how long rows train; leave one out")
    if any(isinstance(row.recipe, Program) for row in study.rows):
        return replace(study, remarks=(*study.remarks, "The budget is the programs'; other rows train so many steps."))
    return replace(study, minutes=None)


def _named(changes: Changes) -> set[str]:
    """The fields that changes name."""
    return {text.partition("=")[0].strip() for text in assignments(changes)}


def _require_changes(study: Study, changes: Changes) -> None:
    if "seed" in _named(changes):
        raise InputError("--set seed: every run would have this one; name a study's seeds by --seeds")
    recipes = [row.recipe for row in study.rows if isinstance(row.recipe, Recipe)]
    errors: list[InputError] = []
    for recipe in recipes:
        try:
            override(recipe, changes)
        except InputError as error:
            errors.append(error)
    if errors and len(errors) == len(recipes):
        raise errors[0]


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
