"""The campaigns' own machinery: that they count, that they see what is wrong, that equal seeds do equal things."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resource", reason="campaigns fork and limit processes, which Windows can't")

from campaigns import fuzz, hostile_text, kills, orientation, received, thousand_cases, workspace
from campaigns.commands import Ended, content, difference, leftovers, snapshot, start
from campaigns.tally import Tally, report
from unpaired import cli


def test_a_fault_or_nothing_tried_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def right(seed: int, count: int, folder: Path, tally: Tally) -> None:
        tally.add("read", "right", count)

    def wrong(seed: int, count: int, folder: Path, tally: Tally) -> None:
        right(seed, count, folder, tally)
        tally.fault("read", f"4 voxels, seed {seed}")

    def interrupted(seed: int, count: int, folder: Path, tally: Tally) -> None:
        right(seed, count, folder, tally)
        raise KeyboardInterrupt

    assert report(right, "a", 0, 3, tmp_path) == 0
    assert report(wrong, "b", 7, 3, tmp_path) == 1
    assert report(lambda seed, count, folder, tally: None, "c", 0, 1, tmp_path) == 1
    assert report(interrupted, "d", 0, 2, tmp_path) == 0
    said = capsys.readouterr().out
    assert "read  3 right, 1 WRONG" in said
    assert "WRONG read: 4 voxels, seed 7" in said
    assert "d: 2 tried, 0 wrong, seed 0, 0.0 minutes, stopped early" in said


@pytest.mark.parametrize("number", range(4))
def test_the_oracle_of_orientation_sees_a_mirrored_and_a_shifted_volume(number: int) -> None:
    scan = orientation.truth(np.random.default_rng(number), number, "image")
    array, affine = scan.stored((2, 0, 1), (True, False, True))
    assert scan.wrong_voxels(array, affine) == 0
    assert scan.wrong_voxels(array[::-1], affine) > 0
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 0]
    assert scan.wrong_voxels(array, moved) > 0
    assert scan.wrong_voxels(array.transpose(1, 0, 2), affine) > 0


def test_a_hostile_document_is_another_one_and_comes_back_from_its_seed() -> None:
    sound = b'{"cases": [{"id": "a", "patient": "p"}, {"id": "b", "patient": "q"}], "name": "x"}'
    documents = {hostile_text.mutated(sound, ".json", np.random.default_rng(number)) for number in range(50)}
    assert len(documents) > 40
    assert hostile_text.mutated(sound, ".json", np.random.default_rng(3)) in documents
    rows = b"patient,modality\np1,ct\np2,mr\n"
    for suffix, table in ((".csv", rows), (".tsv", rows.replace(b",", b"\t"))):
        assert len({hostile_text.mutated(table, suffix, np.random.default_rng(number)) for number in range(50)}) > 30


def _talks(arguments) -> int:
    print("said", *arguments)
    return 3


def _breaks(arguments) -> int:
    raise ValueError("no")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_how_a_command_ended_is_told(tmp_path: Path) -> None:
    ended = start(["a", "b"], tmp_path, tmp_path / "said", call=_talks).wait()
    assert (ended.code, ended.output, ended.problem(), ended.problem((3,))) == (
        3,
        "said a b\n",
        "exit code 3: said a b",
        None,
    )
    assert "ValueError: no" in (start([], tmp_path, tmp_path / "said", call=_breaks).wait().problem() or "")
    assert "fault of unpaired" in (Ended(2, "", "x; this is a fault of unpaired, y", 0.1).problem() or "")


def test_snapshots_differ_where_files_do_but_not_in_times(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss,seconds\n1,0.5,3.2\n")
    (tmp_path / "case.json").write_text('{"seconds": 1.5, "shape": [1, 2]}')
    before = snapshot(tmp_path)
    (tmp_path / "log.csv").write_text("step,loss,seconds\n1,0.5,9.9\n")
    (tmp_path / "case.json").write_text('{"seconds": 7.5, "shape": [1, 2]}')
    assert difference(before, snapshot(tmp_path)) is None
    (tmp_path / "case.json").write_text('{"seconds": 1.5, "shape": [1, 3]}')
    (tmp_path / "more.txt").write_text("")
    assert difference(before, snapshot(tmp_path)) == "too much: more.txt; differing: case.json"
    (tmp_path / "log.csv").unlink()
    assert "missing: log.csv" in (difference(before, snapshot(tmp_path)) or "")


def test_states_are_compared_by_their_numbers(tmp_path: Path) -> None:
    import torch

    file = tmp_path / "resume.pt"
    torch.save({"weights": torch.zeros(3), "step": 1}, file)
    zeros = content(file)
    torch.save({"step": 1, "weights": torch.zeros(3)}, file)
    assert content(file) == zeros
    torch.save({"weights": torch.full((3,), 1e-7), "step": 1}, file)
    assert content(file) != zeros


def test_leftovers_are_found(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tmp-ab-1-x").touch()
    assert leftovers(tmp_path) == ["run/.tmp-ab-1-x"]


def test_the_campaigns_commands_are_understood() -> None:
    """None is run here: that their words are those of today's command line."""
    steps = [step.arguments for step in workspace.STEPS.values()]
    documents = [document.command for document in (*fuzz.DOCUMENTS, *received.DOCUMENTS)]
    thousand = [arguments for _, arguments in thousand_cases.COMMANDS]
    for arguments in dict.fromkeys([*steps, *workspace.others(), *documents, *thousand]):
        assert callable(cli._parse(arguments))


def test_every_step_has_its_turns(tmp_path: Path) -> None:
    stages = [workspace.Stage(step, tmp_path, {}, 1.0) for step in workspace.STEPS.values()]
    order = [stage.step.name for stage in workspace.in_turn(stages)]
    assert {name: order.count(name) for name in workspace.STEPS} == {
        step.name: step.turns for step in workspace.STEPS.values()
    }


def test_half_written_files_are_seen(tmp_path: Path) -> None:
    before, place = tmp_path / "before", tmp_path / "place"
    for folder in (before, place):
        (folder / "run").mkdir(parents=True)
        (folder / "run" / "a.nii.gz").write_bytes(b"old")
    stage = workspace.Stage(workspace.STEPS["predict"], before, {"run/b.nii.gz": "x", "run/a.nii.gz": "y"}, 1.0)
    assert kills.half_written(stage, place) == []
    (place / "run" / "b.nii.gz").write_bytes(b"ha")
    (place / "run" / ".tmp-1-2-c.nii.gz").write_bytes(b"ha")
    assert kills.half_written(stage, place) == ["run/b.nii.gz"]
