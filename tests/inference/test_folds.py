"""A cross-validation judges its own cases: each by the fold that was not trained with it. Untrained networks."""

from dataclasses import replace
from pathlib import Path

import pytest

import unpaired
from training.tiny_runs import tiny
from unpaired.cli import main
from unpaired.data.dataset import Dataset
from unpaired.data.prediction_record import read_record
from unpaired.data.split import Split
from unpaired.errors import InputError
from unpaired.inference.jobs import Event
from unpaired.recipe import build_method
from unpaired.runs.run import Run


@pytest.fixture
def ct(phantom: Dataset) -> Dataset:
    """The four CT scans, without sides but for the one that the manifest keeps for testing."""
    cases = tuple(replace(case, split=case.split if case.split == "test" else None) for case in phantom.of("ct"))
    return replace(phantom, cases=cases, modalities={"ct": phantom.modalities["ct"]})


@pytest.fixture
def folds(ct: Dataset, tmp_path: Path) -> Path:
    """Two folds: the first two cases change sides, the third trains in both, the test case takes part in none."""
    first, second, third = (case.id for case in ct.cases if case.split is None)
    for number, (train, test) in enumerate(((first, second), (second, first))):
        recipe = tiny(seed=number)
        run = Run.create(tmp_path / "runs" / f"fold{number}", recipe, Split((train, third), test=(test,)).apply(ct))
        run.save_weights(build_method(recipe, run.modalities, len(ct.classes)).network, "best")
    return tmp_path / "runs"


def test_each_case_is_predicted_by_the_fold_that_tested_it(folds: Path, ct: Dataset, tmp_path: Path) -> None:
    first, second, _ = (case.id for case in ct.cases if case.split is None)
    out = folds / "predictions"
    said: list[str] = []

    def tell(event: Event) -> None:
        said.extend(event.lines())

    done = unpaired.predict(folds, ct, out, split="validation", device="cpu", worker=False, tell=tell)
    assert not done.failures
    assert not [line for line in said if line.startswith("warning")]
    assert {path.name for path in out.glob("*.nii.gz")} == {f"{first}.nii.gz", f"{second}.nii.gz"}
    for name, fold in ((first, 1), (second, 0)):
        record = read_record(out / f"{name}.nii.gz")
        assert record is not None
        assert [Path(run["folder"]).name for run in record.runs] == [f"fold{fold}"]
    evaluated = unpaired.evaluate(out, folds, workers=0)
    assert {score.case for score in evaluated.evaluation.scores} == {first, second}
    assert evaluated.folder == folds / "evaluation"


def test_cases_kept_out_of_all_folds_are_predicted_by_all(folds: Path, ct: Dataset, tmp_path: Path) -> None:
    unpaired.predict(folds, ct, tmp_path / "out", split="test", device="cpu", worker=False)
    (file,) = (tmp_path / "out").glob("*.nii.gz")
    record = read_record(file)
    assert record is not None
    assert (record.case, len(record.runs)) == (ct.of(split="test")[0].id, 2)


def test_where_no_case_is_on_a_side_one_line_says_what_to_do(
    folds: Path, ct: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = replace(ct, cases=tuple(case for case in ct.cases if case.split is None))
    with pytest.raises(InputError, match=r"no case is kept out of all 2 folds; --split validation predicts each case"):
        unpaired.predict(folds, known, tmp_path / "out", split="test", device="cpu", worker=False)
    with pytest.raises(InputError, match=r"validation \(out of fold\) or test \(kept out of all\), got 'train'"):
        unpaired.predict(folds, known, tmp_path / "out", split="train", device="cpu", worker=False)
    strangers = replace(ct, cases=tuple(ct.of(split="test")))
    path = unpaired.write_dataset(strangers, tmp_path / "strangers.json")
    arguments = ["predict", str(folds), str(path), str(tmp_path / "out"), "--split", "validation", "--no-worker"]
    assert main([*arguments, "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no case is left out by one of the 2 folds" in error
