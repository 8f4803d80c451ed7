"""Prediction in a process that may die: of memory, of a library's crash. It is started again, and the case is listed.

Not a fork: torch's threads don't survive one, and CUDA refuses it. Not `multiprocessing`: that runs the caller's script
again, which a notebook hasn't and a script without `if __name__ == "__main__"` doesn't expect.
"""

import json
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unpaired.data.parallel import signals_held
from unpaired.errors import InputError, UnwritableError
from unpaired.files import clear_leftovers
from unpaired.inference.jobs import Agreement, Begun, CaseResult, Event, Remark
from unpaired.inference.request import Request
from unpaired.inference.worker import STOPPED
from unpaired.runs.folder import PROBABILITIES

BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from unpaired.inference.worker import serve; sys.exit(serve())"
)
"""What the process runs: with this one's search path, so that it finds what is imported here."""
TRIES = 2
"""How often a case may kill the process before it is listed as failed."""
STOP_SECONDS = 10.0
"""How long the process may take to end: its clean-up after Ctrl-C, libraries that close."""
KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in (Remark, Begun, CaseResult, Agreement)}


class WorkerDied(Exception):  # noqa: N818 (nobody sees it: it becomes a case's failure)
    """The process ended without an answer; `code` is its exit code, minus the signal that ended it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def predict_watched(request: Request, tell: Callable[[Event], None]) -> None:
    """Do what `requested.predict_requested` does, in a process of its own.

    A job whose process died twice is a failure. Raises InputError if the process dies twice without beginning a job,
    and `KeyboardInterrupt` after Ctrl-C, when the process has ended too.
    """
    finished: set[Path] = set()
    remarked: set[str] = set()
    deaths: Counter[Path | None] = Counter()
    while True:
        current: Begun | None = None
        try:
            with _worker(request, finished) as events:
                for event in events:
                    if isinstance(event, Begun):
                        current = event
                    if isinstance(event, CaseResult):
                        current, deaths[None] = None, 0
                        finished.add(event.output)
                    if not isinstance(event, Remark) or event.text not in remarked:
                        tell(event)
                    if isinstance(event, Remark):
                        remarked.add(event.text)
            return
        except WorkerDied as died:
            place = None if current is None else current.output
            deaths[place] += 1
            if current is not None:
                _clear(current.output.parent)
            if deaths[place] < TRIES:
                continue
            if current is None:
                raise InputError(f"the process that loads the networks {reason_of(died.code)}") from died
            finished.add(current.output)
            tell(CaseResult(current.name, current.output, "failed", f"its process {reason_of(died.code)}"))


def reason_of(code: int) -> str:
    """Why a process ended twice without an answer, and what to do."""
    if code in (-signal.SIGKILL, -signal.SIGTERM) if sys.platform != "win32" else ():
        return (
            f"was killed twice, probably for want of memory (signal {-code}): close other programs, or do this case on "
            "a larger machine"
        )
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"ended twice without an answer ({name}): a fault of a library or of unpaired, please report it"


def _clear(folder: Path) -> None:
    """Remove what the dead process was writing."""
    clear_leftovers(folder)
    clear_leftovers(folder / PROBABILITIES)


@contextmanager
def _worker(request: Request, finished: Collection[Path]) -> Generator[Iterator[Event]]:
    """A process that carries out a request, and what it tells; it has ended when the block has."""
    with signals_held():
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", BEGIN, json.dumps(sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    try:
        assert process.stdin is not None  # both pipes were asked for
        with suppress(BrokenPipeError):  # it is dead already, which its exit code says
            pickle.dump((request, finished), process.stdin)
            process.stdin.flush()
        yield _events(process)
    except BaseException:
        if process.poll() is None and sys.platform != "win32":
            process.send_signal(signal.SIGINT)
        raise
    finally:
        _end(process)


def _events(process: subprocess.Popen[bytes]) -> Iterator[Event]:
    """What the process tells, until it says that it is done. Raises what it says is wrong, and `WorkerDied`."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.endswith(b"\n"):
            break  # killed in the middle of a word
        kind, fields = json.loads(line)
        if kind == "done":
            return
        if kind == "wrong":
            raise (UnwritableError if fields["unwritable"] else InputError)(fields["text"])
        yield _event(kind, fields)
    code = process.wait()
    if code == STOPPED:
        raise KeyboardInterrupt
    raise WorkerDied(code)


def _event(kind: str, fields: dict[str, Any]) -> Event:
    paths = {name: Path(fields[name]) for name in ("output", "table") if name in fields}
    notes = {"notes": tuple(fields["notes"])} if "notes" in fields else {}
    values: dict[str, Any] = {**fields, **paths, **notes}
    return KINDS[kind](**values)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that is done, or was told to clean up and stop; kill it if it takes long."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
