"""Rows of a study that a program makes in a recipe's place: how it is called, when it is done, how it fails."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import hearts

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.experiments import results
from unpaired.experiments.program import Program
from unpaired.experiments.results import StudyResults
from unpaired.experiments.run import study
from unpaired.experiments.study import Row, Study

COPIES = """
import json, pathlib, shutil, sys
data, out = map(pathlib.Path, sys.argv[1:3])
(out / "called.json").write_text(json.dumps(sys.argv[3:]))
(out / "predictions").mkdir(exist_ok=True)
for case in json.loads(data.read_text())["cases"]:
    if case.get("split") == "test":
        shutil.copy(data.parent / case["label"], out / "predictions" / (case["id"] + ".nii.gz"))
"""
"""A program that cheats: it predicts what the references are."""
FAILS = "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"


def programs(folder: Path, **texts: str) -> tuple[Row, ...]:
    """A row for each text, which is a script in a folder of its own."""
    rows: list[Row] = []
    for name, text in texts.items():
        script = folder / name / "script.py"
        script.parent.mkdir(parents=True)
        script.write_text(text)
        rows.append(Row(name, Program((sys.executable, str(script)))))
    return tuple(rows)


def run(rows: tuple[Row, ...], phantom: Dataset, out: Path, minutes: float | None = None) -> StudyResults:
    plan = Study("programs", rows, scores=("dice",))
    return study(plan, hearts(phantom), out, device="cpu", viewer_mb=0, worker=False, minutes=minutes)


@pytest.fixture(autouse=True)
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing a page takes time, and other tests look at it."""
    monkeypatch.setattr(results, "write_comparison_report", lambda *arguments: arguments[1])


def test_a_program_predicts_is_scored_and_is_called_once_for_each_content(tmp_path: Path, phantom: Dataset) -> None:
    rows, out = programs(tmp_path, one=COPIES, two=COPIES), tmp_path / "out"
    made = run(rows, phantom, out, minutes=5)
    assert made.compared is not None
    assert not made.failures
    assert [row.done for row in made.rows] == [1, 1]
    folder = out / "runs" / "own" / "one"
    called = folder / "seed0" / "called.json"
    assert json.loads(called.read_text()) == ["--seed", "0", "--device", "cpu", "--minutes", "5"]
    means = [cell["mean"] for cell in made.compared.to_json()["columns"] if cell["class"] == "mean"]
    assert means == pytest.approx([1.0] * len(means))

    called.unlink()
    run(rows, phantom, out, minutes=5)
    assert not called.exists()
    (tmp_path / "one" / "script.py").write_text(COPIES + "\n# edited\n")
    run(rows, phantom, out, minutes=5)
    assert (folder / "seed0-2" / "called.json").is_file()
    assert not (out / "runs" / "own" / "two" / "seed0-2").exists()


def test_what_a_program_fails_at_is_told_and_stops_no_other(tmp_path: Path, phantom: Dataset) -> None:
    half = COPIES + "next((out / 'predictions').iterdir()).unlink()\n"
    gone = Row("gone", Program(("no-such-program",)))
    made = run((*programs(tmp_path, fails=FAILS, half=half, silent="", good=COPIES), gone), phantom, tmp_path / "out")
    failures = {name.split(", ")[1]: reason for name, reason in made.failures}
    assert "failed (exit code 3)" in failures["fails"]
    assert "1 cases could not be scored" in failures["half"]
    assert "wrote no folder" in failures["silent"]
    assert "no-such-program: can't be started" in failures["gone"]
    assert {row.name: row.done for row in made.rows}["good"] == 1


def test_its_minutes_are_its_estimate(tmp_path: Path, phantom: Dataset) -> None:
    plan = Study("programs", programs(tmp_path, one=COPIES), scores=("dice",), minutes=5)
    made = study(plan, hearts(phantom), tmp_path / "out", device="cpu", worker=False, estimate=True, hours=1)
    assert made.estimate is not None
    assert [(row.seconds, row.fitting, row.note) for row in made.estimate.rows] == [(300.0, 1, "a program")]
    assert "5:00" in made.table().markdown()


def test_a_program_begins_with_no_run() -> None:
    first = Row("first", Program(("a",)))
    with pytest.raises(InputError, match="is a program's, which begins with no run"):
        Study("programs", (first, replace(first, name="second", begins_with="first")))
