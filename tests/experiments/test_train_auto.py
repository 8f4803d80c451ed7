"""A plan in a recipe's place: trained within the row's minutes on the labels that it may see, then predicted."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.data.dataset import Dataset
from unpaired.data.split import Split
from unpaired.errors import InputError, Stopped
from unpaired.experiments import program, train_auto
from unpaired.experiments.labels import LabeledShare, OfPatients, ScarceLabels, Simulated
from unpaired.experiments.program import RunProgram
from unpaired.runs.facts import read_run_facts
from unpaired.runs.run import Run
from unpaired.training import planned
from unpaired.training.probe import StepCost


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second, and few are enough; in this process: the command's words are tried as they are called."""
    monkeypatch.setattr(planned, "time_step", lambda *_: StepCost(1.0, 0.1))
    monkeypatch.setattr(planned, "LEAST", 1)

    def call(words: list[str]) -> None:
        assert words[:3] == [sys.executable, "-m", "unpaired.experiments.train_auto"]
        monkeypatch.setattr(sys, "argv", words[2:])
        if train_auto.main():
            raise InputError("exit code 2")

    monkeypatch.setattr(program, "call", call)


def test_a_planned_row_is_trained_on_what_it_sees_and_scored(few_steps: None, phantom: Dataset, tmp_path: Path) -> None:
    seen = ScarceLabels("lge", 1)(phantom, 0)
    row = replace(train_auto.AUTO, seed=3, minutes=0.05)
    seconds = RunProgram("auto", row, seen, tmp_path / "auto", "cpu", (), 1)()
    assert set(seconds) == {"train", "evaluate"}
    run = Run.open(tmp_path / "auto" / "run")
    assert (run.recipe.seed, run.recipe.steps) == (3, 3), "as many steps of a second as fit 0.05 minutes"
    assert Split.of(run.dataset) == Split.of(seen)
    made_by = read_run_facts(tmp_path / "auto").versions or {}
    assert made_by["trained"]["steps"] == 3
    assert made_by["trained"]["seconds"] > 0
    assert {"program", "torch"} <= made_by.keys()
    tested = {case.id for case in seen.of(split="test")}
    assert {
        file.name.removesuffix(".nii.gz") for file in (tmp_path / "auto" / "predictions").glob("*.nii.gz")
    } == tested


def test_data_that_cant_be_planned_for_is_one_line(
    few_steps: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train_auto", str(tmp_path / "none.json"), str(tmp_path / "out")])
    assert train_auto.main() == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("train auto: ")
    assert "none.json" in said[0]


@pytest.mark.parametrize("why", [Stopped("saved at step 2"), KeyboardInterrupt()])
def test_a_row_that_is_stopped_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], why: BaseException
) -> None:
    def stop(**_: object) -> None:
        raise why

    monkeypatch.setattr(train_auto, "train_auto", stop)
    monkeypatch.setattr(sys, "argv", ["train_auto", "data.json", "out"])
    assert train_auto.main() == 130
    assert capsys.readouterr().err == "train auto: stopped; the same command goes on where it can\n"


def test_labels_of_patients_leave_simulated_scans_out(phantom: Dataset) -> None:
    patients = replace(phantom, cases=tuple(replace(case, simulated=False) for case in phantom.cases))
    invented = [replace(case, id=f"s_{case.id}", patient=f"s_{case.id}") for case in phantom.of("lge", "train")]
    both = replace(patients, cases=(*patients.cases, *invented))
    assert len(ScarceLabels("lge", 1, simulated=True)(both, 0).cases) == len(both.cases)
    assert OfPatients(ScarceLabels("lge", 1))(both, 0) == ScarceLabels("lge", 1)(patients, 0)
    assert OfPatients(LabeledShare(0.1))(both, 0) == LabeledShare(0.1)(patients, 0)
    with pytest.raises(InputError, match="no simulated training scan of lge"):
        OfPatients(Simulated(("lge",)))(both, 0)
