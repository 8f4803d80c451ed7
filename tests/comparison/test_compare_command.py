"""`unpaired compare` from end to end: folders of any tool against a manifest, seeds, refusals in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from undrawn import undrawn
from unpaired import cli
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_image, write_image
from unpaired.data.manifest import read_dataset

CLASSES = "1:LV,2:RV"


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """References of seven patients, and predictions: `right`, `shifted` by a voxel, `blind` to RV in one case."""
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    for number in range(7):
        label = np.zeros((16, 16, 3), np.uint8)
        label[4:10, 4 : 10 + number // 3, 1:] = 1
        label[11:14, 4:10, 1] = 2
        blind = np.where(label == 2, 0, label) if number == 3 else label
        for name, array in (
            ("references", label),
            ("right/predictions", label),
            ("shifted", np.roll(label, 1, axis=1)),
            ("blind", blind),
        ):
            write_image(tmp_path / name / f"p{number}.nii.gz", array.astype(np.uint8), affine)
    return tmp_path


def compare(folders: Path, *arguments: object) -> int:
    fixed = ("--reference", folders / "references", "--classes", CLASSES, "--out", folders / "out", "--no-report")
    return run("compare", *arguments, *fixed)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    return lines[0]


def test_folders_of_any_tool(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(folders, folders / "right", f"moved={folders / 'shifted'}", folders / "blind") == 0
    text = capsys.readouterr().out
    assert "1 of 14" in text
    assert "blind missed: RV 1x" in text
    assert sorted(file.name for file in (folders / "out").iterdir()) == [
        "compare.about.json",
        "comparison.csv",
        "comparison.json",
        "comparison.md",
        "comparison.tex",
        "differences.csv",
    ]
    document = json.loads((folders / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert [method["name"] for method in document["methods"]] == ["right", "moved", "blind"]
    row = next(r for r in document["columns"] if (r["score"], r["class"], r["method"]) == ("dice", "mean", "moved"))
    assert (row["p"], row["worse"], row["effect"]) == (2 / 2**7, 7, -1)
    assert row["p_holm"] == 4 / 2**7


def test_a_comparison_of_other_methods_is_never_written_over(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, shifted, blind = (folders / name for name in ("right", "shifted", "blind"))
    assert compare(folders, right, shifted) == 0
    first = (folders / "out" / "comparison.md").read_bytes()
    capsys.readouterr()
    for others in ((right, blind), (right, shifted, blind)):
        assert compare(folders, *others) == 2
        assert "out holds what compare made of" in one_line(capsys)
    assert (folders / "out" / "comparison.md").read_bytes() == first
    assert compare(folders, f"x={shifted}", right, "--scores", "dice") == 0, "the same methods, in another way"
    (folders / "out" / "compare.about.json").unlink()
    capsys.readouterr()
    assert compare(folders, right, shifted) == 2
    assert "doesn't say of what it was made" in one_line(capsys)


def test_json_for_programs(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wishes = ("--scores", "nsd@2", "iou", "--baseline", "shifted", "--json", "--correct-over", "table")
    assert compare(folders, folders / "right", folders / "shifted", *wishes) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["baseline"] == "shifted"
    assert {row["score"] for row in document["columns"]} == {"nsd@2", "iou"}


def test_seeds_of_one_method(folders: Path) -> None:
    seeds = f"ours={folders / 'right'},{folders / 'shifted'}"
    assert compare(folders, folders / "blind", seeds) == 0
    document = json.loads((folders / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert document["methods"][1]["seeds"] == 2
    row = next(r for r in document["columns"] if (r["score"], r["class"], r["method"]) == ("dice", "mean", "ours"))
    assert (row["std_over"], row["paired_patients"]) == ("seeds", 7)


def test_a_missing_prediction_refuses_until_told_otherwise(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "shifted" / "p5.nii.gz").unlink()
    (folders / "shifted" / "p6.nii.gz").write_bytes(b"broken")
    assert compare(folders, folders / "right", folders / "shifted") == 2
    message = one_line(capsys)
    assert "shifted lacks 2" in message
    assert "p5, p6" in message
    assert "--common" in message
    assert not (folders / "out").exists()
    assert compare(folders, folders / "right", folders / "shifted", "--common") == 0
    assert "LEFT OUT: 2 cases" in capsys.readouterr().out
    assert "LEFT OUT: 2 cases" in (folders / "out" / "comparison.md").read_text(encoding="utf-8")


def test_runs_and_a_page_with_figures(phantom: Dataset, manifest: Path, tmp_path: Path) -> None:
    for name, shift in (("a", 0), ("b", 1)):
        for case in phantom.of(split="test"):
            assert case.label is not None
            label = read_image(case.label)
            moved = np.roll(label.array, shift, axis=0)
            write_image(tmp_path / name / "predictions" / f"{case.id}.nii.gz", moved, label.affine)
        predictions = tmp_path / name / "predictions"
        assert run("evaluate", predictions, manifest, "--split", "test", "--workers", 1) == 0
        shutil.copy(manifest, tmp_path / name / "dataset.json")
    out = tmp_path / "out"
    with undrawn():
        assert run("compare", tmp_path / "a", tmp_path / "b", "--scores", "dice", "--out", out) == 0
    drawn = {file.name for file in (out / "figures").iterdir()}
    assert drawn == {"dice_differences.svg", *(f"dice_{modality}.svg" for modality in phantom.modalities)}
    assert (out / "comparison.html").is_file()


def test_a_run_that_was_trained_on_scored_patients_is_named(
    folders: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = read_dataset(manifest).of(split="test")
    for name, trained in (("fair", []), ("unfair", [cases[0].id])):
        for case in cases:
            assert case.label is not None
            label = read_image(case.label)
            write_image(folders / name / "predictions" / f"{case.id}.nii.gz", label.array, label.affine)
        shutil.copy(manifest, folders / name / "dataset.json")
        (folders / name / "split.json").write_text(json.dumps({"train": trained, "validation": [], "test": []}))
    wishes = ("--reference", manifest, "--split", "test", "--out", folders / "out", "--no-report", "--json")
    assert run("compare", folders / "fair", folders / "unfair" / "predictions", *wishes) == 0
    said = [warning for warning in json.loads(capsys.readouterr().out)["warnings"] if "used in training" in warning]
    assert len(said) == 1
    assert said[0].startswith(
        f"unfair: Some scored patients were also used in training or validation ({cases[0].patient})"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("right",), "two methods or more"),
        ((), "compare takes METHOD ..., got nothing, so METHOD is missing"),
        (("right", "right"), "two methods are called 'right'"),
        (("right", "gone"), "found no folder"),
        (("right", "shifted", "--baseline", "csa"), "the baseline 'csa' is not one of"),
        (("right", "shifted", "--scores", "dise"), "no score 'dise'"),
        (("right", "shifted", "--scores", "nsd@far"), "nsd@2 (tolerance in mm)"),
        (("right", "x="), "expected a method as PATH"),
    ],
)
def test_wrong_arguments_are_one_line_and_write_nothing(
    folders: Path,
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folders)
    assert compare(folders, *arguments) == 2
    assert words in one_line(capsys)
    assert not (folders / "out").exists()


def test_predictions_need_a_reference_and_its_classes(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", folders / "right", folders / "shifted") == 2
    assert "--reference" in one_line(capsys)
    assert run("compare", folders / "right", folders / "shifted", "--reference", folders / "references") == 2
    assert "--classes" in one_line(capsys)


def means(folders: Path) -> dict[tuple[str, str], float]:
    document = json.loads((folders / "out" / "comparison.json").read_text(encoding="utf-8"))
    return {(row["method"], row["class"]): row["mean"] for row in document["columns"] if row["score"] == "dice"}


def test_what_values_are_is_said_as_for_evaluate(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """References with a value that nobody asked for, predictions with numbers of their own."""
    for number in range(7):
        for name, table in (("references", {3: 3}), ("right/predictions", {1: 7, 2: 5})):
            path = folders / name / f"p{number}.nii.gz"
            array = read_image(path).array.copy()
            if name == "references":
                array[0, :4, 0] = 3
            else:
                array = np.select([array == value for value in table], list(table.values()), 0).astype(np.uint8)
            write_image(path, array, np.diag([1.5, 1.5, 8.0, 1.0]))
    shutil.copytree(folders / "right", folders / "again")
    methods = (folders / "right", folders / "again")
    assert compare(folders, *methods, "--common") == 2
    assert "right has no scores, 7 cases failed: p0: " in (said := one_line(capsys))
    assert "expected label values 0, 1, 2; found 5, 7" in said
    told = ("--prediction-classes", "7:LV,5:RV", "--others", "background")
    assert compare(folders, *methods, *told) == 0
    assert means(folders)["right", "mean"] == 1
    assert "Label values that nothing names count as background" in capsys.readouterr().out
    assert compare(folders, *methods, *told, "--only", "RV") == 0
    assert set(means(folders)) == {("right", "RV"), ("again", "RV")}
    capsys.readouterr()
    assert compare(folders, *methods, *told, "--only", "RW") == 2
    assert "no foreground class 'RW' to score; did you mean RV" in one_line(capsys)


def test_only_some_classes_of_stored_scores(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shifted", "blind"):
        reference = ("--classes", CLASSES, "--out", folders / "scored" / name)
        assert run("evaluate", folders / name, folders / "references", *reference) == 0
    methods = (folders / "scored" / "shifted", folders / "scored" / "blind")
    stored = ("compare", *methods, "--out", folders / "out", "--no-report")
    assert run(*stored, "--only", "LV") == 0
    assert means(folders) == {("shifted", "LV"): pytest.approx(0.849, abs=0.001), ("blind", "LV"): 1}
    page = folders / "out" / "comparison.html"
    page.write_text("of an earlier call")
    assert run(*stored, "--only", "RV") == 0
    assert not page.exists()
    capsys.readouterr()
    assert run(*stored, "--only", "LW") == 2
    assert "has no scores of a class 'LW'; did you mean LV" in one_line(capsys)
    for ignored in (("--others", "ignore"), ("--classes", CLASSES), ("--split", "test")):
        assert run(*stored, *ignored) == 2
        assert "are for predictions that are scored here, against a --reference" in one_line(capsys)
