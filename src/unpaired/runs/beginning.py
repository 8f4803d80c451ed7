"""A fresh network that begins with what another run learned (`Recipe.init_from`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unpaired.dicom.codes import same_classes
from unpaired.networks.class_rows import class_rows
from unpaired.networks.network import Network
from unpaired.networks.weights import load_weights
from unpaired.recipe import Recipe
from unpaired.runs.model_file import by_its_name
from unpaired.runs.run import Run


@dataclass(frozen=True)
class Beginning:
    """What a network began with: parts that are fresh, {modality that the run lacks: what it begins as}, classes that
    are fresh, and {class: what the run calls it} of those that have another name there."""

    fresh: tuple[str, ...]
    new_modalities: Mapping[str, str]
    new_classes: tuple[str, ...]
    renamed_classes: Mapping[str, str]


def begin_with_run(network: Network, recipe: Recipe, classes: Sequence[str]) -> Beginning:
    """Fill a fresh network with the weights of the run `recipe.init_from`; `classes` are the network's.

    The first class of both is background, whatever it is called; others go by what they are (`same_classes`).
    """
    assert recipe.init_from is not None
    run = Run(recipe.init_from)
    here = same_classes(run.classes[1:], classes[1:])
    theirs = classes[0], *(here.get(name, name) for name in run.classes[1:])
    rows = class_rows(recipe.network, network, recipe.spatial_dims, theirs, classes)
    with by_its_name(run.folder, run.called):
        fresh, begins_as = load_weights(
            network, run.weights_there("best"), larger=True, like=recipe.begin_as, rows=rows
        )
    return Beginning(fresh, begins_as, rows.fresh, {own: name for name, own in here.items() if own != name})
