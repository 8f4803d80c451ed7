"""Which row of a paper's table a run is: read off its recipe, never off the name that someone gave its folder.

A recipe is the JSON that a run folder holds (`recipe.json`), so nothing here needs torch or the classes it names.
"""

from collections.abc import Callable, Mapping
from typing import Any

Recipe = Mapping[str, Any]


def recipe_row(recipe: Recipe, table: str) -> str | None:
    """The row of the paper's table called `table` that a recipe trains; None if it is none of them.

    The rows of CSA (section 3): Single has a network per modality; Joint shares batch norm too; MSBN has a norm per
    modality, and so have UMMKD (knowledge distillation), Affinity (CSA without classes) and CSA.
    """
    rule = _RULES.get(table.partition("-")[0])
    return rule(recipe) if rule else None


def _csa_row(recipe: Recipe) -> str | None:
    method, own_norm = config_name(recipe, "method"), own_norms(recipe)
    if config_name(recipe, "network") == "IndependentNetworksConfig":
        return "Single" if method == "SupervisedConfig" else None
    if method == "SupervisedConfig":
        return None if own_norm is None else "MSBN" if own_norm else "Joint"
    if not own_norm:
        return None
    if method == "KnowledgeDistillationConfig":
        return "UMMKD"
    if method == "CSAConfig":
        return "CSA" if recipe["method"].get("class_specific", True) else "Affinity"
    return None


def own_norms(recipe: Recipe) -> bool | None:
    """Whether each modality has norm layers of its own; None where the network's config doesn't say."""
    value = recipe["network"].get("modality_norm") if isinstance(recipe.get("network"), Mapping) else None
    return value if isinstance(value, bool) else None


def config_name(recipe: Recipe, part: str) -> str | None:
    """The class of a part's config ("CSAConfig"); None if the recipe doesn't say."""
    config = recipe.get(part)
    return str(config["type"]).rpartition(":")[2] if isinstance(config, Mapping) and "type" in config else None


_RULES: Mapping[str, Callable[[Recipe], str | None]] = {"csa": _csa_row}
