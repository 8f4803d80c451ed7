"""Stored scores are noticed to be of other files, and of nothing else: by content, whatever copying did to times."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from unpaired.cli import main
from unpaired.comparison.contenders import read_contender
from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.manifest import write_dataset
from unpaired.data.prediction_record import Record, Source, Written, write_record
from unpaired.errors import InputError
from unpaired.scores.evaluate import evaluate_folders
from unpaired.scores.freshness import require_fresh, stale_predictions, stale_references, unchecked
from unpaired.scores.scores import ScoredFiles
from unpaired.scores.tables import read_evaluation, write_evaluation

CLASSES = {1: "LV"}


def label_map(shift=0):
    array = np.zeros((8, 9, 6), np.uint8)
    array[2 + shift : 5 + shift, 3:6, 2:4] = 1
    return array


@pytest.fixture
def run(tmp_path):
    """Predictions of a, b and (broken) c, none of d; references of all; their scores stored beside."""
    for name in "abcd":
        write_image(tmp_path / "references" / f"{name}.nii.gz", label_map(), np.eye(4))
    for name in "ab":
        write_image(tmp_path / "run" / "predictions" / f"{name}.nii.gz", label_map(1), np.eye(4))
    (tmp_path / "run" / "predictions" / "c.nii.gz").write_bytes(b"broken")
    evaluation = evaluate_folders(tmp_path / "run" / "predictions", tmp_path / "references", CLASSES)
    write_evaluation(evaluation, tmp_path / "run" / "evaluation")
    return tmp_path / "run"


def stored(run):
    return read_evaluation(run / "evaluation")


def references(run):
    return {name: run.parent / "references" / f"{name}.nii.gz" for name in "abcd"}


def stale(run):
    one = stored(run)
    found = [*stale_predictions(one, run / "predictions"), *stale_references(one, references(run))]
    return [(item.case, item.what) for item in found]


def test_scores_say_what_they_were_made_of(run):
    sums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in run.parent.rglob("*.nii.gz")}
    known = {one.case: one for one in stored(run).files}
    a, c = run / "predictions" / "a.nii.gz", run / "predictions" / "c.nii.gz"
    reference = references(run)
    assert known["a"] == ScoredFiles("a", "a.nii.gz", sums[a], "a.nii.gz", sums[reference["a"]])
    assert known["c"].prediction_sha256 == sums[c], "failures too"
    assert known["d"] == ScoredFiles("d", None, None, "d.nii.gz", sums[reference["d"]])
    assert list(known) == ["a", "b", "c", "d"]
    assert stale(run) == []


def test_other_times_are_no_change(run, tmp_path):
    for number, path in enumerate(run.rglob("*.nii.gz")):
        os.utime(path, (10**9 + number, 10**9 + number))
    assert stale(run) == []
    shutil.copytree(run, tmp_path / "copy", copy_function=shutil.copyfile)
    assert (
        list(stale_predictions(read_evaluation(tmp_path / "copy" / "evaluation"), tmp_path / "copy/predictions")) == []
    )


def test_a_change_shows_whatever_its_time_and_size(run):
    path = run / "predictions" / "a.nii.gz"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert stale(run) == [("a", "prediction changed")]


def test_a_prediction_that_came_since_is_not_the_failure_that_was_stored(run):
    write_image(run / "predictions" / "d.nii.gz", label_map(), np.eye(4))
    assert stale(run) == [("d", "prediction came")]


def test_a_file_that_is_gone_says_nothing(run):
    (run / "predictions" / "a.nii.gz").unlink()
    references(run)["b"].unlink()
    assert stale(run) == []
    assert unchecked(stored(run), run / "predictions") == ""
    shutil.rmtree(run / "predictions")
    assert stale(run) == []
    for folder in (run / "predictions", None):
        assert "are not there" in unchecked(stored(run), folder)


def test_a_reference_that_changed(run):
    write_image(references(run)["b"], label_map(2), np.eye(4))
    assert stale(run) == [("b", "reference changed")]


def test_scores_of_an_older_version_are_read_and_not_judged(run):
    path = run / "evaluation" / "scores.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["files"]
    path.write_text(json.dumps(document))
    write_image(run / "predictions" / "a.nii.gz", label_map(2), np.eye(4))
    assert stored(run).files == ()
    assert stale(run) == []
    assert "didn't note which label maps" in unchecked(stored(run), run / "predictions")


def test_one_line_names_the_cases_and_the_way_out(run):
    for name in "abd":
        write_image(run / "predictions" / f"{name}.nii.gz", label_map(2), np.eye(4))
    write_image(run / "predictions" / "c.nii.gz", label_map(2), np.eye(4))
    with pytest.raises(InputError) as error:
        require_fresh(stored(run), run / "evaluation", run / "predictions")
    message = str(error.value)
    assert "\n" not in message
    assert "the prediction changed of a, b, c; the prediction came of d" in message
    assert f"unpaired evaluate {run / 'predictions'}" in message


def test_a_stale_method_is_no_contender(run):
    assert len(read_contender(str(run)).seeds) == 1
    write_image(run / "predictions" / "a.nii.gz", label_map(2), np.eye(4))
    for place in (run, run / "evaluation", run / "evaluation" / "scores.json"):
        with pytest.raises(InputError, match="scores of other files"):
            read_contender(str(place))


def compare(run, capsys, *more):
    shutil.copytree(run, run.parent / "other", dirs_exist_ok=True)
    code = main(
        ["compare", str(run), str(run.parent / "other"), "--no-report", "--out", str(run.parent / "out"), *more]
    )
    return code, capsys.readouterr()


@pytest.mark.parametrize("what", ["predictions", "references"])
def test_compare_refuses_them(run, capsys, what):
    for name in "cd":  # failures
        write_image(run / "predictions" / f"{name}.nii.gz", label_map(), np.eye(4))
    write_evaluation(evaluate_folders(run / "predictions", run.parent / "references", CLASSES), run / "evaluation")
    more = ("--reference", str(run.parent / "references"), "--classes", "1:LV")
    assert compare(run, capsys, *more)[0] == 0
    shutil.rmtree(run.parent / "out")
    changed = run if what == "predictions" else run.parent
    write_image(changed / what / "b.nii.gz", label_map(2), np.eye(4))
    code, said = compare(run, capsys, *more)
    assert code == 2
    assert said.err.count("\n") == 1
    assert f"the {what[:-1]} changed of b" in said.err
    assert not (run.parent / "out").exists()


def test_a_case_that_lies_there_twice_is_no_prediction_that_came(run):
    """It failed when it was scored, and scoring it again would change nothing."""
    for suffix in (".nii", ".nii.gz"):
        write_image(run / "predictions" / f"d{suffix}", label_map(), np.eye(4))
    evaluation = evaluate_folders(run / "predictions", run.parent / "references", CLASSES)
    assert "the same case twice, d.nii and d.nii.gz" in str(evaluation.failures)
    assert list(stale_predictions(evaluation, run / "predictions")) == []


def test_a_label_map_of_another_image_is_told(tmp_path, capsys):
    """A scan was replaced after it was predicted; the scores are those of what lies there, and a person hears of it."""
    cases = []
    for name in "abc":
        image, label = (tmp_path / f"{name}{what}.nii.gz" for what in ("", "_label"))
        write_image(image, label_map(), np.eye(4))
        write_image(label, label_map(), np.eye(4))
        cases.append(CaseEntry(name, name, "ct", image, label, split="test"))
    manifest = write_dataset(Dataset("d", ("background", "LV"), {"ct": Modality()}, tuple(cases)), tmp_path)
    for case, of in zip(cases, (cases[0].image, cases[1].image, "series 1.2.3"), strict=True):
        prediction = tmp_path / "out" / f"{case.id}.nii.gz"
        write_image(prediction, label_map(), np.eye(4))
        sha256 = "0" * 64 if isinstance(of, str) else content_hash(of)
        write_record(Record(case.id, "ct", {}, [], {"background": 0, "LV": 1}, Source(str(of), sha256)), prediction)
    assert main(["evaluate", str(tmp_path / "out"), str(manifest)]) == 0
    assert "warning" not in capsys.readouterr().err
    write_image(cases[1].image, label_map(1), np.eye(4))
    cases[2].image.unlink()
    assert main(["evaluate", str(tmp_path / "out"), str(manifest), "--out", str(tmp_path / "again")]) == 0
    assert capsys.readouterr().err.startswith("warning: out: By their records the label maps of b were made")
    assert "label maps of b were made" in read_evaluation(tmp_path / "again").remarks[0]


def test_label_maps_that_stand_in_each_others_place_are_told(tmp_path):
    """Two folders have no images to compare; a record's case that is no name here is a scan's before it was renamed."""
    for name, case in (("a", "b"), ("b", "a"), ("c", "c"), ("d", "scan4_0000"), ("e", None)):
        for folder in ("predictions", "references"):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_image(tmp_path / folder / f"{name}.nii.gz", label_map(), np.eye(4))
        path = tmp_path / "predictions" / f"{name}.nii.gz"
        if case is not None:
            write_record(Record(case, "ct", {}, [], {"background": 0, "LV": 1, "myo": 2}), path)
    scored = evaluate_folders(tmp_path / "predictions", tmp_path / "references", {1: "LV", 2: "myo"})
    (said,) = scored.remarks
    assert "of other cases: a (of b), b (of a); give each" in said
    (tmp_path / "predictions" / "a.prediction.json").write_text("{")
    (tmp_path / "predictions" / "b.prediction.json").unlink()
    again = evaluate_folders(tmp_path / "predictions", tmp_path / "references", {1: "LV", 2: "myo"})
    assert not again.remarks
    assert [failure.case for failure in again.failures] == ["a"], "the damaged record is told once, as a failure"


def test_label_maps_that_were_replaced_are_told(tmp_path, capsys):
    """A person may have corrected one, so it is scored; what its record says of other bytes is said."""
    for name in "abcd":
        for folder in ("predictions", "references"):
            write_image(tmp_path / folder / f"{name}.nii.gz", label_map(), np.eye(4))
        path = tmp_path / "predictions" / f"{name}.nii.gz"
        written = None if name == "d" else Written.of(path.read_bytes())  # d is of a version that didn't note it
        write_record(Record(name, "ct", {}, [], {"background": 0, "LV": 1}, label_map=written), path)
    command = ["evaluate", str(tmp_path / "predictions"), str(tmp_path / "references"), "--classes", "1:LV"]
    assert main([*command, "--out", str(tmp_path / "before")]) == 0
    assert "warning" not in capsys.readouterr().err
    for name in "bd":
        write_image(tmp_path / "predictions" / f"{name}.nii.gz", label_map(1), np.eye(4))
    path = tmp_path / "predictions" / "c.nii.gz"
    path.write_bytes(path.read_bytes()[:30])
    assert main([*command, "--out", str(tmp_path / "after")]) == 1, "c can't be read"
    said = capsys.readouterr().err
    warning = (
        "warning: predictions: The label maps of b, c were corrected, cut short or replaced since they were predicted"
    )
    assert warning in said
    scored = read_evaluation(tmp_path / "after")
    assert {score.case: score.dice for score in scored.scores} == {
        "a": 1.0,
        "b": pytest.approx(2 / 3),  # two of three slices are shared
        "d": pytest.approx(2 / 3),
    }
    assert scored.remarks[0].endswith("delete the record of one that has other label values, or predict again.")
