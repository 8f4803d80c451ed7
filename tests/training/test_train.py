"""`unpaired.train` as a person guesses it: names and paths, a split file, changed fields."""

import json
from pathlib import Path

import pytest

import unpaired
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.recipe import override
from unpaired.recipes import find_recipe

CHANGES = ["network.width=2", "patch_size=[32,32]", "batch_size=1", "steps=1", "window_overlap=0.0"]


def test_names_and_paths_are_taken_for_what_they_name(phantom: Dataset, manifest: Path, tmp_path: Path) -> None:
    moved = next(case.patient for case in phantom.of("lge", "test"))
    sides = {side: [c.id for c in phantom.cases if (c.split or "") == side] for side in ("train", "validation", "test")}
    for case in [case.id for case in phantom.cases if case.patient == moved]:
        sides["test"].remove(case)
        sides["train"].append(case)
    split = tmp_path / "split.json"
    split.write_text(json.dumps(sides), encoding="utf-8")
    run = unpaired.train(
        "phantom/msbn",
        manifest,
        tmp_path / "run",
        split=split,
        changes=CHANGES,
        cache=tmp_path / "cache",
        device="cpu",
        workers=0,
        show=False,
    )
    assert run.recipe == override(find_recipe("phantom/msbn"), CHANGES)
    assert {case.split for case in run.dataset.cases if case.patient == moved} == {"train"}
    assert "phantom/msbn" in run.readme_file.read_text(encoding="utf-8")
    assert unpaired.find_recipe(str(run.folder)) == run.recipe


def test_what_is_not_there_is_said_before_anything_is_written(manifest: Path, tmp_path: Path) -> None:
    for recipe, data, split, message in (
        ("phantom/csq", manifest, None, "there is no recipe 'phantom/csq'"),
        ("phantom/csa", tmp_path / "no.json", None, "expected a dataset manifest"),
        ("phantom/csa", manifest, tmp_path / "no.json", "expected a split file"),
    ):
        with pytest.raises(InputError, match=message):
            unpaired.train(recipe, data, tmp_path / "run", split=split)
    assert not (tmp_path / "run").exists()
