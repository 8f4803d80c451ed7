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
    """
    assert recipe.init_from is not None
    run = Run(recipe.init_from)
    rows = class_rows(recipe.network, network, recipe.spatial_dims, run.dataset.classes, classes)
    fresh, begins_as = load_weights(network, run.weights("best"), larger=True, like=recipe.begin_as, rows=rows)
    return fresh, begins_as, rows.fresh
