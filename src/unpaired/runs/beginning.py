"""A fresh network that begins with what another run learned (`Recipe.init_from`)."""

from collections.abc import Sequence

from unpaired.networks.class_rows import class_rows
from unpaired.networks.network import Network
from unpaired.networks.weights import load_weights
from unpaired.recipe import Recipe
from unpaired.runs.run import Run


def begin_with_run(
    network: Network, recipe: Recipe, classes: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]:
    """Fill a fresh network with the weights of the run `recipe.init_from`.

    Returned are parts that begin fresh, {modality that the run lacks: what it begins as}, and classes that it lacks.
    The first class of both is background, whatever it is called; others go by their names, in capitals or not.
    """
    assert recipe.init_from is not None
    run = Run(recipe.init_from)
    theirs = _by_own_names(run.dataset.classes, classes)
    rows = class_rows(recipe.network, network, recipe.spatial_dims, theirs, classes)
    fresh, begins_as = load_weights(network, run.weights("best"), larger=True, like=recipe.begin_as, rows=rows)
    return fresh, begins_as, rows.fresh


def _by_own_names(theirs: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Their classes as the own ones are called."""
    known = {name.casefold(): name for name in own[1:]}
    return own[0], *(known.get(name.casefold(), name) for name in theirs[1:])
