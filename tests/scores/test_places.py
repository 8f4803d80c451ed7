"""Scores have a place of their own: two folders side by side, a run, and a place that was named and is taken."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from unpaired.cli import main
from unpaired.comparison.contenders import predictions_of, read_contender
from unpaired.data.images import write_image
from unpaired.errors import InputError
from unpaired.scores.places import evaluation_folder, predictions_folder, require_free_place
from unpaired.scores.tables import read_evaluation

CLASSES = ("--classes", "1:LV")


def label_maps(folder: Path, size: int) -> Path:
    array = np.zeros((6, 7, 5), np.uint8)
    array[:size, :2, :2] = 1
    write_image(folder / "c0.nii.gz", array, np.eye(4))
    return folder


def evaluate(predictions: Path, *more: object) -> int:
    return main(["evaluate", *map(str, (predictions, predictions.parent / "references", *CLASSES, *more))])


def dice(folder: Path) -> float | None:
    return read_evaluation(folder).mean("dice").value


def test_the_default_place_is_the_runs_or_named_after_the_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluation_folder(Path("runs/csa/predictions")) == Path("runs/csa/evaluation")
    assert evaluation_folder(Path("nnunet")) == Path("nnunet_evaluation")
    monkeypatch.chdir(tmp_path)
    assert evaluation_folder(Path()) == tmp_path.with_name(f"{tmp_path.name}_evaluation")
    for folder in (Path("a/predictions"), Path("a/nnunet")):
        assert predictions_folder(evaluation_folder(folder)) == folder


def test_two_folders_side_by_side_keep_their_scores(tmp_path: Path) -> None:
    label_maps(tmp_path / "references", 4)
    for name, size in (("first", 4), ("second", 1)):
        assert evaluate(label_maps(tmp_path / name, size)) == 0
    assert dice(tmp_path / "first_evaluation") == 1.0
    assert dice(tmp_path / "second_evaluation") == pytest.approx(2 * 1 / 5)
    scores = tmp_path / "second_evaluation" / "scores.json"
    assert predictions_of(scores) == tmp_path / "second"
    assert read_contender(str(scores)).name == "second"
    label_maps(tmp_path / "second", 2)
    with pytest.raises(InputError, match="the prediction changed of c0"):
        read_contender(str(scores))


def test_scores_of_other_predictions_are_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label_maps(tmp_path / "references", 4)
    first, second = label_maps(tmp_path / "first", 4), label_maps(tmp_path / "second", 1)
    assert evaluate(first, "--out", tmp_path / "out") == 0
    before = (tmp_path / "out" / "scores.json").read_bytes()
    assert evaluate(second, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert f"holds the scores of the predictions in {first.resolve().as_posix()}; name another place" in said
    assert (tmp_path / "out" / "scores.json").read_bytes() == before
    label_maps(first, 2)
    assert evaluate(first, "--out", tmp_path / "out") == 0, "the same folder, predicted anew"
    shutil.copytree(first, tmp_path / "moved")
    assert evaluate(tmp_path / "moved", "--out", tmp_path / "out") == 0, "the same label maps elsewhere"
    (tmp_path / "out" / "scores.json").write_text("{}")
    require_free_place(tmp_path / "out", second)
