"""Runs of earlier versions stay readable: recipes as version 0.1.0 stored them, before rooms were moved.

`golden/stored_recipes.json` was written by that version: a recipe of its own ("snapshot"), and recipes of the package
that name every class that a stored recipe may name. Nothing in it is written anew; a new class gets a recipe more
(`tests/test_architecture.py` sees to it).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from unpaired.data.dataset import Dataset
from unpaired.data.postprocess import Postprocessing
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.recipe import Optimization, Recipe, from_json, to_json
from unpaired.runs.run import Run

STORED = json.loads((Path(__file__).parents[1] / "golden" / "stored_recipes.json").read_text(encoding="utf-8"))
MOVED = {"unpaired.inference.postprocess:Postprocessing": "unpaired.data.postprocess:Postprocessing"}


def test_a_run_of_an_earlier_version_is_opened_with_the_recipe_it_had(phantom: Dataset, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", from_json(STORED["snapshot"]), phantom)
    run.recipe_file.write_text(json.dumps(STORED["snapshot"], indent=1), encoding="utf-8")
    assert "unpaired.inference.postprocess:Postprocessing" in run.recipe_file.read_text(encoding="utf-8")
    opened = Run.open(run.folder).recipe
    assert isinstance(opened, Recipe)
    assert opened.network == FCNConfig(
        width=3, dropout=0.0, pool_strides=None, maps_per_class=2, initialization="he", concatenate=True
    )
    assert isinstance(opened.method, CSAConfig)
    assert opened.method.layer_pairs == (("group4", "group5"),)
    assert opened.patch_size == (64, 64)
    assert opened.preprocessing == Preprocessing()
    assert opened.postprocessing == Postprocessing()
    assert opened.optimization == Optimization(learning_rate=0.01, schedule="cosine", warmup_steps=20)
    assert (opened.steps, opened.seed) == (6, 0)


def test_an_earlier_versions_run_goes_on_with_the_same_recipe(phantom: Dataset, tmp_path: Path) -> None:
    recipe = from_json(STORED["snapshot"])
    run = Run.create(tmp_path / "run", recipe, phantom)
    run.recipe_file.write_text(json.dumps(STORED["snapshot"], indent=1), encoding="utf-8")
    assert Run.create(run.folder, recipe, phantom) == run


@pytest.mark.parametrize("name", list(STORED))
def test_every_stored_field_is_read_as_it_was_written(name: str) -> None:
    """A field that is newer than the stored recipe has its default; no other is gone or changed."""
    assert lost(STORED[name], json.loads(json.dumps(to_json(from_json(STORED[name])))), name) == []


def lost(stored: Any, now: Any, where: str) -> list[str]:
    """The places where a stored JSON value is not the one that is written now."""
    if isinstance(stored, dict):
        return [place for key, value in stored.items() for place in lost(value, now.get(key), f"{where}.{key}")]
    return [] if now == MOVED.get(str(stored), stored) else [f"{where}: {stored!r} became {now!r}"]
