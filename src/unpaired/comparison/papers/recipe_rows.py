"""Which row of a paper's table a run is: read off its recipe, never off the name that someone gave its folder.

A recipe is the JSON that a run folder holds (`recipe.json`), so nothing here needs torch or the classes it names.
"""

from collections.abc import Mapping
from typing import Any

Recipe = Mapping[str, Any]
FEW = (1, 3)
"""How many training patients of one modality SSC's few-shot rows have."""
MANY = 4
"""From so many training patients on a modality isn't few-shot."""


def recipe_row(recipe: Recipe, table: str, training: Mapping[str, int] | None = None) -> str | None:
    """The row of the paper's table called `table` that a recipe trains; None if it is none of them.

    The rows of CSA (section 3): Single has a network per modality; Joint shares batch norm too; MSBN has a norm per
    modality, and so have UMMKD (knowledge distillation), Affinity (CSA without classes) and CSA. The rows of SSC
    (appendix E): a network per modality without (Backbone) and with the auxiliary loss (Baseline); an encoder per
    modality (V1), everything shared (V2), a channel scale per modality (V3), each with the consistency terms (CR); and
    V3 + CR on a few patients of one modality ("1 MR"), for which `training` says how many of each were trained on.
    """
    return _csa_row(recipe) if table.startswith("csa") else _ssc_row(recipe, training or {})


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


def _ssc_row(recipe: Recipe, training: Mapping[str, int]) -> str | None:
    network, method = config_name(recipe, "network"), config_name(recipe, "method")
    separate = network == "IndependentNetworksConfig"
    if method == "SupervisedConfig":
        return "Backbone" if separate else None
    if method == "KnowledgeDistillationConfig":
        return None if separate else "UMMKD"
    if method != "SSCConfig" or network is None:
        return None
    modality_term, image_term = (bool(recipe["method"].get(f"{level}_weight")) for level in ("modality", "image"))
    if separate:
        return None if modality_term or image_term else "Baseline"
    encoders, scale = (bool(recipe["network"].get(part)) for part in ("specific_encoders", "modality_scale"))
    if (encoders and scale) or (modality_term != image_term and not scale):
        return None
    joint = "V1" if encoders else "V3" if scale else "V2"
    if not modality_term and not image_term:
        row = joint
    else:
        row = f"{joint} + {'CR' if modality_term and image_term else 'modality' if modality_term else 'image'}"
    few = {modality: count for modality, count in training.items() if count < MANY}
    if not few or len(training) < 2:
        return row
    modality, count = min(few.items(), key=lambda item: item[1])
    known = row == "V3 + CR" and len(few) == 1 and count in FEW
    return f"{count} {modality.upper().replace('MRI', 'MR')}" if known else None


def own_norms(recipe: Recipe) -> bool | None:
    """Whether each modality has norm layers of its own; None where the network's config doesn't say."""
    value = recipe["network"].get("modality_norm") if isinstance(recipe.get("network"), Mapping) else None
    return value if isinstance(value, bool) else None


def config_name(recipe: Recipe, part: str) -> str | None:
    """The class of a part's config ("CSAConfig"); None if the recipe doesn't say."""
    config = recipe.get(part)
    return str(config["type"]).rpartition(":")[2] if isinstance(config, Mapping) and "type" in config else None
