"""The step of a study that predicts finished runs beside misaligned partners: each run once, pooled over splits."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import tiny_recipe, tiny_study

from unpaired.analyses.misalignment import analysis as command
from unpaired.analyses.misalignment.analysis import MisalignmentStudy
from unpaired.analyses.misalignment.scores import MisalignmentRow
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.experiments import misalignments
from unpaired.experiments.cells import Cell
from unpaired.experiments.content import Content
from unpaired.experiments.misalignments import look_at_misalignment, pooled_misalignment
from unpaired.experiments.study import Row
from unpaired.runs.folder import RunFolder

PLAN = tiny_study(misaligned=("MSBN",))


def cell(folder: Path, split: str, row: Row = PLAN.rows[0], key: str = "k") -> Cell:
    dataset = Dataset("d", ("background", "LV"), {}, ())
    return Cell(row, split, 0, tiny_recipe(), dataset, Content({}, key), RunFolder(folder / split))


def rows_of(patient: str, dice: float) -> list[MisalignmentRow]:
    """In place 0.9, shifted by 10 mm less, of one patient."""
    row = MisalignmentRow(
        **{"class_name": "LV", "dice": 0.9, "prediction_ml": 1.0, "reference_ml": 1.0, "agreement": 0.5},
        **{"case": patient, "patient": patient, "modality": "lge", "partners": {"bssfp": "x"}, "alignments": {}},
        **{"run": "seed0", "kind": "shift", "amount": 0.0},
    )
    return [row, replace(row, kind="alone"), replace(row, amount=10.0, dice=dice)]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the runs that are looked at, which takes a network; the one called "bad" can't be."""
    folders: list[str] = []

    def look(run: RunFolder, **options: object) -> MisalignmentStudy:
        folders.append(run.folder.name)
        if run.folder.name == "bad":
            raise InputError("one modality alone has no partner")
        return MisalignmentStudy(rows_of(run.folder.name, 0.8 if run.folder.name == "fold0" else 0.6), [], {})

    monkeypatch.setattr(misalignments, "misalignment", look)
    monkeypatch.setattr(command, "write_figure", lambda *arguments: None)
    return folders


def test_each_finished_run_of_its_rows_is_looked_at_once(tmp_path: Path, looked: list[str]) -> None:
    done = [*(cell(tmp_path, split) for split in ("fold0", "fold1", "bad")), cell(tmp_path, "other", PLAN.rows[1])]
    failures = look_at_misalignment(PLAN, done, "cpu", lambda line: None)
    assert failures == {"bad, MSBN, seed 0, beside misaligned partners": "one modality alone has no partner"}
    look_at_misalignment(PLAN, done[:2], "cpu", lambda line: None)
    assert looked == ["fold0", "fold1", "bad"]
    look_at_misalignment(PLAN, [cell(tmp_path, "fold0", key="edited")], "cpu", lambda line: None)
    assert looked[3:] == ["fold0"]


def test_its_curves_are_over_the_patients_of_all_splits(tmp_path: Path, looked: list[str]) -> None:
    done = [cell(tmp_path, split) for split in ("fold0", "fold1")]
    assert pooled_misalignment(PLAN, done, tmp_path) == []
    look_at_misalignment(PLAN, done, "cpu", lambda line: None)
    (line,) = pooled_misalignment(PLAN, done, tmp_path)
    assert "MSBN: mean Dice falls most by -20.00 points" in line
    curve = json.loads((tmp_path / "misalignment" / "misalignment.json").read_text())["curves"][0]
    assert (curve["run"], curve["points"][1]["patients"]) == ("MSBN", 2)
    assert curve["points"][1]["change"] == pytest.approx(-0.2)
    assert pooled_misalignment(PLAN, [cell(tmp_path, "fold0", key="edited")], tmp_path) == []
    assert not list((tmp_path / "misalignment").iterdir())


def test_a_row_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="has no row 'CMC'"):
        tiny_study(misaligned=("CMC",))
