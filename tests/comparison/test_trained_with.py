"""The budget that stands beside every table of a comparison, wherever it is written."""

import csv
import json
from pathlib import Path

from unpaired.comparison.budget import trained_with
from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender
from unpaired.comparison.files import to_json, write_comparison
from unpaired.comparison.papers.layout import lay_out
from unpaired.comparison.papers.tables import paper_table
from unpaired.scores.scores import Evaluation, Score


def method(name: str, folder: Path, steps: int | None) -> Contender:
    """A method with scores of two patients, and its run folder, where it has one."""
    folder.mkdir()
    if steps is not None:
        (folder / "recipe.json").write_text(json.dumps({"steps": steps}))
    rows = [
        Score(
            f"{modality}{k}",
            f"p{k}",
            modality,
            organ,
            "scored",
            0.8 + 0.01 * k,
            reference_ml=5.0,
            presets={"csa:dice": 0.8 + 0.01 * k, "csa:hd_voxels": 2.0},
        )
        for modality in ("bssfp", "lge")
        for k in range(2)
        for organ in ("LV", "myo", "RV")
    ]
    return Contender(name, (Evaluation(rows, [], presets=("csa",)),), (folder,))


def test_what_no_folder_tells_is_said(tmp_path: Path) -> None:
    known, unknown = method("MSBN", tmp_path / "a", 729), method("nnU-Net", tmp_path / "b", None)
    assert trained_with([known, unknown]) == "Budget: MSBN 729 steps; steps are not said of nnU-Net."
    given = "Budget: 5 minutes a run; MSBN 729 steps; steps are not said of nnU-Net."
    assert trained_with([known, unknown], "5 minutes a run") == given
    assert trained_with([unknown]) == ""
    assert trained_with([unknown], "5 minutes a run") == "Budget: 5 minutes a run; steps are not said of nnU-Net."


def test_no_table_is_without_its_budget(tmp_path: Path) -> None:
    """In Markdown and LaTeX, for programs, and beside a paper's numbers."""
    methods = [method("MSBN", tmp_path / "a", 729), method("CSA", tmp_path / "b", 512)]
    budget = trained_with(methods)
    comparison = compare(methods, ("dice",), budget=budget)
    layout = lay_out(comparison, paper_table("csa-table-1"))
    assert budget in to_json(comparison)["notes"]
    assert f"Ours: {budget}" in list(layout.notes())
    write_comparison(comparison, tmp_path / "out", [layout])
    for name in ("comparison.md", "comparison.tex"):
        text = (tmp_path / "out" / name).read_text()
        assert text.count("MSBN 729 steps, CSA 512 steps") == 2, name  # ours, and laid out as the paper's


def test_no_row_of_numbers_is_without_its_budget(tmp_path: Path) -> None:
    methods = [method("MSBN", tmp_path / "a", 729), method("nnU-Net", tmp_path / "b", None)]
    comparison = compare(methods, ("dice",))
    write_comparison(comparison, tmp_path / "out", [lay_out(comparison, paper_table("csa-table-1"))])
    for name in ("comparison.csv", "differences.csv", "paper_tables.csv"):
        with (tmp_path / "out" / name).open(newline="", encoding="utf-8") as file:
            told = {row["method"]: row["trained"] for row in csv.DictReader(file) if row["method"]}
        expected = {"MSBN": "729 steps", "nnU-Net": ""}
        assert told == {key: expected[key] for key in told}, name
        assert len(told) == (1 if name == "differences.csv" else 2), "the baseline has no difference to itself"
    document = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert {(row["method"], row["trained"]) for row in document["columns"]} == {("MSBN", "729 steps"), ("nnU-Net", "")}
