"""The names of a run's files: each documented, each told apart, and none for a run that isn't one."""

import re
from inspect import getmembers
from pathlib import Path

import pytest

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.recipes.phantom import msbn
from unpaired.runs import folder as names
from unpaired.runs.folder import RunFolder, is_run, probabilities_of
from unpaired.runs.run import Run


def places(run: RunFolder) -> dict[str, Path]:
    return {name: getattr(run, name) for name, _ in getmembers(RunFolder, lambda member: isinstance(member, property))}


def test_every_place_is_in_the_folder_under_a_name_of_its_own(tmp_path: Path) -> None:
    found = places(RunFolder(tmp_path))
    assert {path.parent for path in found.values()} == {tmp_path}
    assert len({path.name for path in found.values()}) == len(found)


def test_the_modules_picture_shows_every_name(tmp_path: Path) -> None:
    shown = set(re.findall(r"[\w.]+", names.__doc__ or ""))
    run = RunFolder(tmp_path)
    files = [*places(run).values(), *(run.weights(which) for which in names.WEIGHTS)]
    assert {path.name for path in files} - {names.LOCK} <= shown


def test_a_folder_is_a_runs_once_it_holds_a_recipe(tmp_path: Path, phantom: Dataset) -> None:
    assert not is_run(tmp_path / "run")
    (tmp_path / "run").mkdir()
    assert not is_run(tmp_path / "run")
    assert is_run(Run.create(tmp_path / "run", msbn(), phantom).folder)


def test_weights_are_best_or_last(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).weights("last").name == "weights_last.safetensors"
    with pytest.raises(InputError, match="weights are best or last, got 'bets'; did you mean best"):
        RunFolder(tmp_path).weights("bets")


def test_what_belongs_to_predictions(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    assert probabilities_of(predictions, "ct1.v2") == predictions / "probabilities" / "ct1.v2.nii.gz"
