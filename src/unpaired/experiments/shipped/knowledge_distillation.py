"""UMMKD's experiments (Dou et al., IEEE TMI 2020): the heart in 2D and the abdomen in 3D, with its comparisons.

Its own tables are not among those that we have as data; its row in CSA's and SSC's tables is shown beside ours.
"""

from dataclasses import replace

from unpaired.experiments.shipped.small_hearts import small_mmwhs
from unpaired.experiments.splits import Folds
from unpaired.experiments.study import Row, Size, Study
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.knowledge_distillation import KnowledgeDistillationConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.recipe import Recipe
from unpaired.recipes import class_specific_affinity as csa
from unpaired.recipes import knowledge_distillation as ummkd
from unpaired.recipes.semi_supervised import small_abdomen_labeled_only


def ummkd_heart(size: Size = "small") -> Study:
    """UMMKD on MM-WHS (CT and MR) at its own learning rate, beside a network each, all shared and own norms."""
    small = {
        "Single": csa.small_unet_single(),
        "Joint": csa.small_unet_joint(),
        "MSBN": csa.small_unet_msbn(),
        "UMMKD": csa.small_unet_ummkd(),
    }
    recipes = _full_heart() if size == "full" else {name: small_mmwhs(recipe) for name, recipe in small.items()}
    return _study("UMMKD, heart (MM-WHS)", recipes, "ssc-cardiac", "csa-tables-2-3")


def ummkd_abdomen(size: Size = "small") -> Study:
    """UMMKD in 3D on the abdomen (CT and MR), beside a network each, all shared, own norms and CSA."""
    full = {
        "Single": ummkd.abdomen_single(),
        "Joint": ummkd.abdomen_joint(),
        "MSBN": ummkd.abdomen_msbn(),
        "UMMKD": ummkd.abdomen_ummkd(),
        "CSA": ummkd.abdomen_csa(),
    }
    return _study("UMMKD, abdomen in 3D", full if size == "full" else _small_abdomen(), "ssc-abdomen")


def _study(title: str, recipes: dict[str, Recipe], *papers: str) -> Study:
    rows = tuple(Row(name, recipe) for name, recipe in recipes.items())
    return Study(title, rows, Folds(), baseline="MSBN", papers=papers)


def _full_heart() -> dict[str, Recipe]:
    own = ummkd.mmwhs()
    msbn = replace(own, method=SupervisedConfig(**csa.UMMKD_LOSSES), paper_row="MSBN")
    return {
        "Single": replace(msbn, network=IndependentNetworksConfig(own.network), paper_row="Single"),
        "Joint": replace(msbn, network=csa.mmwhs_joint().network, paper_row="Joint"),
        "MSBN": msbn,
        "UMMKD": own,
    }


def _small_abdomen() -> dict[str, Recipe]:
    msbn = small_abdomen_labeled_only()
    shared = replace(msbn.network, modality_norm=False)
    csa_method = CSAConfig(layer_pairs=(("encoder4", "encoder5"),))
    return {
        "Single": replace(msbn, network=IndependentNetworksConfig(msbn.network)),
        "Joint": replace(msbn, network=shared),
        "MSBN": msbn,
        "UMMKD": replace(msbn, method=KnowledgeDistillationConfig(), paper_row="UMMKD"),
        "CSA": replace(msbn, method=csa_method),
    }
