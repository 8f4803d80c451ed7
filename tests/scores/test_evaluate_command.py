"""`unpaired evaluate` on files that are wrong in the ways users' files are: named, explained, exit code, `--json`."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from unpaired.cli import main
from unpaired.data.images import write_image

AFFINE = np.diag([1.5, 1.0, 3.0, 1.0])
CLASSES = ("--classes", "1:LV,2:myo")


def label_map(shift=0):
    array = np.zeros((8, 9, 6), np.uint8)
    array[2:5, 2 + shift : 6 + shift, 1:4] = 1
    array[6, 5, 2:5] = 2
    return array


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    """So that no heading of a table is broken over lines, whatever the tests' own output goes to."""
    monkeypatch.setenv("COLUMNS", "240")


@pytest.fixture
def folders(tmp_path):
    """Predictions and references of the cases good and case, both fine."""
    for name in ("good", "case"):
        write_image(tmp_path / "ours" / f"{name}.nii.gz", label_map(1), AFFINE)
        write_image(tmp_path / "theirs" / f"{name}.nii.gz", label_map(), AFFINE)
    return tmp_path


@pytest.fixture
def manifest(folders):
    """A manifest of the references as the test cases good, case and of the training case other."""
    write_image(folders / "theirs" / "other.nii.gz", label_map(), AFFINE)
    cases = [
        {
            "id": name,
            "patient": "p1",
            "modality": "lge",
            "image": f"theirs/{name}.nii.gz",
            "label": f"theirs/{name}.nii.gz",
            "split": "train" if name == "other" else "test",
        }
        for name in ("good", "case", "other")
    ]
    path = folders / "dataset.json"
    document = {"schema": 1, "classes": ["background", "LV", "myo"], "modalities": {"lge": {}}, "cases": cases}
    path.write_text(json.dumps(document))
    return path


def evaluate(folders, *arguments, reference=None):
    reference = reference or folders / "theirs"
    more = CLASSES if reference.is_dir() else ("--split", "test")
    return main(
        ["evaluate", str(folders / "ours"), str(reference), *more, "--out", str(folders / "out"), *map(str, arguments)]
    )


def damage(folders, what):
    """Make the prediction of `case` wrong in one way."""
    path = folders / "ours" / "case.nii.gz"
    array, affine = label_map(1), AFFINE.copy()
    if what == "missing":
        path.unlink()
        return
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
        return
    if what == "twice":
        write_image(folders / "ours" / "case.nii", array, affine)
        return
    if what == "shape":
        array = array[:-2, :, :-1]
    elif what == "shift":
        affine[0, 3] = 2.5
    elif what == "spacing":
        affine[2, 2] = 5.0
    elif what == "axes":
        affine[0, 0] = -1.5
    elif what == "value":
        array[0, 0, 0] = 7
    elif what == "probabilities":
        array = array.astype(np.float32) * 0.37
    elif what == "4-D":
        array = np.stack([array, array], -1)
    write_image(path, array, affine)


WRONG = {
    "missing": "no prediction case.nii.gz in ",
    "truncated": "truncated",
    "twice": "the same case twice, case.nii and case.nii.gz; keep the one that is right",
    "shape": "got (6, 9, 5) (axis 0 by -2, axis 2 by -1 voxels)",
    "shift": "puts a corner 2.50 mm (2.5 voxels) from where case.nii.gz has it (0.5 voxels are allowed); write",
    "spacing": "its spacing is 1.5 x 1 x 5 mm, the reference's 1.5 x 1 x 3",
    "axes": "its axes run LAS, the reference's RAS",
    "value": "expected label values 0, 1, 2; found 7",
    "probabilities": "expected whole numbers as label values, got 0.37",
    "4-D": "expected a 3D image, got 4D of shape (8, 9, 6, 2)",
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("as_json", [False, True])
def test_one_wrong_prediction_is_a_listed_failure_and_exit_code_1(folders, capsys, what, as_json):
    damage(folders, what)
    assert evaluate(folders, *(["--json"] if as_json else [])) == 1
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("failed: case: ")
    assert WRONG[what] in lines[0]
    document = json.loads(out if as_json else (folders / "out" / "scores.json").read_text(encoding="utf-8"))
    assert {score["case"] for score in document["scores"]} == {"good"}
    assert [failure["case"] for failure in document["failures"]] == ["case"]
    assert f"failed: case: {document['failures'][0]['message']}" == lines[0]
    if not as_json:
        assert "1 case failed" in out


def test_where_nothing_can_be_scored_all_is_named_and_nothing_is_written(folders, capsys):
    for name in ("good", "case"):
        write_image(folders / "ours" / f"{name}.nii.gz", label_map() * 9, AFFINE)
    assert evaluate(folders, "--json") == 2
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.strip().splitlines()] == ["failed", "failed", "unpaired"]
    error = json.loads(out)["error"]
    assert error["exit_code"] == 2
    assert error["message"].startswith("nothing could be scored: 2 failed")
    assert [failure["case"] for failure in json.loads(out)["failures"]] == ["case", "good"]
    assert not (folders / "out").exists()


def test_names_that_match_no_reference(folders, capsys):
    for name in ("good", "case"):
        (folders / "ours" / f"{name}.nii.gz").rename(folders / "ours" / f"{name}_pred.nii.gz")
    assert evaluate(folders) == 2
    err = capsys.readouterr().err
    assert "none of its 2 files is named like one of" in err
    assert "found case_pred, good_pred; expected case, good" in err


def test_one_name_that_matches_no_case_of_the_manifest(folders, manifest, capsys):
    write_image(folders / "ours" / "goood.nii.gz", label_map(), AFFINE)
    write_image(folders / "ours" / "other.nii.gz", label_map(), AFFINE)  # of the other side: left alone
    assert evaluate(folders, reference=manifest) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "goood.nii.gz: matches no case of dataset" in lines[0]
    assert "did you mean good?" in lines[0]


def test_predictions_of_another_side_are_told_the_side(folders, manifest, capsys):
    for name in ("good", "case"):
        (folders / "ours" / f"{name}.nii.gz").unlink()
    write_image(folders / "ours" / "other.nii.gz", label_map(), AFFINE)
    assert evaluate(folders, reference=manifest) == 2
    assert "found other; expected case, good; name the side that was predicted (--split)" in capsys.readouterr().err
    (folders / "ours" / "other.nii.gz").rename(folders / "ours" / "stranger.nii.gz")
    assert evaluate(folders, reference=manifest) == 2
    assert "found stranger; expected case, good; name the dataset that has these cases" in capsys.readouterr().err


def test_test_patients_of_a_manifest_are_in_no_fold(folders, manifest, capsys):
    document = json.loads(manifest.read_text(encoding="utf-8"))
    for number, held_out in enumerate(("good", "case")):
        for case in document["cases"]:
            case |= {name: str(folders / "theirs" / f"{case['id']}.nii.gz") for name in ("image", "label")}
            case |= {"patient": case["id"], "split": "test" if case["id"] == held_out else "train"}
        fold = folders / "runs" / f"fold{number}"
        fold.mkdir(parents=True)
        (fold / "recipe.json").write_text("{}")
        (fold / "dataset.json").write_text(json.dumps(document))
    command = ["evaluate", str(folders / "ours"), str(folders / "runs"), "--out", str(folders / "out")]
    assert main([*command, "--split", "test"]) == 2
    assert "are in no fold; name that manifest in its place: unpaired evaluate" in capsys.readouterr().err
    assert main(command) == 0
    scores = json.loads((folders / "out" / "scores.json").read_text(encoding="utf-8"))
    assert {case["case"] for case in scores["cases"]} == {"good", "case"}


def test_the_same_case_twice_in_the_manifest(folders, manifest, capsys):
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["cases"].append(document["cases"][0])
    manifest.write_text(json.dumps(document))
    assert evaluate(folders, "--json", reference=manifest) == 2
    out, err = capsys.readouterr()
    assert "case id 'good' appears twice" in err
    assert json.loads(out)["error"]["message"] in err


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_an_empty_folder(folders, capsys, side):
    for file in (folders / side).iterdir():
        file.unlink()
    assert evaluate(folders, "--json") == 2
    out, err = capsys.readouterr()
    assert f"{side}, found none" in err
    assert f"{side}, found none" in json.loads(out)["error"]["message"]


def test_a_tilted_reference_has_no_spacing(folders, capsys):
    tilted = AFFINE.copy()
    tilted[1, 2] = 0.6
    for folder in ("ours", "theirs"):  # by nibabel: `write_image` refuses such an affine
        nib.save(nib.nifti1.Nifti1Image(label_map(), tilted), folders / folder / "case.nii.gz")
    assert evaluate(folders) == 1
    assert "sheared by 11.3 degrees" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tolerance", "x"), "expected tolerances in mm"),
        (("--tolerance", "-1"), "0 mm or more"),
        (("--tolerance", "1", "1.0"), "each tolerance once"),
        (("--tolerance", "RV=2"), "'RV', which is not a foreground class"),
        (("--tolerance", "LV=2", "LV=3"), "each class's tolerance once"),
        (("--show", "hd96"), "did you mean hd95"),
        (("--preset", "csa", "csa"), "each preset once"),
        (("--workers", "-1"), "workers >= 0"),
        (("--split", "test"), "a folder of label maps has no sides, got split 'test'"),
    ],
)
def test_options_that_make_no_sense(folders, capsys, arguments, message):
    assert evaluate(folders, *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_folder_held_against_itself_is_warned_of(folders, capsys, tmp_path):
    here = next(path for path in folders.iterdir() if path.is_dir())
    words = ["evaluate", str(here), f"{here}/../{here.name}", "--classes", "1:LV,2:myo", "--out", str(tmp_path / "out")]
    main(words)
    said = " ".join("".join(capsys.readouterr()).split())
    assert "Predictions and references are the same folder: each label map was held against itself." in said


def test_every_column_is_in_the_files_and_in_the_json(folders, capsys):
    arguments = ("--tolerance", "1", "LV=1.5", "--preset", "csa", "transunet", "--surface", "area")
    assert evaluate(folders, *arguments) == 0
    table = capsys.readouterr().out
    assert "NSD 1 mm" in table
    assert "transunet HD95 vox" in table
    assert evaluate(folders, *arguments, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "folder": str(folders / "out"),
        **json.loads((folders / "out" / "scores.json").read_text(encoding="utf-8")),
    }
    assert "area surface" in document["definitions"]
    assert "transunet: HD95 in units of voxels" in document["definitions"]
    with (folders / "out" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lv, myo = rows[:2]
    assert float(lv["dice"]) == pytest.approx(0.75)
    assert float(lv["iou"]) == pytest.approx(0.6)
    assert float(lv["nsd@own"]) == 1.0
    assert myo["nsd@own"] == ""
    assert float(lv["csa:hd_voxels"]) == 1.0
    with (folders / "out" / "patients.csv").open(newline="") as file:
        patients = list(csv.DictReader(file))
    assert [row["patient"] for row in patients] == ["case", "good"]
    assert float(patients[0]["dice"]) == pytest.approx((0.75 + 1.0) / 2)


def test_show_chooses_the_columns(folders, capsys):
    assert evaluate(folders, "--show", "iou", "volume_difference_ml") == 0
    out = capsys.readouterr().out
    assert "IoU" in out
    assert "volume off ml" in out
    assert "HD95" not in out.split("Distances")[0]
    assert evaluate(folders, "--show", "all") == 0
    assert "NSD 2 mm" in capsys.readouterr().out


def test_float_files_of_whole_numbers_are_scored(folders):
    write_image(folders / "ours" / "case.nii.gz", label_map(1).astype(np.float32), AFFINE)
    assert evaluate(folders) == 0


def test_a_full_disk_leaves_the_earlier_scores_as_they_were(folders, monkeypatch, capsys):
    """Never new tables beside an older scores.json."""
    assert evaluate(folders) == 0
    before = {file.name: file.read_bytes() for file in (folders / "out").iterdir()}
    write_image(folders / "ours" / "case.nii.gz", label_map(2), AFFINE)
    whole = Path.write_bytes

    def full(path, content):
        if path.name.endswith("scores.json"):
            raise OSError(28, "No space left on device")
        return whole(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert evaluate(folders) == 2
    assert "scores.json: No space left on device" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in (folders / "out").iterdir()} == before
    assert evaluate(folders) == 0
    assert all((folders / "out" / name).read_bytes() != content for name, content in before.items())


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("nothing", "expected a manifest, a run or a folder of label maps to score against, found no folder at {}; "),
        ("theirs/good.nii.gz", "to score against, found no folder at {}; check the path"),
        ("runs", "found a folder of runs at {}; name one, such as {}/csa"),
        ("theirs", 'folders of label maps need their classes: --classes "1:LV,2:myo"'),
    ],
)
def test_what_to_score_against_has_to_be_there(folders, capsys, reference, told):
    (folders / "runs" / "csa").mkdir(parents=True)
    (folders / "runs" / "csa" / "recipe.json").write_text("{}")
    assert main(["evaluate", str(folders / "ours"), str(folders / reference)]) == 2
    assert told.replace("{}", str(folders / reference)) in capsys.readouterr().err
