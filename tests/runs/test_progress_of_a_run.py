"""Where a run stands, read from its folder: speed, Dice, whether somebody trains it; `watch` shows that."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unpaired import cli
from unpaired.errors import InputError
from unpaired.runs.folder import RunFolder
from unpaired.runs.lock import is_held
from unpaired.runs.progress import read_progress
from unpaired.runs.watch import watch

HOLD = "from unpaired.runs.lock import only_one; from pathlib import Path; import sys\n"
HOLD += "with only_one(Path(sys.argv[1]), 'training there'): print('held', flush=True); sys.stdin.readline()"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of 100 steps, stopped and gone on with (its seconds begin anew), with a last row that is half written."""
    run = RunFolder(tmp_path / "ct and lge")
    run.folder.mkdir()
    run.recipe_file.write_text(json.dumps({"steps": 100}))
    run.log_file.write_text("step,loss,term/ce/ct,lr,seconds\n10,2,1.5,0.1,5\n20,1.5,1,0.1,10\n30,1.25,0.5,0.1,2\n40,1")
    rows = [(10, "LV", 0.5), (10, "RV", 0.0), (20, "LV", 0.75), (20, "RV", 0.0), (30, "LV", 0.7), (30, "RV", 0.001)]
    run.validation_file.write_text("step,modality,class,dice\n" + "".join(f"{s},ct,{c},{d}\n" for s, c, d in rows))
    return run


def test_a_stopped_run(run: RunFolder) -> None:
    progress = read_progress(run.folder)
    assert (progress.state, progress.step, progress.steps) == ("stopped", 40, 100)
    assert progress.seconds_left == 30  # 60 steps at 0.5 s, as between steps 10 and 20
    table = progress.table()
    assert [list(row) for row in table.rows] == [
        ["ct", "mean", "0.350", "0.375", "20"],
        ["ct", "LV", "0.700", "0.750", "20"],
        ["ct", "RV", "0.001", "0.001", "30"],
    ]
    (notice,) = table.notes
    assert notice.startswith("ct: RV is not found (Dice 0.001 in the validations of steps 10 to 30)")


def test_a_run_whose_last_step_was_validated_but_not_logged_is_finished(run: RunFolder) -> None:
    run.recipe_file.write_text(json.dumps({"steps": 30}))
    run.log_file.write_text("step,loss,seconds\n10,2,5\n20,1.5,10\n")
    progress = read_progress(run.folder)
    assert (progress.state, progress.step, progress.terms) == ("finished", 30, {"loss": 1.5})


def test_damaged_logs_say_what_they_can(run: RunFolder) -> None:
    run.log_file.write_text("step,loss,seconds\n10,2,5\n20,1.5,inf\n30,1.25,nan\n")
    run.validation_file.write_text("step,dice\n20,0.5\n")
    progress = read_progress(run.folder)
    assert (progress.step, progress.seconds_left, progress.dice) == (30, None, {})
    assert "step 30/100" in progress.headline()


def test_a_run_that_has_not_logged_anything(run: RunFolder) -> None:
    run.log_file.unlink()
    run.validation_file.unlink()
    progress = read_progress(run.folder)
    assert (progress.state, progress.step, progress.seconds_left) == ("stopped", 0, None)
    assert progress.table().rows == []
    with pytest.raises(InputError, match="expected a run folder"):
        read_progress(run.folder / "absent")


def test_a_run_that_has_not_validated_is_shown_without_a_table(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(run.folder, once=True)
    assert "modality" in capsys.readouterr().out
    run.validation_file.unlink()
    watch(run.folder, once=True)
    assert capsys.readouterr().out.splitlines()[1:] == ["no validation yet"]


def test_a_folder_around_runs_is_none(run: RunFolder) -> None:
    around = run.folder.parent
    with pytest.raises(InputError, match=r"^expected a run folder .* found a folder of runs at .*name one, such as"):
        watch(around, once=True)
    shutil.copytree(run.folder, around / "fold0")
    assert watch(around, once=True).folder == around / "fold0"
    run.folder.rename(around / "fold1")
    with pytest.raises(InputError, match=r"holds 2 runs, and one is needed here; name one of them, such as .*fold0"):
        watch(around, once=True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_it_is_watched_until_nobody_trains_it(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "held\n"
        assert is_held(run.lock)
        assert watch(run.folder, once=True).state == "training"
        assert "ct and lge: training · step 40/100 · loss 1.000 · 0:00:30 left" in capsys.readouterr().out
        trainer.communicate("\n")
    run.log_file.write_text("step,loss,seconds\n90,1,1\n100,0.5,2\n")
    assert cli.main(["watch", str(run.folder), "--every", "0.01"]) == 0
    assert "finished · step 100/100 · loss 0.500\n" in capsys.readouterr().out
    with pytest.raises(InputError, match="above 0 s"):
        watch(run.folder, every=0)
