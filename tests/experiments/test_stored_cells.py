"""Cells that another version of the package stored: an equal recipe is taken up, whatever its document looks like."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_study import hearts, tiny_recipe, tiny_study

from unpaired.data.dataset import Dataset
from unpaired.data.split import Split
from unpaired.experiments.cells import Cell, plan_cells
from unpaired.experiments.content import content_key
from unpaired.experiments.program import Program
from unpaired.experiments.speeds import Speed, Speeds, Step
from unpaired.experiments.study import Row, Study
from unpaired.experiments.tasks import follow_first_stage
from unpaired.recipe import Recipe
from unpaired.runs.new_run import place_new_run
from unpaired.runs.run import Run, to_json

TWO = (Row("first", tiny_recipe()), Row("second", tiny_recipe(), begins_with="first"))
Edit = Callable[[dict[str, Any]], object]


def no_speed(*arguments: object) -> Speed:
    raise AssertionError("a step is timed")


def planned(plan: Study, phantom: Dataset, out: Path, measure: Any = no_speed) -> dict[str, Cell]:
    """{row: its cell} as the study plans it in a folder."""
    dataset = hearts(phantom)
    speeds = Speeds(out / "speeds", "cpu", measure)
    found = plan_cells(plan, dataset, {"own": Split.of(dataset)}, out, out / "prepared", speeds, ())
    assert not found.failures
    return {cell.row.name: cell for cell in found.cells}


def stored_by_another_version(cell: Cell, edit: Edit, early: bool = False) -> None:
    """A cell that is done, as a version stored it that writes this document; an early one has it in the run alone."""
    document = json.loads(json.dumps(cell.content.document))
    edit(document)
    record: dict[str, Any] = {"schema": 1, "key": content_key(document), "state": "done", "content": document}
    if early:
        del record["content"]
        cell.run.folder.mkdir(parents=True)
        cell.run.recipe_file.write_text(json.dumps(document["recipe"] | {"paper_row": "MSBN"}))
    cell.record_file.parent.mkdir(parents=True, exist_ok=True)
    cell.record_file.write_text(json.dumps(record))


def without(*path: str) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return edit


def with_class_at_its_old_place(document: dict[str, Any]) -> None:
    document["recipe"]["postprocessing"]["type"] = "unpaired.inference.postprocess:Postprocessing"


def with_value(name: str, value: object) -> Edit:
    return lambda document: document["recipe"].update({name: value})


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(
    "edit",
    [
        lambda document: None,
        without("recipe", "memory_format"),
        without("recipe", "network", "modality_norm"),
        with_class_at_its_old_place,
    ],
)
def test_an_equal_recipe_is_taken_up(edit: Edit, early: bool, tmp_path: Path, phantom: Dataset) -> None:
    stored_by_another_version(planned(tiny_study(), phantom, tmp_path)["MSBN"], edit, early)
    cell = planned(tiny_study(), phantom, tmp_path)["MSBN"]
    record = cell.record()
    assert (cell.run.folder.name, record and record.state) == ("seed0", "done")
    cell.note_content()
    record = cell.record()
    assert record is not None
    assert record.content is not None
    assert content_key(record.content) == record.key == cell.key
    cell.note("failed", "because")
    assert planned(tiny_study(), phantom, tmp_path)["MSBN"].run.folder.name == "seed0"


@pytest.mark.parametrize(
    "edit",
    [
        with_value("accumulate", 2),
        with_value("of_a_later_version", True),
        without("recipe", "steps"),
        lambda document: document.update(norms_of="lge"),
        lambda document: document["sides"].popitem(),
        lambda document: document["data"]["modalities"]["lge"].update(normalization="minmax"),
    ],
)
def test_another_content_is_not(edit: Edit, tmp_path: Path, phantom: Dataset) -> None:
    stored_by_another_version(planned(tiny_study(), phantom, tmp_path)["MSBN"], edit)
    assert planned(tiny_study(), phantom, tmp_path)["MSBN"].run.folder.name == "seed0-2"


@pytest.mark.parametrize("early", [False, True])
def test_a_lacking_field_has_its_default_and_not_what_the_row_says(
    early: bool, tmp_path: Path, phantom: Dataset
) -> None:
    plan = tiny_study(rows=(Row("MSBN", tiny_recipe(accumulate=2)),))
    stored_by_another_version(planned(plan, phantom, tmp_path)["MSBN"], without("recipe", "accumulate"), early)
    assert planned(plan, phantom, tmp_path)["MSBN"].run.folder.name == "seed0-2"


def test_an_early_record_of_another_recipe_than_its_folder_holds_is_not_taken_up(
    tmp_path: Path, phantom: Dataset
) -> None:
    cell = planned(tiny_study(), phantom, tmp_path)["MSBN"]
    stored_by_another_version(cell, with_value("steps", 3), early=True)
    cell.run.recipe_file.write_text(json.dumps(to_json(cell.recipe)))
    assert planned(tiny_study(), phantom, tmp_path)["MSBN"].run.folder.name == "seed0-2"


def test_a_modality_without_a_newer_field_is_the_same(tmp_path: Path, phantom: Dataset) -> None:
    cell = planned(tiny_study(), phantom, tmp_path)["MSBN"]
    stored_by_another_version(cell, without("data", "modalities", "lge", "clip_percentiles"))
    assert planned(tiny_study(), phantom, tmp_path)["MSBN"].run.folder.name == "seed0"


def test_an_early_record_of_what_the_manifest_spells_out_is_taken_up(tmp_path: Path, phantom: Dataset) -> None:
    cell = planned(tiny_study(), phantom, tmp_path)["MSBN"]
    spelled = {name: {"normalization": phantom.modalities[name].normalization} for name in ("bssfp", "lge")}
    stored_by_another_version(cell, lambda document: document["data"].update(modalities=spelled), early=True)
    assert planned(tiny_study(), phantom, tmp_path)["MSBN"].run.folder.name == "seed0"


def test_a_second_stage_begins_with_what_was_taken_up(tmp_path: Path, phantom: Dataset) -> None:
    plan = tiny_study(rows=TWO)
    first, second = planned(plan, phantom, tmp_path).values()
    stored_by_another_version(first, without("recipe", "memory_format"))
    old = json.loads(first.record_file.read_text())["key"]
    stored_by_another_version(second, lambda document: document.update(begins_with=old))
    assert [cell.run.folder.name for cell in planned(plan, phantom, tmp_path).values()] == ["seed0", "seed0"]
    stored_by_another_version(first, with_value("steps", 3))
    assert [cell.run.folder.name for cell in planned(plan, phantom, tmp_path).values()] == ["seed0-2", "seed0-2"]


def test_a_second_stage_goes_on_where_its_folder_was_moved(tmp_path: Path, phantom: Dataset) -> None:
    plan = tiny_study(rows=TWO)
    cells = planned(plan, phantom, tmp_path / "old")
    for cell in cells.values():
        assert isinstance(cell.recipe, Recipe)
        Run.create(cell.run.folder, cell.recipe, cell.dataset)
        cell.note("failed", "stopped")
    (tmp_path / "old").rename(tmp_path / "new")
    second = planned(plan, phantom, tmp_path / "new")["second"]
    assert second.run.folder == tmp_path / "new" / "runs" / "own" / "second" / "seed0"
    assert isinstance(second.recipe, Recipe)
    follow_first_stage(second.recipe, second.run)
    Run.create(second.run.folder, second.recipe, second.dataset)


@pytest.mark.parametrize(("seed", "folder"), [(0, "seed0"), (1, "seed0-2")])
def test_a_programs_content_is_read_likewise(seed: int, folder: str, tmp_path: Path, phantom: Dataset) -> None:
    plan = tiny_study(rows=(Row("peer", Program(("peer", "--small"))),))

    def edit(document: dict[str, Any]) -> None:
        del document["recipe"]["minutes"]
        document["recipe"]["seed"] = seed

    stored_by_another_version(planned(plan, phantom, tmp_path)["peer"], edit)
    assert planned(plan, phantom, tmp_path)["peer"].run.folder.name == folder


@pytest.mark.parametrize("early", [False, True])
def test_a_program_of_a_version_that_looked_at_all_scripts_is_taken_up(
    early: bool, tmp_path: Path, phantom: Dataset
) -> None:
    for name in ("peer.py", "other.py"):
        (tmp_path / name).write_text("print()")
    program = Program(("python", str(tmp_path / "peer.py")))
    plan = tiny_study(rows=(Row("peer", program),))
    cell = planned(plan, phantom, tmp_path)["peer"]
    stored_by_another_version(cell, lambda document: document.update(recipe=program.content(whole_folder=True)))
    if early:
        record = json.loads(cell.record_file.read_text())
        del record["content"]
        cell.record_file.write_text(json.dumps(record))
    cell = planned(plan, phantom, tmp_path)["peer"]
    assert cell.run.folder.name == "seed0"
    cell.note("done")
    (tmp_path / "other.py").write_text("edited = True")
    assert planned(plan, phantom, tmp_path)["peer"].run.folder.name == "seed0"
    (tmp_path / "peer.py").write_text("edited = True")
    assert planned(plan, phantom, tmp_path)["peer"].run.folder.name == "seed0-2"


@pytest.mark.parametrize(("steps", "folder"), [(2, "seed0"), (3, "seed0-2")])
def test_a_run_that_lost_its_record_is_known_by_its_files(
    steps: int, folder: str, tmp_path: Path, phantom: Dataset
) -> None:
    cell = planned(tiny_study(), phantom, tmp_path)["MSBN"]
    assert isinstance(cell.recipe, Recipe)
    Run.create(cell.run.folder, replace(cell.recipe, steps=steps, validate_every=steps), cell.dataset)
    assert planned(tiny_study(), phantom, tmp_path)["MSBN"].run.folder.name == folder


def test_a_budget_has_the_steps_that_another_version_gave_it(tmp_path: Path, phantom: Dataset) -> None:
    """Were the step timed anew, the recipe would have other steps, and all would be trained again."""
    plan = tiny_study(minutes=1.0, rows=tiny_study().rows[:1])
    cell = planned(plan, phantom, tmp_path, lambda *arguments: Speed(0.5, 0.1, "cpu"))["MSBN"]
    assert isinstance(cell.recipe, Recipe)
    assert cell.recipe.steps == 120
    (file,) = (tmp_path / "speeds").iterdir()
    kept = json.loads(file.read_text())
    del kept["step"]["recipe"]["memory_format"]
    stored = file.rename(file.with_name("0123456789abcdef.json"))
    stored.write_text(json.dumps(kept))
    again = planned(plan, phantom, tmp_path)["MSBN"]
    assert again.recipe == cell.recipe
    kept["step"]["recipe"]["network"]["width"] = 3
    for speed in (tmp_path / "speeds").iterdir():
        speed.write_text(json.dumps(kept)) if speed == stored else speed.unlink()
    with pytest.raises(AssertionError, match="a step is timed"):
        planned(plan, phantom, tmp_path)
    stored.write_text(json.dumps(kept | {"seconds": 0}))
    with pytest.raises(AssertionError, match=r"0123456789abcdef.json: seconds: expected a number above 0, got 0; del"):
        planned(plan, phantom, tmp_path)


def test_an_early_speed_is_known_by_the_recipes_of_runs(tmp_path: Path, phantom: Dataset) -> None:
    plan = tiny_study(minutes=1.0, rows=tiny_study().rows[:1])
    cell = planned(plan, phantom, tmp_path, lambda *arguments: Speed(0.5, 0.1, "cpu"))["MSBN"]
    assert isinstance(cell.recipe, Recipe)
    (file,) = (tmp_path / "speeds").iterdir()
    kept = json.loads(file.read_text())
    older = dict(kept.pop("step")["recipe"])
    del older["memory_format"]
    run = to_json(cell.recipe)
    del run["memory_format"]
    assert place_new_run(cell.run.folder, run, {}, cell.dataset)
    key = Step(older, ("bssfp", "lge"), len(cell.dataset.classes), "cpu").key
    file.unlink()
    (tmp_path / "speeds" / f"{key}.json").write_text(json.dumps(kept))
    assert planned(plan, phantom, tmp_path)["MSBN"].recipe == cell.recipe
