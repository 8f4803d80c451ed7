"""Rows of a study that a program makes in a recipe's place: how it is called, when it is done, how it fails."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_study import hearts

from processes import ended
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.experiments import budgets, calling, guard, results, work
from unpaired.experiments.curve import StudyCurve
from unpaired.experiments.curve_figure import curve_alt
from unpaired.experiments.program import Program
from unpaired.experiments.results import StudyResults
from unpaired.experiments.run import study
from unpaired.experiments.study import Row, Study
from unpaired.experiments.tables import curve_table
from unpaired.experiments.work import ELSEWHERE, TAKEN

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


def run(
    rows: tuple[Row, ...], phantom: Dataset, out: Path, minutes: float | tuple[float, ...] | None = None
) -> StudyResults:
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


def sum_of(folder: Path, row: str, *only: str) -> float:
    """The seconds that a row's record in the study of that folder has, of all or only of some parts of its work."""
    seconds = json.loads((folder / "out" / "runs" / "own" / row / "seed0.json").read_text())["seconds"]
    return sum(value for name, value in seconds.items() if not only or name in only)


def test_a_programs_steps_are_those_that_it_says(tmp_path: Path, phantom: Dataset) -> None:
    """Its training too, so that what remains of its call is prediction."""
    said = {"program": "theirs 2.1", "trained": {"steps": 851, "seconds": 0.1}}
    slow = COPIES + "import time\ntime.sleep(0.3)\n"
    says = slow + f"(out / 'versions.json').write_text({json.dumps(said)!r})\n"
    talks, silent = run(programs(tmp_path, talks=says, silent=slow), phantom, tmp_path / "out").rows
    assert (talks.steps, silent.steps) == ((851,), ())
    assert talks.training_seconds == 0.1, "it slept for longer than it says that it trained"
    assert talks.other_seconds == pytest.approx(sum_of(tmp_path, "talks") - 0.1)
    assert silent.training_seconds == sum_of(tmp_path, "silent", "train")


def test_a_programs_content_is_of_the_scripts_that_it_needs(tmp_path: Path) -> None:
    """An edit of another script in its folder costs no run; one of a module's module does."""
    script = tmp_path / "peer.py"
    for file, text in (("peer.py", "import near"), ("near.py", "import far"), ("far.py", ""), ("other.py", "")):
        (tmp_path / file).write_text(text)
    program = Program((sys.executable, str(script), "--small"))
    before, whole = program.content(), program.content(whole_folder=True)
    (tmp_path / "other.py").write_text("edited = True")
    assert program.content() == before
    assert program.content(whole_folder=True) != whole
    (tmp_path / "far.py").write_text("edited = True")
    assert program.content() != before
    assert before["program"][1:] == [before["program"][1], "--small"]


def test_what_a_program_fails_at_is_told_and_stops_no_other(tmp_path: Path, phantom: Dataset) -> None:
    half = COPIES + "next((out / 'predictions').iterdir()).unlink()\n"
    gone = Row("gone", Program(("no-such-program",)))
    made = run((*programs(tmp_path, fails=FAILS, half=half, silent="", good=COPIES), gone), phantom, tmp_path / "out")
    failures = {name.split(", ")[1]: reason for name, reason in made.failures}
    assert "failed (exit code 3)" in failures["fails"]
    assert "1 case could not be scored" in failures["half"]
    assert "wrote no folder" in failures["silent"]
    assert "no-such-program: can't be started" in failures["gone"]
    assert {row.name: row.done for row in made.rows}["good"] == 1


STUBBORN = """
exec 3> "$1"
trap '' $2
sleep 100 &
echo ready >&3
wait
sleep 100
"""
"""Ignores the signals $2, as what it starts does, and holds the pipe $1 as long as either lives."""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to ignore")
@pytest.mark.parametrize("ignored", ["INT", "INT TERM"])
def test_a_program_that_ignores_ctrl_c_ends_with_all_that_it_started(
    ignored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "SECONDS", (0.2, 0.2))
    pipe, main_thread = tmp_path / "pipe", threading.main_thread().ident
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def interrupt() -> None:
        select.select([reading], [], [], 60)
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            calling.call(["sh", "-c", STUBBORN, "sh", str(pipe), ignored])
    finally:
        signal.signal(signal.SIGINT, before)
    interrupting.join()
    assert os.read(reading, 100) == b"ready\n"
    assert select.select([reading], [], [], 60)[0]
    assert os.read(reading, 100) == b"", "nobody holds the pipe any more"
    os.close(reading)


PATIENT = """
exec 3> "$1"
echo ready >&3
test -z "$2" || kill -9 "$2"
sleep 60
sleep 60
"""
"""Ends at SIGINT, as what it starts does, and holds the pipe $1 as long as either lives; first it kills process $2."""
CALLS = """
import os, sys
from unpaired.experiments.calling import call
caller = str(os.getpid()) if sys.argv[1] == "kills" else ""
call([*sys.argv[2:], caller])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
@pytest.mark.parametrize("who", ["kills", "test"])
def test_a_program_whose_caller_is_killed_ends_with_all_that_it_started(who: str, tmp_path: Path) -> None:
    """Killed from outside, and by the program itself, before a caller could say which process it has started."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    caller = subprocess.Popen([sys.executable, "-c", CALLS, who, "sh", "-c", PATIENT, "sh", str(pipe)])
    with ended(caller):
        select.select([reading], [], [], 60)
        assert os.read(reading, 100) == b"ready\n"
        if who == "kills":
            assert caller.wait() == -signal.SIGKILL
    assert select.select([reading], [], [], 60)[0]
    assert os.read(reading, 100) == b"", "nobody holds the pipe any more"
    os.close(reading)


KILLS_ITS_PARENT = "sleep 0.5; kill -9 $PPID; sleep 60"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_a_program_whose_guard_is_killed_has_failed() -> None:
    with pytest.raises(InputError, match="the process that watches over it was killed"):
        calling.call(["sh", "-c", KILLS_ITS_PARENT])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_a_group_that_ignores_signals_is_killed() -> None:
    stubborn = ["sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 0.05; done"]
    process = subprocess.Popen(stubborn, stdout=subprocess.PIPE, process_group=0)
    with ended(process):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        guard.end_group(process.pid, (0.1, 0.1))
        assert process.wait() == -signal.SIGKILL


HOLDS = """
import fcntl, pathlib, sys
file = pathlib.Path(sys.argv[1]).open("a+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
"""Locks a file until its standard input ends."""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no lock that ends with its process")
def test_a_call_leaves_alone_what_another_is_at_work_on(tmp_path: Path, phantom: Dataset) -> None:
    """The other call is a small process that holds the lock of a run."""
    rows, out = programs(tmp_path, slow=COPIES, quick=COPIES), tmp_path / "out"
    lock = out / "runs" / "own" / "slow" / "seed0.lock"
    lock.parent.mkdir(parents=True)
    command = [sys.executable, "-c", HOLDS, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        made = run(rows, phantom, out)
        assert dict(made.failures) == {"own, slow, seed 0": ELSEWHERE}
        assert {row.name: row.done for row in made.rows} == {"slow": 0, "quick": 1}
        assert not lock.with_suffix(".json").exists()  # it is the other's to note what becomes of it
        other.communicate()
    assert not run(rows, phantom, out).failures


def test_what_another_call_did_meanwhile_is_not_done_again(
    tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both rows are missing when the call looks; when it comes to the first, that is done."""
    answers = iter([False, False, True, False])
    monkeypatch.setattr(work, "is_done", lambda cell: next(answers))
    said: list[str] = []
    plan = Study("programs", programs(tmp_path, one=COPIES, two=COPIES), scores=("dice",))
    study(plan, hearts(phantom), tmp_path / "out", device="cpu", viewer_mb=0, worker=False, say=said.append)
    assert "own, one, seed 0: done by another call (1 of 2)" in said
    assert [path.parts[-3] for path in (tmp_path / "out" / "runs").rglob("called.json")] == ["two"]


def test_a_folder_that_another_call_took_for_another_content_stays_that_ones(tmp_path: Path, phantom: Dataset) -> None:
    """As where a row is edited and the study called again while the first call is at work on rows before it."""
    out, edited = tmp_path / "out", tmp_path / "edited"
    rows = (*programs(tmp_path, one=COPIES), *programs(tmp_path, two=COPIES))
    other = replace(rows[1], recipe=replace(programs(edited, two=f"{COPIES}# edited")[0].recipe))
    record = out / "runs" / "own" / "two" / "seed0.json"
    texts: list[str] = []

    def told(line: str) -> None:
        if line == "own, one, seed 0: done":
            assert not run((other,), phantom, out).failures
            texts.append(record.read_text())

    plan = Study("programs", rows, scores=("dice",))
    made = study(plan, hearts(phantom), out, device="cpu", viewer_mb=0, worker=False, say=told)
    assert dict(made.failures) == {"own, two, seed 0": TAKEN}
    assert [record.read_text()] == texts
    again = run(rows, phantom, out)
    assert not again.failures
    assert {row.name: row.done for row in again.rows} == {"one": 1, "two": 1}
    assert [path.parts[-2] for path in sorted((out / "runs").rglob("called.json"))] == ["seed0", "seed0", "seed0-2"]


def test_its_minutes_are_its_estimate(tmp_path: Path, phantom: Dataset) -> None:
    plan = Study("programs", programs(tmp_path, one=COPIES), scores=("dice",), minutes=5)
    made = study(plan, hearts(phantom), tmp_path / "out", device="cpu", worker=False, estimate=True, hours=1)
    assert made.estimate is not None
    assert [(row.seconds, row.fitting, row.note) for row in made.estimate.rows] == [(300.0, 1, "a program")]
    assert "5:00" in made.table().markdown()
    assert made.told() == "nothing was run; the same command without --estimate does"
    part = study(plan, hearts(phantom), tmp_path / "out", device="cpu", worker=False, estimate=True, shard="2/2")
    assert part.estimate is not None
    assert [row.left for row in part.estimate.rows] == [0]


def test_several_budgets_are_a_table_each_and_a_curve(
    tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's figure is drawn, which takes a second."""
    monkeypatch.setattr(budgets, "write_figure", lambda *arguments: None)
    plan, out = Study("programs", programs(tmp_path, one=COPIES, two=COPIES), scores=("dice",)), tmp_path / "out"
    options = {"device": "cpu", "viewer_mb": 0, "worker": False, "minutes": (10, 5)}
    made = study(plan, hearts(phantom), out, **options)
    assert made.curve is not None
    assert made.curve.minutes == [5, 10]
    assert {(point.row, point.modality) for point in made.curve.points} == {
        (row, modality) for row in ("one", "two") for modality in ("bssfp", "lge")
    }
    assert [row.name for row in made.rows] == ["one, 5 min", "two, 5 min", "one, 10 min", "two, 10 min"]
    called = out / "10min" / "runs" / "own" / "two" / "seed0" / "called.json"
    assert json.loads(called.read_text())[-1] == "10"
    page = (out / "study.html").read_text()
    assert 'href="5min/study.html"' in page
    assert "| bssfp | one | **100.00** | **100.00** |" in (out / "curve.md").read_text()
    assert len((out / "curve.csv").read_text().splitlines()) == 1 + len(made.curve.points)
    assert json.loads((out / "study.json").read_text())["curve"]["baseline"] == "one"
    later = study(plan, hearts(phantom), tmp_path / "later", **options, hours=1e-9)
    assert sum(row.done for row in later.rows) == 0
    estimate = study(plan, hearts(phantom), out, **options, estimate=True)
    assert len(estimate.tables()) == 2


COUNTS = COPIES + "(pathlib.Path(sys.argv[0]).parent / 'calls').open('a').write(sys.argv[-1] + ' ')\n"
"""Notes the minutes of each of its calls."""


def test_more_budgets_keep_what_is_done(tmp_path: Path, phantom: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was made when there was one budget, which lies in no folder of its own; and one of several alone."""
    monkeypatch.setattr(results, "comparable", lambda done: ([], []))  # which takes time
    rows, out = programs(tmp_path, peer=COUNTS), tmp_path / "out"
    calls: list[list[str]] = []
    for minutes, done in ((5, 1), ((5, 10), 2), ((5, 10, 20), 3), (10, 1), ((20, 5), 2)):
        made = run(rows, phantom, out, minutes)
        assert not made.failures
        assert sum(row.done for row in made.rows) == done
        calls.append((tmp_path / "peer" / "calls").read_text().split())
    assert calls == [["5"], ["5", "10"], *[["5", "10", "20"]] * 3]


def test_a_curve_says_where_rows_differ_and_what_is_missing() -> None:
    def cell(method: str, mean: float | None, p: float | None) -> dict[str, Any]:
        own = {"method": method, "mean": mean, "difference": None, "p_holm": p, "patients": 8}
        return {"score": "dice", "class": "mean", "modality": "lge", **own}

    early = {"baseline": "a", "columns": [cell("a", 0.8, None), cell("b", 0.9, 0.01), cell("c", None, None)]}
    late = {
        "baseline": "a",
        "columns": [cell("a", 0.95, None), cell("b", 0.9, 0.2), {**cell("c", 1, 0), "class": "LV"}],
    }
    curve = StudyCurve.of({5.0: early, 10.0: late})
    assert curve is not None
    assert curve_table(curve).markdown().splitlines()[:4] == [
        "| modality | row | 5 min | 10 min |",
        "|---|---|---:|---:|",
        "| lge | a | 80.00 | **95.00** |",
        r"| lge | b | **90.00**\* | 90.00 |",
    ]
    assert StudyCurve.of({}) is None


def test_a_row_without_a_modality_has_no_line_there() -> None:
    """One that is trained on LGE alone stands where the study has it, and is left out of the other modality."""
    own = {"score": "dice", "class": "mean", "difference": None, "p_holm": None, "patients": 8}
    means = {"bssfp": {"a": 0.7, "b": None, "c": 0.72}, "lge": {"a": 0.8, "b": 0.9, "c": 0.9000001}}
    cells = [
        {**own, "method": method, "modality": modality, "mean": mean}
        for modality, row in means.items()
        for method, mean in row.items()
    ]
    curve = StudyCurve.of({5.0: {"baseline": "a", "columns": cells}})
    assert curve is not None
    assert curve.rows == ["a", "b", "c"]
    assert [[*row[:2], row[2].text, row[2].best] for row in curve_table(curve).rows] == [
        ["bssfp", "a", "70.00", False],
        ["bssfp", "c", "72.00", True],
        ["lge", "a", "80.00", False],
        ["lge", "b", "90.00", True],
        ["lge", "c", "90.00", True],
    ]
    said = curve_alt(curve)
    assert "c on bssfp: 72.0 (5 min); a on lge" in said
    assert "b on bssfp" not in said


def test_a_program_begins_with_no_run() -> None:
    first = Row("first", Program(("a",)))
    with pytest.raises(InputError, match="is a program's, which begins with no run"):
        Study("programs", (first, replace(first, name="second", begins_with="first")))
