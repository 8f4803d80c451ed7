"""What the weights of a run begin with: random numbers, a pre-trained file, or another run."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from unpaired.errors import InputError
from unpaired.methods.method import Method
from unpaired.networks.network import Network
from unpaired.networks.norm_statistics import norms_with_statistics
from unpaired.networks.weights import belongs_to
from unpaired.recipe import DAMAGED, Recipe
from unpaired.runs.beginning import begin_with_run
from unpaired.runs.folder import RunFolder
from unpaired.runs.run import Run
from unpaired.runs.saved_state import began_with
from unpaired.training.optimization import parameter_counts
from unpaired.training.progress import tell


def load_first_weights(recipe: Recipe, method: Method, classes: Sequence[str], folder: str | Path) -> dict[str, Any]:
    """Weights to begin with, into the network; {"init_from" or "pretrained": record} of other than random ones.

    `classes` are those of the network, background first: what the other run learned of a class goes to the class of
    that name.

    A run that was saved begins with its own. Read before any file is written: a wrong path shall not leave a run
    behind. `init_from` fills the network, but for whole parts that the other run's lacks, so nothing pre-trained is
    read then.
    """
    if Run.begun(folder):
        return {}
    if recipe.init_from:
        begun = begin_with_run(method.network, recipe, classes)
        return {"init_from": {"run": str(recipe.init_from), "weights": "best", **asdict(begun)}}
    for network in method.further_networks:
        recipe.network.load_pretrained(network)
    pretrained = recipe.network.load_pretrained(method.network)
    return {} if pretrained is None else {"pretrained": pretrained}


def train_new_modalities_alone(
    recipe: Recipe, method: Method, folder: str | Path, begins_with: dict[str, Any]
) -> tuple[str, ...] | None:
    """Freeze all but what belongs to modalities that `init_from`'s run lacks, if the recipe says so; their names.

    None: everything is trained. A run that goes on knows from its own record which they are. Raises InputError if there
    is none, if nothing belongs to one of them alone, if a part that `init_from`'s run lacks would stay at its random
    weights, or if a batch norm that modalities share would go on learning.
    """
    if recipe.trained == "all":
        return None
    names, fresh = _joined(RunFolder(Path(folder)), begins_with)
    if not names:
        modalities = ", ".join(method.network.modalities)
        raise InputError(
            f"recipe.trained is new_modalities, but {recipe.init_from} has all of {modalities} or the network has "
            "nothing of a modality's own; name a network with a norm per modality and a new modality"
        )
    if fresh:
        raise InputError(
            f"recipe.trained is new_modalities, but {recipe.init_from} has no {', '.join(fresh)}, which would stay as "
            "random as it begins; take that run's network (recipe.network), or train all"
        )
    _require_no_shared_statistics(method.network, names)
    for network in (method.network, *method.further_networks):
        for parameter, tensor in network.named_parameters():
            tensor.requires_grad_(tensor.requires_grad and any(belongs_to(parameter, name) for name in names))
    return names


def _joined(run: RunFolder, begins_with: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modalities that join, and parts that begin fresh: of a run that begins, or as its versions.json has it."""
    if begins_with:
        record = begins_with["init_from"]
        return tuple(record["new_modalities"]), tuple(record["fresh"])
    began = began_with(run.versions_file)
    if began is None:
        raise InputError(f"{run.versions_file}: lacks 'init_from', which says what joined which run; {DAMAGED}")
    return tuple(began.new_modalities), began.fresh


def _require_no_shared_statistics(network: Network, names: tuple[str, ...]) -> None:
    """Frozen weights of a shared batch norm are not enough: its running statistics follow every image."""
    norms = {id(norm) for norm in norms_with_statistics(network)}
    names_of_norms = [str(name) for name, module in network.named_modules() if id(module) in norms]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    shared = [
        name for name in names_of_norms if not any(belongs_to(f"{name}.", modality) for modality in network.modalities)
    ]
    if shared:
        raise InputError(
            f"recipe.trained is new_modalities, but batch norm {shared[0]} is shared by all modalities, so images of "
            f"{', '.join(names)} would change the running statistics that the others predict with; take a network with "
            "a norm per modality, or with instance norms"
        )


def record_first_weights(run: Run, method: Method, began_with: dict[str, Any], console: Console) -> None:
    """Write down, and say, what the weights began with and how many of them move."""
    for kind, record in began_with.items():
        run.record(kind, record)
        if kind == "pretrained":
            text = "{loaded} tensors from {file}, {fresh} begin fresh".format(**record)
            text += "".join(f"; {count} left out: {reason}" for reason, count in record["skipped"].items())
        else:
            text = f"all weights from {record['run']}" + "".join(f", {part} begins fresh" for part in record["fresh"])
            text += "".join(f", {name} begins as {like}" for name, like in record["new_modalities"].items())
            text += "".join(f", class {name} begins as {theirs}" for name, theirs in record["renamed_classes"].items())
            text += "".join(f", class {name} begins fresh" for name in record["new_classes"])
        tell(console, text)
    counts = parameter_counts(method)
    run.record("parameters", counts)
    tell(console, f"{counts['trained']:,} of {sum(counts.values()):,} parameters are trained")
