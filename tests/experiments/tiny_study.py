"""A study of two rows that takes seconds: two modalities of the phantom, two steps."""

from dataclasses import replace
from typing import Any

from small_network import SMALL
from unpaired.data.dataset import Dataset
from unpaired.experiments.study import Row, Study
from unpaired.recipe import Recipe
from unpaired.recipes.phantom import msbn


def tiny_recipe(**changes: Any) -> Recipe:
    """Two steps of two slices."""
    tiny = replace(msbn(), network=SMALL, patch_size=(32, 32), batch_size=2, steps=2, validate_every=2, save_every=1)
    return replace(tiny, **changes)


def tiny_study(**changes: Any) -> Study:
    """Rows "MSBN" and "Joint" on the manifest's own sides."""
    joint = tiny_recipe(network=replace(SMALL, modality_norm=False))
    rows = (Row("MSBN", tiny_recipe()), Row("Joint", replace(joint, paper_row="Joint")))
    return replace(Study("tiny", rows, scores=("dice",)), **changes)


def hearts(phantom: Dataset) -> Dataset:
    """The phantom's bSSFP and LGE."""
    kept = ("bssfp", "lge")
    return replace(
        phantom,
        modalities={name: phantom.modalities[name] for name in kept},
        cases=tuple(case for case in phantom.cases if case.modality in kept),
    )
