"""What share of CSA's cells is of their class, on label maps whose answer is known (studies/affinity_cells.py)."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

STUDIES = Path(__file__).parent.parent / "studies"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(STUDIES))
    return importlib.import_module("affinity_cells")


def test_each_rules_cells_hold_so_much_of_the_class(script: ModuleType) -> None:
    shown = [[1, 0, 0, 1], [0, 0, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0]]  # blocks that hold 1/4, 1/2; 1 and 0 of it
    label_map = torch.tensor([shown, [[0] * 4] * 4], dtype=torch.uint8)
    tallies = script.Tallies(script.Tally)
    script.count(label_map, torch.eye(2, dtype=torch.bool), (2, 2), tallies)
    assert tallies == {
        (1, "first voxel"): script.Tally(cells=2, weight=2, of_class=1 / 4 + 1, images=1),
        (1, "middle voxel"): script.Tally(cells=2, weight=2, of_class=1 / 2 + 1, images=1),
        (1, "area"): script.Tally(cells=3, weight=1 / 4 + 1 / 2 + 1, of_class=1 / 16 + 1 / 4 + 1, images=1),
    }
    assert list(script.cells(tallies, 1)) == ["62", "75", "75", "2.0 / 2.0 / 3.0"]


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["affinity_cells", *arguments])
    script.main()


def test_a_table_of_a_recipes_layers_is_stored(
    script: ModuleType,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.modules["results_pages"], "PAGES", tmp_path)
    layers = ["--layers", "group1", "group5", "--set", "network.width=2"]
    run(script, monkeypatch, str(manifest), "phantom/csa", *layers, "--store", "cells")
    table = json.loads((tmp_path / "affinity-cells.json").read_text(encoding="utf-8"))["plain"]["cells"]
    assert "6 labeled training scans" in table["budget"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[2:] == ["| " + " | ".join(row) + " |" for row in table["rows"]]
    by_row = {(row[0], row[2], row[3]): row for row in table["rows"]}
    for (layer, modality, name), row in by_row.items():
        if layer == "group1":  # not pooled yet: a cell is a voxel
            assert row[4:7] == ["100", "100", "100"]
        else:
            assert float(row[1]) == pytest.approx(8 * float(by_row["group1", modality, name][1]), abs=1)
            assert 0 < float(row[4]) < 100
            assert 0 < float(row[6]) < 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["phantom/msbn"], "expected a recipe of CSA, got one of SupervisedConfig; name layers by --layers"),
        (["phantom/csa", "--layers", "group55"], "--layers: the network has no feature map 'group55'"),
        (["phantom/csa", "--split", "none.json"], "expected labeled training cases, found none; give a split"),
    ],
)
def test_what_cannot_be_counted_is_a_line(
    script: ModuleType,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "none.json").write_text('{"train": [], "validation": [], "test": []}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(script, monkeypatch, str(manifest), *arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
