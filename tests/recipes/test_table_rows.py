"""Rows of one table are compared fairly, and an ablation changes one thing."""

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from unpaired.comparison.papers.tables import PAPER_TABLES, paper_table
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.supervised import SegmentationTerms, SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.recipe import Recipe
from unpaired.recipes import all_recipes
from unpaired.recipes import class_specific_affinity as csa
from unpaired.recipes import class_specific_affinity_ablations as ablations
from unpaired.recipes import knowledge_distillation as ummkd
from unpaired.recipes import structured_consistency as ssc
from unpaired.recipes import structured_consistency_mscmrseg as ssc_mscmrseg

ROWS = ("single", "joint", "msbn", "ummkd", "affinity", "csa")
TABLES: dict[str, list[Recipe]] = {
    "MS-CMRSeg": [getattr(csa, f"mscmrseg_{row}")() for row in ROWS],
    "MM-WHS": [getattr(csa, f"mmwhs_{row}")() for row in ROWS],
    "MS-CMRSeg, U-Net": [getattr(csa, f"unet_{row}")() for row in ROWS],
    "MS-CMRSeg, small": [getattr(csa, f"small_{row}")() for row in ROWS],
    "MS-CMRSeg, small U-Net": [getattr(csa, f"small_unet_{row}")() for row in ROWS],
    "abdomen": [getattr(ummkd, f"abdomen_{row}")() for row in ROWS if row != "affinity"],
}
ABLATIONS = sorted(name for name in all_recipes() if name.startswith("class_specific_affinity_ablations/"))


def differences(first: Any, second: Any, name: str = "") -> list[str]:
    """Dotted names of the fields in which two configs differ; what a paper calls them is not compared."""
    if type(first) is not type(second) or not is_dataclass(first):
        return [] if first == second else [name]
    names = [part.name for part in fields(first) if part.name != "paper_row"]
    of_parts = [differences(getattr(first, part), getattr(second, part), f"{name}.{part}") for part in names]
    return [field for of_part in of_parts for field in of_part]


@pytest.mark.parametrize("table", TABLES)
def test_rows_differ_in_network_and_method_only(table: str) -> None:
    """The paper: "for all settings, the network architecture and datasets are fixed"."""
    rows = TABLES[table]
    bare = [replace(row, network=rows[0].network, method=rows[0].method, paper_row=rows[0].paper_row) for row in rows]
    assert all(row == bare[0] for row in bare)


@pytest.mark.parametrize("table", TABLES)
def test_rows_have_the_same_supervised_terms(table: str) -> None:
    """The released ones of UMMKD: Dice + weighted cross-entropy, clipped at 0.005 in the paper's own experiments."""
    chosen_here = "small" in table or "U-Net" in table
    expected = ("frequency", None, "labeled") if chosen_here else ("frequency", 0.005, "all")
    for row in TABLES[table]:
        assert isinstance(row.method, SegmentationTerms)
        assert (row.method.dice_weight, row.method.cross_entropy_weight) == (1, 1)
        assert (row.method.class_weighting, row.method.clip, row.method.cross_entropy_mean) == expected


@pytest.mark.parametrize("table", ["MS-CMRSeg", "MM-WHS"])
def test_what_the_paper_states(table: str) -> None:
    for row in TABLES[table]:
        optimization = row.optimization
        assert (optimization.optimizer, optimization.learning_rate, row.batch_size) == ("adam", 1e-4, 8)
        assert (optimization.schedule, optimization.decay, optimization.decay_every) == ("step_decay", 0.95, 1000)
        assert row.preprocessing.normalization == "zscore_slice"
        assert row.patch_size == {"MS-CMRSeg": (224, 224), "MM-WHS": (256, 256)}[table]


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_one_field(name: str) -> None:
    short = name.partition("/")[2]
    base: Callable[[], Recipe] = csa.mscmrseg_csa
    if short.startswith("mmwhs_"):
        base = csa.mmwhs_csa
    elif short.startswith("ummkd_"):
        base = csa.mscmrseg_ummkd
    elif short.startswith("small_unet_"):
        base = csa.small_unet_csa
    of_stacks = [".network.zscore_input", ".preprocessing.normalization"]  # one choice: by the stack, not by the slice
    changed = differences(base(), getattr(ablations, short)())
    assert len(changed) == 1 or (short, changed) == ("mmwhs_stack_normalized", of_stacks)


def test_the_literal_row_is_two_ablations_at_once() -> None:
    assert differences(csa.mscmrseg_csa(), csa.mscmrseg_csa_literal()) == [".method.consistency", ".method.roi_size"]


# ---- SSC: {row: in what it differs from V2}

BOTH_TERMS = {".method.modality_weight", ".method.image_weight"}
SSC_ROWS = {
    "v1": {".network.specific_encoders"},
    "v3": {".network.modality_scale"},
    "v1_cr": {".network.specific_encoders", *BOTH_TERMS},
    "v2_cr": BOTH_TERMS,
    "v3_cr": {".network.modality_scale", *BOTH_TERMS},
    "v3_mod": {".network.modality_scale", ".method.modality_weight"},
    "v3_img": {".network.modality_scale", ".method.image_weight"},
}
SSC_TABLES = {
    f"{module.__name__.rpartition('.')[2]}/{prefix}": {
        name.removeprefix(f"{prefix}_"): make()
        for name, make in vars(module).items()
        if name.startswith(f"{prefix}_v") or name in (f"{prefix}_backbone", f"{prefix}_baseline")
    }
    for module, prefixes in ((ssc, ("mmwhs", "abdomen", "small_abdomen")), (ssc_mscmrseg, ("swin", "small_swin")))
    for prefix in prefixes
}


@pytest.mark.parametrize("table", SSC_TABLES)
def test_a_row_of_ssc_differs_from_v2_in_what_its_name_says(table: str) -> None:
    rows = SSC_TABLES[table]
    v2 = rows["v2"]
    assert isinstance(v2.method, SSCConfig)
    assert (v2.method.auxiliary_weight, v2.method.modality_weight, v2.method.image_weight) == (1, 0, 0)
    known = {name: fields for name, fields in SSC_ROWS.items() if name in rows}
    assert set(rows) <= {"backbone", "baseline", "v2", "v3_cr_literal", *known}
    for name, fields_of_row in known.items():
        assert set(differences(v2, rows[name])) == fields_of_row, name
    separate = replace(v2, network=IndependentNetworksConfig(v2.network), paper_row="Baseline")
    assert rows["backbone"] == replace(separate, method=SupervisedConfig(), paper_row="Backbone")
    assert rows.get("baseline", separate) == separate


@pytest.mark.parametrize("table", ["structured_consistency/mmwhs", "structured_consistency/abdomen"])
def test_the_papers_tables_have_all_rows(table: str) -> None:
    assert {"backbone", "baseline", "v2", *SSC_ROWS} <= set(SSC_TABLES[table])


# ---- which row of a paper a recipe states

STATED = {
    "single": "Single",
    "joint": "Joint",
    "msbn": "MSBN",
    "ummkd": "UMMKD",
    "affinity": "Affinity",
    "csa": "CSA",
    "csa_literal": "CSA (literal)",
    "backbone": "Backbone",
    "baseline": "Baseline",
    "v1": "V1",
    "v2": "V2",
    "v3": "V3",
    "v1_cr": "V1 + CR",
    "v2_cr": "V2 + CR",
    "v3_cr": "V3 + CR",
    "v3_mod": "V3 + modality",
    "v3_img": "V3 + image",
    "v3_cr_literal": "V3 + CR (literal)",
}
OF_TABLES = ("class_specific_affinity/", "structured_consistency/", "structured_consistency_mscmrseg/")
OTHERS = {
    "knowledge_distillation/mmwhs": "UMMKD",
    "knowledge_distillation/abdomen_ummkd": "UMMKD",
    "phantom/msbn": "MSBN",
    "phantom/joint": "Joint",
    "phantom/single": "Single",
    "phantom/csa": "CSA",
    "phantom/csa_3d": "CSA (3D)",
}
PREFIX = re.compile(r"(small_)?(mscmrseg|mmwhs|abdomen|unet|swin)?_?")


@pytest.mark.parametrize("name", [name for name in all_recipes() if name not in ABLATIONS])
def test_a_recipe_states_the_row_that_its_name_says_and_no_other_recipe_states_one(name: str) -> None:
    short = PREFIX.sub("", name.partition("/")[2], count=1)
    expected = STATED.get(short) if name.startswith(OF_TABLES) else OTHERS.get(name)
    assert all_recipes()[name]().paper_row == expected


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_a_variant_of_its_row(name: str) -> None:
    row = all_recipes()[name]().paper_row
    assert row is not None
    assert re.fullmatch(r"(CSA|UMMKD) \([^()]+\)", row)


def test_every_row_that_is_stated_is_printed_by_a_paper() -> None:
    printed = {row for name in PAPER_TABLES for row in paper_table(name).rows}
    stated = {row.partition(" (")[0] for make in all_recipes().values() if (row := make().paper_row) is not None}
    assert stated <= printed
