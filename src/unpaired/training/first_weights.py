"""What the weights of a run begin with: random numbers, a pre-trained file, or another run."""

from pathlib import Path
from typing import Any

from rich.console import Console

from unpaired.methods.method import Method
from unpaired.networks.weights import load_weights
from unpaired.recipe import Recipe
from unpaired.runs.run import Run
from unpaired.training.optimization import parameter_counts


def load_first_weights(recipe: Recipe, method: Method, folder: str | Path) -> dict[str, Any]:
    """Weights to begin with, into the network; {"init_from" or "pretrained": record} of other than random ones.

    A run that was saved begins with its own. Read before any file is written: a wrong path shall not leave a run
    behind. `init_from` fills the network, but for whole parts that the other run's lacks, so nothing pre-trained is
    read then.
    """
    if Run.begun(folder):
        return {}
    if recipe.init_from:
        fresh = load_weights(method.network, Run.at(recipe.init_from).weights("best"), larger=True)
        return {"init_from": {"run": str(recipe.init_from), "weights": "best", "fresh": list(fresh)}}
    for network in method.further_networks:
        recipe.network.load_pretrained(network)
    pretrained = recipe.network.load_pretrained(method.network)
    return {} if pretrained is None else {"pretrained": pretrained}


def record_first_weights(run: Run, method: Method, began_with: dict[str, Any], console: Console) -> None:
    """Write down, and say, what the weights began with and how many of them move."""
    for kind, record in began_with.items():
        run.record(kind, record)
        if kind == "pretrained":
            text = "{loaded} tensors from {file}, {fresh} begin fresh".format(**record)
            text += "".join(f"; {count} left out: {reason}" for reason, count in record["skipped"].items())
        else:
            text = f"all weights from {record['run']}" + "".join(f", {part} begins fresh" for part in record["fresh"])
        console.print(text, highlight=False, soft_wrap=True)
    counts = parameter_counts(method)
    run.record("parameters", counts)
    console.print(f"{counts['trained']:,} of {sum(counts.values()):,} parameters are trained", highlight=False)
