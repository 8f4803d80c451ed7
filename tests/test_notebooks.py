"""The notebooks run from top to bottom, in this process, on tiny scans and a step or two; none holds an output."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import unpaired
from few_slices import OF_FEW_SLICES
from undrawn import undrawn
from unpaired.phantom.write import SIZES
from unpaired.training import planned
from unpaired.training.probe import StepCost

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_kept(notebook: Path) -> None:
    assert code_cells(notebook)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code_cells(notebook))


@pytest.mark.slow
def test_from_a_folder_to_overlays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds: simulates, trains a step, predicts, scores, writes the page; without the processes that would help."""
    pytest.importorskip("ipyniivue")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    monkeypatch.setattr(planned, "LEAST", 1)
    monkeypatch.setitem(SIZES, "tiny", OF_FEW_SLICES)
    monkeypatch.setattr(unpaired, "train", partial(unpaired.train, workers=0))
    monkeypatch.setattr(unpaired, "predict", partial(unpaired.predict, worker=False))
    (notebook,) = NOTEBOOKS
    names: dict[str, Any] = {}
    with undrawn():
        for number, cell in enumerate(code_cells(notebook)):
            exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), names)
            if "HOURS" in names and "run" not in names:
                names |= {"SIZE": "tiny", "HOURS": 1 / 3600}
    assert names["run"].recipe.steps == 1
    assert names["imported"].layout == "folders"
    assert set(names["evaluation"].modalities) == {"ct", "bssfp", "lge"}
    assert [len(viewer.volumes) for viewer in names["viewers"]] == [2, 2]
    assert names["run"].report.is_file()
