"""The process that predicts may die: of which case, how often, and what becomes of the others."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processes import ended, temporary_of_a_dead_process
from small_network import SMALL
from unpaired.data.dataset import Dataset
from unpaired.data.images import write_image
from unpaired.errors import InputError, UnwritableError
from unpaired.inference import watch
from unpaired.inference.jobs import CaseResult, Event, Outcome, Remark
from unpaired.inference.predict import predict
from unpaired.inference.request import Request
from unpaired.inference.watch import predict_watched
from unpaired.recipe import build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run
from warm_python import warm_workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to be killed by")

SCRIPT = """
import os, signal, sys, time, types
from pathlib import Path
from unpaired.errors import InputError, UnwritableError
from unpaired.inference.jobs import Agreement, Begun, CaseResult, Remark

def predict_requested(request, tell, finished=()):
    assert "torch" not in sys.modules, "asking and telling take no second"
    out = request.out
    here = out / "worked"
    here.mkdir(parents=True, exist_ok=True)
    tell(Remark("note: once"))
    {before}
    for name in "abc":
        output = out / (name + ".nii.gz")
        if output in finished:
            continue
        tell(Begun(name, output))
        tries = here / name
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        {each}
        tell(CaseResult(name, output, "written", notes=("tilted",) if name == "c" else ()))

fake = types.ModuleType("requested")
fake.predict_requested = predict_requested
sys.modules["unpaired.inference.requested"] = fake
"""
"""A prediction without torch, so that a process starts in no time: it counts its tries and dies where it is told to."""


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Let the process run a prediction that does `before` all cases, and `each` in every case."""

    def script(before: str = "pass", each: str = "pass") -> None:
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.replace("{before}", before).replace("{each}", each))
        begin = f"exec(open({str(file)!r}).read()); from unpaired.inference.worker import serve; sys.exit(serve())"
        monkeypatch.setattr(watch, "BEGIN", f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); {begin}")
        monkeypatch.setattr(watch, "STOP_SECONDS", 60.0)  # the machine may be busy

    return script


def told(request: Request) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    predict_watched(request, events.append)
    outcome = Outcome()
    for event in events:
        outcome.add(event)
    return outcome, events


def tries(out: Path) -> dict[str, int]:
    return {file.name: len(file.read_text()) for file in sorted((out / "worked").iterdir())}


def request(tmp_path: Path) -> Request:
    return Request((Path("run"),), Path("images"), tmp_path / "out")


def test_a_process_that_lives_does_all_cases(scripted: Callable[..., None], tmp_path: Path) -> None:
    scripted()
    outcome, events = told(request(tmp_path))
    assert outcome == Outcome(["a", "b", "c"])
    assert events[0] == Remark("note: once")
    last = events[-1]
    assert isinstance(last, CaseResult)
    assert list(last.lines()) == [f"c: {tmp_path / 'out' / 'c.nii.gz'}", "c: note: tilted"]


def test_a_case_that_kills_its_process_twice_is_a_failure_and_no_other_is(
    scripted: Callable[..., None], tmp_path: Path
) -> None:
    """As the kernel does it when memory is short: SIGKILL."""
    scripted(each='name == "b" and os.kill(os.getpid(), signal.SIGKILL)')
    leftover = tmp_path / "out" / temporary_of_a_dead_process(tmp_path / "out" / "b.nii.gz")
    leftover.parent.mkdir()
    leftover.touch()
    outcome, events = told(request(tmp_path))
    assert (outcome.written, [name for name, _ in outcome.failures]) == (["a", "c"], ["b"])
    ((_, message),) = outcome.failures
    assert message.startswith("its process was killed twice, probably for want of memory (signal 9): close other")
    assert tries(tmp_path / "out") == {"a": 1, "b": 2, "c": 1}
    assert events.count(Remark("note: once")) == 1, "it is said once, however often the process starts"
    assert not leftover.exists(), "what the dead process was writing"


def test_a_case_whose_process_died_once_is_done_again(scripted: Callable[..., None], tmp_path: Path) -> None:
    scripted(each='name == "a" and len(tries.read_text()) == 1 and os.kill(os.getpid(), signal.SIGSEGV)')
    outcome, _ = told(request(tmp_path))
    assert outcome == Outcome(["a", "b", "c"])
    assert tries(tmp_path / "out") == {"a": 2, "b": 1, "c": 1}


def test_a_crash_is_told_from_a_kill(scripted: Callable[..., None], tmp_path: Path) -> None:
    scripted(each='name == "c" and os.kill(os.getpid(), signal.SIGSEGV)')
    outcome, _ = told(request(tmp_path))
    ((name, message),) = outcome.failures
    assert name == "c"
    assert "ended twice without an answer (SIGSEGV): a fault of a library or of unpaired" in message


def test_a_process_that_dies_while_loading_ends_in_one_line(scripted: Callable[..., None], tmp_path: Path) -> None:
    scripted(before="os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(InputError, match="the process that loads the networks was killed twice, probably for want of"):
        told(request(tmp_path))
    scripted(before="os._exit(7)")
    with pytest.raises(InputError, match=r"the process that loads the networks ended twice .*exit code 7"):
        told(request(tmp_path))


@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        ('raise InputError("no such run")', InputError, "^no such run$"),
        ('raise UnwritableError("disk full")', UnwritableError, "^disk full$"),
        ("raise MemoryError", InputError, "^not enough memory"),
        ('raise KeyError("x")', InputError, "^unexpected KeyError: 'x'; this is a fault of unpaired"),
    ],
)
def test_what_the_process_raises_is_raised_here(
    scripted: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, kind: type, says: str
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # for the file with the traceback
    scripted(before=what)
    with pytest.raises(kind, match=says):
        told(request(tmp_path))


def test_a_process_that_is_done_closes_in_peace(
    scripted: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Libraries may take their time; a signal meanwhile would print where Python was."""
    scripted(before='import atexit; atexit.register(lambda: (time.sleep(0.2), (out / "closed").touch()))')
    outcome, _ = told(request(tmp_path))
    assert outcome.written == ["a", "b", "c"]
    assert (tmp_path / "out" / "closed").exists()
    assert capfd.readouterr().err == ""


def test_what_libraries_print_is_no_answer(
    scripted: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scripted(each='print("chatter", flush=True); os.write(1, b"more")')
    outcome, _ = told(request(tmp_path))
    assert outcome.written == ["a", "b", "c"]
    assert "chatter" in capfd.readouterr().err


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own answer to Ctrl-C, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_process_too_and_lets_it_clean_up(
    scripted: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    scripted(
        each='(out / "pid").write_text(str(os.getpid()))\n'
        "        try:\n            time.sleep(60)\n"
        '        finally:\n            (out / "cleaned").touch()'
    )

    def interrupt() -> None:
        wait_until(lambda: (out / "pid").exists() and (out / "pid").read_text() != "")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        told(request(tmp_path))
    assert capfd.readouterr().err == ""
    assert (out / "cleaned").exists()
    assert not is_alive(int((out / "pid").read_text()))


LATE = """from unpaired.inference import worker
    original, came = worker.on_stop, []
    def on_stop(handler):
        if handler is signal.SIG_IGN and not came:
            came.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        original(handler)
    worker.on_stop = on_stop
    raise UnwritableError("disk full")"""
"""Something is wrong, and Ctrl-C comes when the process has said so and is about to ignore it."""


def test_ctrl_c_after_the_answer_shows_no_traceback(
    scripted: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scripted(before=LATE)
    with pytest.raises(UnwritableError, match=r"^disk full$"):
        told(request(tmp_path))
    assert capfd.readouterr().err == ""


def test_the_process_ends_with_the_one_that_watches_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = tmp_path / "script.py"
    file.write_text(
        SCRIPT.replace("{before}", "pass").replace(
            "{each}", '(out / "pid").write_text(str(os.getpid())); time.sleep(60)'
        )
    )
    code = f"""
from pathlib import Path
from unpaired.inference import watch
from unpaired.inference.request import Request
watch.BEGIN = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); exec(open({str(file)!r}).read()); " \
    "from unpaired.inference.worker import serve; sys.exit(serve())"
watch.predict_watched(Request((Path("run"),), Path("images"), Path({str(out)!r})), print)
"""
    watching = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    with ended(watching):
        wait_until(lambda: (out / "pid").exists() and (out / "pid").read_text() != "")
        worker = int((out / "pid").read_text())
        assert is_alive(worker)
    wait_until(lambda: not is_alive(worker))


def killing(names: Sequence[str], mark: Path) -> str:
    """What to run in the process so that it is killed in the real prediction of these cases."""
    return f"""
import json, os, signal, sys; sys.path[:] = json.loads(sys.argv[1])
from pathlib import Path
import unpaired.inference.predict_files as predict_files
original = predict_files._predict
def deadly(job, *arguments):
    with Path({str(mark)!r}).open("a") as file: file.write(job.name)
    if job.name in {list(names)!r}: os.kill(os.getpid(), signal.SIGKILL)
    return original(job, *arguments)
predict_files._predict = deadly
from unpaired.inference.worker import serve
sys.exit(serve())
"""


@pytest.mark.slow
def test_a_folder_of_scans_of_which_one_kills(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole road with networks: what is written is what this process would write."""
    recipe = replace(msbn(), network=SMALL, patch_size=(48, 48), window_overlap=0.0)
    run = Run.create(tmp_path / "run", recipe, phantom)
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    for name in ("a", "b", "c"):
        array = np.random.default_rng(ord(name)).normal(size=(16, 14, 1))
        write_image(tmp_path / "scans" / f"{name}.nii.gz", array, np.diag([1.5, 1.5, 8, 1]))
    lines: list[str] = []
    alone = predict(run, tmp_path / "scans", tmp_path / "alone", modality="ct", device="cpu", worker=False)
    assert alone == Outcome(["a", "b", "c"])
    monkeypatch.setattr(watch, "BEGIN", killing(["b"], tmp_path / "mark"))
    warm_workers(monkeypatch)
    outcome = predict(
        run,
        tmp_path / "scans",
        tmp_path / "out",
        modality="ct",
        device="cpu",
        tell=lambda event: lines.extend(event.lines()),
    )
    assert (outcome.written, [name for name, _ in outcome.failures]) == (["a", "c"], ["b"])
    assert (tmp_path / "mark").read_text() == "abbc"
    assert lines[1].startswith("b: failed: its process was killed twice, probably for want of memory (signal 9)")
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["a.nii.gz", "a.prediction.json", "c.nii.gz", "c.prediction.json"]
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
