"""Rows of one table are compared fairly, and an ablation changes one thing."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from unpaired.methods.supervised import SegmentationTerms
from unpaired.recipe import Recipe
from unpaired.recipes import all_recipes
from unpaired.recipes import class_specific_affinity as csa
from unpaired.recipes import class_specific_affinity_ablations as ablations
from unpaired.recipes import knowledge_distillation as ummkd

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


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Dotted names of the fields in which two configs differ."""
    if type(one) is not type(other) or not is_dataclass(one):
        return [] if one == other else [name]
    found = [differences(getattr(one, p.name), getattr(other, p.name), f"{name}.{p.name}") for p in fields(one)]
    return [field for of_part in found for field in of_part]


@pytest.mark.parametrize("table", TABLES)
def test_rows_differ_in_network_and_method_only(table: str) -> None:
    """The paper: "for all settings, the network architecture and datasets are fixed"."""
    rows = TABLES[table]
    bare = [replace(row, network=rows[0].network, method=rows[0].method) for row in rows]
    assert all(row == bare[0] for row in bare)


@pytest.mark.parametrize("table", TABLES)
def test_rows_have_the_same_supervised_terms(table: str) -> None:
    """The released ones of UMMKD: Dice + weighted cross-entropy, clipped at 0.005 in the paper's own experiments."""
    clip = None if "small" in table or "U-Net" in table else 0.005
    for row in TABLES[table]:
        assert isinstance(row.method, SegmentationTerms)
        assert (row.method.dice_weight, row.method.cross_entropy_weight) == (1, 1)
        assert (row.method.class_weighting, row.method.clip) == ("frequency", clip)


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
    assert len(differences(base(), getattr(ablations, short)())) == 1


def test_the_literal_row_is_two_ablations_at_once() -> None:
    assert differences(csa.mscmrseg_csa(), csa.mscmrseg_csa_literal()) == [".method.consistency", ".method.roi_size"]
