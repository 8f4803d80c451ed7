"""The commands as a stranger uses them: the whole road on a tiny phantom, and one clear line for whatever is wrong."""

import csv
import errno
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import unpaired
from few_slices import OF_FEW_SLICES
from undrawn import undrawn
from unpaired import cli
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.images import read_image, read_label_map, write_image
from unpaired.phantom.write import SIZES
from unpaired.recipes import all_recipes, find_recipe
from unpaired.runs.run import Run

pytestmark = pytest.mark.usefixtures("shallow_fcn")
RECIPE = "phantom/msbn"
TINY = ["network.width=2", "patch_size=[32,32]", "batch_size=1", "steps=3", "window_overlap=0.0"]
TRAIN = ["--set", *TINY, "--device", "cpu", "--workers", "0"]


def run(*arguments: object) -> int:
    """The exit code of a command.

    Predictions stay in this process: starting another takes longer than they do (`inference/test_watch.py` has those).
    """
    arguments = (*arguments, "--no-worker") if arguments[:1] == ("predict",) else arguments
    return main([str(argument) for argument in arguments])


def listing(*folders: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with size and time."""
    return {
        str(path): (0 if path.is_dir() else path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted([folder, *folder.rglob("*")])
    }


def label_maps_in(folder: Path) -> list[str]:
    """The names of a folder's label maps, each of which has its record beside it and nothing else lies there."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix != ".json")
    records = sorted(f"{name.partition('.nii')[0]}.prediction.json" for name in names)
    assert sorted(path.name for path in folder.glob("*.json")) == records
    return names


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of few slices, written by the command, in a folder whose name is no easy one."""
    folder = tmp_path_factory.mktemp("données à moi") / "ph"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", OF_FEW_SLICES)
        assert run("phantom", folder, "--size", "tiny") == 0
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "a run"
    assert run("train", RECIPE, data, folder, *TRAIN) == 0
    return folder


@pytest.fixture
def broken(data: Path, tmp_path: Path) -> Path:
    """A copy of the dataset to break."""
    shutil.copytree(data, tmp_path / "broken")
    return tmp_path / "broken"


def edit(folder: Path, **changes: object) -> Path:
    """Replace top-level fields of the folder's manifest; None removes one."""
    path = folder / "dataset.json"
    document = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return folder


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("unpaired: ")
    return lines[0]


# The road that everybody takes


def test_verify_finds_nothing_wrong_with_a_phantom(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", data, "--json", "--workers", 1) == 0
    findings = json.loads(capsys.readouterr().out)
    assert not [finding for finding in findings if finding["severity"] == "error"]


def test_split_writes_every_case_once(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("split", data, tmp_path / "s.json", "--test", 0.25, "--validation", 0.25) == 0
    split = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert sorted(case for side in split.values() for case in side) == sorted(
        case["id"] for case in json.loads((data / "dataset.json").read_text(encoding="utf-8"))["cases"]
    )
    assert str(tmp_path / "s.json") in capsys.readouterr().out
    assert run("split", data, tmp_path / "folds", "--folds", 3) == 0
    assert sorted(path.name for path in (tmp_path / "folds").iterdir()) == ["fold0.json", "fold1.json", "fold2.json"]


def test_nothing_is_written_over_the_files_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cases.csv").write_text("patient,modality,image\np1,ct,a.nii\n", encoding="utf-8")
    (tmp_path / "cases.json").write_text('{"classes": ["background", "liver"]}', encoding="utf-8")
    for command in (("split",), ("import", "table")):
        for name in ("cases.csv", "cases.json"):
            assert run(*command, tmp_path / "cases.csv", tmp_path / name) == 2
            assert "would overwrite" in one_line(capsys)
    assert run("import", "table", tmp_path / "cases.csv", tmp_path / "study.json") == 0


def test_few_shot_keeps_the_other_sides(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("split", data, tmp_path / "s.json", "--test", 0.25, "--validation", 0.25) == 0
    assert run("few-shot", data, tmp_path / "one.json", "lge", 1, "--split", tmp_path / "s.json") == 0
    whole, few = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("s.json", "one.json"))
    assert few["test"] == whole["test"]
    assert few["validation"] == whole["validation"]
    assert set(few["train"]) < set(whole["train"])
    assert "lge trains on 1 case of " in capsys.readouterr().out
    assert run("few-shot", data, tmp_path / "s.json", "lge", 1, "--split", tmp_path / "s.json") == 2


def test_a_labeled_fraction_is_a_split_that_training_and_few_shot_read(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("labeled-fraction", data, tmp_path / "half.json", "--fraction", 0.5) == 0
    out = capsys.readouterr().out
    assert out.count("trains on 1 labeled and 1 unlabeled patient\n") == 3
    assert run("few-shot", data, tmp_path / "one.json", "lge", 1, "--split", tmp_path / "half.json") == 0
    half, one = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("half.json", "one.json"))
    assert len(half["unlabeled"]) == 3
    assert one["unlabeled"] == [case for case in half["unlabeled"] if not case.startswith("lge")], "still hidden"
    for wrong in (("--fraction", 10), ("--fraction", 0.5, "--split", tmp_path / "half.json")):
        assert run("labeled-fraction", data, tmp_path / "half.json", *wrong) == 2


def test_prepare_does_nothing_twice(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("prepare", RECIPE, data, tmp_path / "cache", "--workers", 1)
    assert run(*command) == 0
    assert "12 prepared cases" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*/volume.npy")}
    assert len(before) == 12
    assert run(*command) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*/volume.npy")} == before


def test_recipes_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recipes") == 0
    assert "phantom/csa " in capsys.readouterr().out
    assert run("recipes", RECIPE) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == all_recipes()[RECIPE]().steps


def test_a_finished_run_is_not_trained_again(data: Path, trained: Path) -> None:
    before = (trained / "weights_last.safetensors").read_bytes()
    assert run("train", RECIPE, data, trained, *TRAIN) == 0
    assert (trained / "weights_last.safetensors").read_bytes() == before


def test_predict_evaluate_report(
    data: Path, trained: Path, phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predictions"
    assert run("predict", trained, data, out, "--split", "test", "--device", "cpu") == 0
    tests = phantom.of(split="test")
    assert label_maps_in(out) == sorted(f"{case.id}.nii.gz" for case in tests)
    for case in tests:
        image, label = nib.load(data / case.modality / f"{case.id}.nii.gz"), nib.load(out / f"{case.id}.nii.gz")
        assert isinstance(image, nib.Nifti1Image)
        assert isinstance(label, nib.Nifti1Image)
        assert label.shape == image.shape
        np.testing.assert_allclose(np.asarray(label.affine), np.asarray(image.affine), atol=1e-5)
        assert np.asarray(label.dataobj).dtype.kind in "iu"
        assert set(np.unique(np.asarray(label.dataobj))) <= set(phantom.source_values(case.modality))

    assert run("evaluate", out, trained, "--out", tmp_path / "scores", "--workers", 1) == 0
    with (tmp_path / "scores" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    document = json.loads((tmp_path / "scores" / "scores.json").read_text(encoding="utf-8"))
    assert len(rows) == len(document["scores"]) == len(tests) * 5
    values = {case.id: dict(zip(phantom.classes, phantom.source_values(case.modality), strict=True)) for case in tests}
    modality = {case.id: case.modality for case in tests}
    for row, score in zip(rows, document["scores"], strict=True):
        name, value = row["case"], values[row["case"]][row["class_name"]]
        ours = read_label_map(out / f"{name}.nii.gz").array == value
        theirs = read_label_map(data / modality[name] / f"{name}_label.nii.gz").array == value
        expected = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
        assert float(row["dice"]) == pytest.approx(expected)
        assert score["dice"] == pytest.approx(expected)

    page = tmp_path / "page.html"
    report = ("report", trained, "--predictions", out, "--out", page)
    shutil.rmtree(trained / "evaluation", ignore_errors=True)
    shutil.copytree(tmp_path / "scores", trained / "evaluation")
    assert run(*report) == 2, "the run's own scores are not those of other predictions"
    shutil.move(trained / "evaluation", tmp_path / "evaluation")
    with undrawn():
        assert run(*report) == 0
    assert "<html" in page.read_text(encoding="utf-8")
    assert 'href="evaluation/scores.csv"' in page.read_text(encoding="utf-8")

    page.unlink()
    label = read_image(out / "ct004.nii.gz")
    write_image(out / "ct004.nii.gz", np.zeros_like(label.array), label.affine)
    capsys.readouterr()
    assert run(*report) == 2, "its scores are those of another label map"
    assert "the prediction changed of ct004; score again: unpaired evaluate" in one_line(capsys)
    assert not page.exists()


def test_predict_skips_what_is_there_until_told_otherwise(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("predict", trained, data, tmp_path, "--split", "test", "--modality", "lge", "--device", "cpu")
    assert run(*command) == 0
    (file,) = tmp_path.glob("*.nii*")
    whole = file.read_bytes()
    assert run(*command) == 0
    assert "0 written, 1 skipped" in capsys.readouterr().out
    file.write_bytes(b"mine")
    assert run(*command) == 1
    assert file.read_bytes() == b"mine"
    assert "corrected, cut short or replaced since it was predicted (it has 4 bytes" in capsys.readouterr().err
    assert run(*command, "--overwrite") == 0
    assert file.read_bytes() == whole


def test_a_folder_and_a_single_file_are_predicted_alike(data: Path, trained: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    scan = data / "lge" / "lge012.nii.gz"
    shutil.copy(scan, scans)
    scans.chmod(stat.S_IRUSR | stat.S_IXUSR)
    options = ("--modality", "lge", "--device", "cpu")
    assert run("predict", trained, scans, tmp_path / "by folder", *options) == 0
    assert run("predict", trained, scan, tmp_path / "new" / "named.nii", *options) == 0
    assert label_maps_in(tmp_path / "new") == ["named.nii"]
    by_folder, named = read_image(tmp_path / "by folder" / "lge012.nii.gz"), read_image(tmp_path / "new" / "named.nii")
    np.testing.assert_array_equal(by_folder.array, named.array)


def test_one_bad_case_is_listed_and_stops_no_other(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    good = read_image(data / "ct" / "ct004.nii.gz")
    shutil.copy(data / "ct" / "ct004.nii.gz", scans / "good.nii.gz")
    (scans / "cut.nii.gz").write_bytes((data / "ct" / "ct004.nii.gz").read_bytes()[:2000])
    holes = good.array.astype(np.float32)
    holes[3, 3, 3] = np.nan
    write_image(scans / "holes.nii.gz", holes, good.affine)
    (scans / "text.nii").write_text("this is no image")
    assert run("predict", trained, scans, out, "--modality", "ct", "--device", "cpu") == 1
    captured = capsys.readouterr()
    assert label_maps_in(out) == ["good.nii.gz"]
    assert captured.out.splitlines()[-1] == "1 written, 0 skipped, 3 failed: cut; holes; text"
    failed = [line for line in captured.err.splitlines() if line.startswith("failed: ")]
    assert [line.split(":")[1].strip() for line in failed] == ["cut", "holes", "text"]
    assert "truncated" in failed[0]
    assert "NaN" in failed[1]
    assert (captured.out + captured.err).count(failed[0].removeprefix("failed: cut: ")) == 1


def test_a_missing_prediction_is_listed_and_scored_nowhere(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predictions"
    out.mkdir()
    shutil.copy(data / "ct" / "ct004_label.nii.gz", out / "ct004.nii.gz")
    assert run("evaluate", out, trained, "--workers", 1) == 1
    assert "failed: lge012: no prediction" in capsys.readouterr().err
    document = json.loads((tmp_path / "evaluation" / "scores.json").read_text(encoding="utf-8"))
    assert {score["case"] for score in document["scores"]} == {"ct004"}
    assert {score["dice"] for score in document["scores"]} == {1.0}
    assert [failure["case"] for failure in document["failures"]] == ["bssfp008", "lge012"]


# What is wrong is said in one line, and nothing is written


def wrong_arguments(data: Path, trained: Path, tmp: Path) -> dict[str, tuple[tuple[object, ...], str]]:
    """{what is wrong: (arguments, a part of the line)}"""
    (tmp / "empty").mkdir()
    (tmp / "cut.json").write_text('{"classes": [')
    (tmp / "list.json").write_text("[]")
    (tmp / "blob.json").write_bytes(b"\xff\xfe\x00")
    (tmp / "stranger.json").write_text('{"train": ["nobody"]}')
    (tmp / "twice.json").write_text('{"train": ["ct001"], "test": ["ct001"]}')
    (tmp / "number.json").write_text('{"train": 3}')
    (tmp / "mine.py").write_text("import nowhere_at_all\n")
    (tmp / "same").mkdir()
    for name in ("a.nii", "a.nii.gz"):
        (tmp / "same" / name).write_bytes(b"")
    new, scan = tmp / "new", data / "ct" / "ct004.nii.gz"
    fast = ("--workers", 0)
    return {
        "no such data": (("verify", tmp / "nowhere"), "found no file at"),
        "data is cut": (("verify", tmp / "cut.json"), "expected JSON"),
        "data is a list": (("train", RECIPE, tmp / "list.json", new), "expected a JSON object"),
        "data is binary": (("split", tmp / "blob.json", new), "expected JSON"),
        "name is too long": (("verify", "x" * 5000), "name too long"),
        "recipe typo": (("train", "phantom/cas", data, new), "did you mean phantom/csa"),
        "recipe typo in prepare": (("prepare", "phantom/msbm", data, new), "did you mean phantom/msbn"),
        "recipe to print": (("recipes", "phantom"), "there is no recipe 'phantom'"),
        "recipe file": (("train", f"{tmp / 'nowhere'}.py:f", data, new), "found no file"),
        "recipe file fails": (("train", f"{tmp / 'mine'}.py:f", data, new), "mine.py, line 1: ModuleNotFoundError"),
        "unknown field": (("train", RECIPE, data, new, "--set", "network.widht=8"), "did you mean width"),
        "value of another type": (
            ("train", RECIPE, data, new, "--set", "steps=many"),
            "Recipe.steps: expected a whole number",
        ),
        "unknown modality to train": (("train", RECIPE, data, new, "--set", 'modalities=["mr"]'), "names 'mr'"),
        "patch that doesn't fit": (("train", RECIPE, data, new, "--set", "patch_size=[30,30]", *fast), "multiples of"),
        "split file missing": (("train", RECIPE, data, new, "--split", tmp / "no.json"), "expected a split file"),
        "split of strangers": (("train", RECIPE, data, new, "--split", tmp / "stranger.json"), "no case 'nobody'"),
        "split on two sides": (("train", RECIPE, data, new, "--split", tmp / "twice.json"), "both in train and in"),
        "split is a number": (("train", RECIPE, data, new, "--split", tmp / "number.json"), "number.json"),
        "split shares": (("split", data, new, "--test", 2), "shares must lie"),
        "too many folds": (("split", data, new, "--folds", 99), "folds"),
        "no such device": (("train", RECIPE, data, new, "--device", "abacus"), "device 'abacus'"),
        "no such device, predict": (
            ("predict", trained, scan, new, "--modality", "ct", "--device", "abacus"),
            "device 'abacus'",
        ),
        "negative workers": (("train", RECIPE, data, new, "--workers", -1), "workers must be 0 or more"),
        "another recipe's run": (("train", "phantom/csa", data, trained, *TRAIN), "method.type"),
        "run folder of something else": (("train", RECIPE, data, tmp / "same", *TRAIN), "is not a run folder"),
        "no run": (("predict", tmp / "empty", scan, new, "--modality", "ct"), "found no recipe.json"),
        "no images": (("predict", trained, tmp / "empty", new, "--modality", "ct"), "found none"),
        "no such image": (("predict", trained, tmp / "gone.nii.gz", new, "--modality", "ct"), "found nothing at"),
        "modality not said": (("predict", trained, data / "lge" / "lge012.nii.gz", new), "may be bssfp or lge"),
        "unknown modality": (("predict", trained, scan, new, "--modality", "lgee"), "known: ct, bssfp, lge"),
        "unknown side": (("predict", trained, data, new, "--split", "tset"), "split 'tset'"),
        "side of a folder": (
            ("predict", trained, scan.parent, new, "--modality", "ct", "--split", "test"),
            "needs a manifest",
        ),
        "same stem": (("predict", trained, tmp / "same", new, "--modality", "ct"), "would both be written"),
        "over its own input": (("predict", trained, scan.parent, scan.parent, "--modality", "ct"), "overwrite"),
        "not NIfTI out": (("predict", trained, scan, tmp / "a.nrrd", "--modality", "ct"), "written as NIfTI"),
        "unknown side, evaluate": (("evaluate", data, data, "--split", "tset"), "split 'tset' (did you mean test?)"),
        "no predictions": (("evaluate", tmp / "gone", trained), "found none at"),
        "empty predictions without classes": (("evaluate", tmp / "empty", tmp / "empty"), "--classes"),
        "empty predictions": (("evaluate", tmp / "empty", tmp / "empty", "--classes", "1:LV"), "found none"),
        "strange classes": (("evaluate", tmp / "same", tmp / "same", "--classes", "LV"), "expected classes such as"),
        "report of no run": (("report", tmp / "empty"), "found no recipe.json"),
        "import of nothing": (("import", "mscmrseg", tmp / "empty", tmp / "x.json"), "empty"),
        "phantom in a file": (("phantom", tmp / "cut.json", "--size", "tiny"), "cut.json"),
        "split over the manifest": (("split", data, data / "dataset.json"), "would overwrite"),
    }


CASES = sorted(
    """no such data|data is cut|data is a list|data is binary|name is too long|recipe typo|recipe typo in prepare
recipe to print|recipe file|recipe file fails|unknown field|value of another type|unknown modality to train
patch that doesn't fit|split file missing|split of strangers|split on two sides|split is a number|split shares
too many folds|no such device|no such device, predict|negative workers|another recipe's run
run folder of something else|no run|no images|no such image|modality not said|unknown modality
unknown side|unknown side, evaluate
side of a folder|same stem|over its own input|not NIfTI out|no predictions|empty predictions without classes
empty predictions|strange classes|report of no run|import of nothing|phantom in a file
split over the manifest""".replace("\n", "|").split("|")
)


def test_all_wrong_arguments_are_tried(data: Path, trained: Path, tmp_path: Path) -> None:
    assert sorted(wrong_arguments(data, trained, tmp_path)) == CASES


@pytest.mark.parametrize("what", CASES)
def test_wrong_arguments_are_one_line_and_write_nothing(
    what: str, data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, part = wrong_arguments(data, trained, tmp_path)[what]
    before = listing(data, trained, tmp_path)
    capsys.readouterr()
    assert run(*arguments) == 2
    assert part in one_line(capsys)
    assert listing(data, trained, tmp_path) == before


@pytest.mark.parametrize("arguments", [(), ("frobnicate",), ("train", "phantom/csa"), ("evaluate", "--polisy", "x")])
def test_arguments_that_no_command_takes(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert one_line(capsys).endswith(("--help", "--help)"))


def broken_label(folder: Path, change: str) -> str:
    label = read_image(folder / "ct" / "ct001_label.nii.gz")
    image = read_image(folder / "ct" / "ct001.nii.gz")
    if change == "truncated":
        path = folder / "ct" / "ct001.nii.gz"
        path.write_bytes(path.read_bytes()[:1000])
    elif change == "unknown value":
        array = label.array.copy()
        array[0, 0, 0] = 77
        write_image(folder / "ct" / "ct001_label.nii.gz", array, label.affine)
        return "77"
    elif change == "shape":
        write_image(folder / "ct" / "ct001_label.nii.gz", label.array[:-1], label.affine)
        return "shape"
    else:
        array = image.array.astype(np.float32)
        array[0, 0, 0] = np.nan
        write_image(folder / "ct" / "ct001.nii.gz", array, image.affine)
        return "NaN"
    return "truncated"


@pytest.mark.parametrize("change", ["truncated", "unknown value", "shape", "nan"])
def test_bad_files_stop_training_in_one_line_and_are_found_by_verify(
    change: str, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    word = broken_label(broken, change)
    arguments = ("train", RECIPE, broken, tmp_path / "runs" / "r", *TRAIN)
    assert run(*arguments) == 2
    line = one_line(capsys)
    assert word in line
    assert "ct001" in line
    assert not list((tmp_path / "runs").rglob("*tmp*"))
    assert not list((tmp_path / "runs").rglob("*.safetensors"))
    assert run("verify", broken, "--workers", 1, "--json") == 1
    findings = json.loads(capsys.readouterr().out)
    assert any(finding["case"] == "ct001" and finding["severity"] == "error" for finding in findings)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"classes": None}, "lacks 'classes'"),
        ({"cases": []}, "lists no cases"),
        ({"cases": [{"id": "a", "patient": "p", "modality": "pet", "image": "a.nii"}]}, "has modality 'pet'"),
        ({"label_maps": {"x": {"1": "spleen"}}}, "is not a class"),
        ({"schema": 9}, "schema 9"),
    ],
)
def test_a_bad_manifest_is_one_line(
    changes: dict[str, object], part: str, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(broken, **changes)
    before = listing(broken)
    assert run("prepare", RECIPE, broken, broken / "cache") == 2
    assert part in one_line(capsys)
    assert listing(broken) == before


def test_a_full_disk_leaves_no_half_file(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device", str(path))

    before = listing(data)
    predictions = data / "ct"
    classes = "205:myo,420:LA,500:LV,600:RV,820:AA"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        patched.setattr(Path, "write_text", lambda path, text, **_: full(path, text.encode()))
        for arguments in (
            ("split", data, tmp_path / "new" / "s.json"),
            ("evaluate", tmp_path, tmp_path, "--classes", classes, "--out", tmp_path / "new"),
            ("train", RECIPE, data, tmp_path / "new" / "run", *TRAIN),
        ):
            shutil.copy(predictions / "ct001_label.nii.gz", tmp_path / "a.nii.gz")
            assert run(*arguments) == 2
            assert "No space left on device" in one_line(capsys)
            assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert listing(data) == before


@pytest.mark.parametrize("command", ["find-postprocessing", "features", "misalignment"])
def test_a_run_that_cant_be_written_is_known_before_the_work(
    command: str, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing refuses beforehand these write what they found: the system's answer alone is changed here."""
    monkeypatch.setattr(os, "access", lambda place, mode: not Path(place).is_relative_to(trained))
    before = listing(trained)
    assert run(command, trained, "--device", "cpu") == 2
    assert "Permission denied; get leave to write there" in one_line(capsys)
    assert listing(trained) == before


def test_a_folder_that_is_a_file_is_named(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    below = tmp_path / "file" / "below"
    for arguments in (
        ("split", data, below / "s.json"),
        ("prepare", RECIPE, data, below, "--workers", 1),
        ("train", RECIPE, data, below, *TRAIN),
    ):
        assert run(*arguments) == 2
        assert str(tmp_path / "file") in one_line(capsys)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_fault_of_the_package_is_one_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(name: str = "", /) -> int:
        """List nothing."""
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(cli.COMMANDS, "recipes", faulty)
    assert run("recipes") == 2
    message = one_line(capsys)
    assert "unexpected ZeroDivisionError: a bug" in message
    traceback = Path(message.split(" in ")[-1])
    assert "a bug" in traceback.read_text(encoding="utf-8")
    traceback.unlink()


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unpaired {unpaired.__version__}\n"


def test_a_runs_recipe_is_shown_and_found(phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = replace(find_recipe("phantom/csa"), steps=7)
    run = Run.create(tmp_path / "run", recipe, phantom)
    for name in (run.folder, run.recipe_file):
        assert find_recipe(str(name)) == recipe
        assert main(["recipes", str(name)]) == 0
        assert json.loads(capsys.readouterr().out)["steps"] == 7
    assert main(["recipes", str(tmp_path / "no.json")]) == 2
    assert "expected the recipe.json of a run at" in capsys.readouterr().err


def test_a_folder_called_like_a_recipe_does_not_hide_it(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = find_recipe("phantom/csa")
    Run.create(tmp_path / "phantom/csa", replace(recipe, steps=7), phantom)
    assert find_recipe("phantom/csa") == recipe
    assert find_recipe("./phantom/csa").steps == 7


def test_lines_do_not_wait_for_the_end_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert not piped.line_buffering
    monkeypatch.setattr(sys, "stdout", piped)
    assert main(["--version"]) == 0
    assert piped.line_buffering


class FullStream(io.StringIO):
    """As /dev/full, or a log on a disk without space."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_streams_on_a_full_disk_leave_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", FullStream())
    assert main(["--version"]) == 2
    assert main(["verify", str(tmp_path), "--json"]) == 2
    monkeypatch.setattr(sys, "stderr", FullStream())
    assert main(["verify", str(tmp_path)]) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_closed_streams_become_the_null_device(tmp_path: Path) -> None:
    """As a daemon's: no other file may get their numbers, here or in the processes that a command starts."""
    code = """
import os, subprocess, sys
from unpaired.cli import main
code = main(["--version"])
places = {os.readlink(f"/proc/self/fd/{number}") for number in range(3)}
child = "import sys; sys.exit(None in (sys.stdin, sys.stdout, sys.stderr))"
code += subprocess.run([sys.executable, "-c", child]).returncode
with open(sys.argv[1], "w") as file:
    print(code, *places, file=file)
"""
    subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, code, tmp_path / "said"], check=True
    )
    assert (tmp_path / "said").read_text("utf-8") == "0 /dev/null\n"
