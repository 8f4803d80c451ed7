"""A program called to its end, as the leader of a process group nothing of which outlives the one that called it."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from unpaired.errors import InputError
from unpaired.experiments import guard


def call(words: list[str]) -> None:
    """Run a command to its end, its output in ours. Raises InputError where it can't be started, or fails."""
    with _guarded() as guarded:
        try:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2, env=os.environ, process_group=0)
        except OSError as error:
            raise InputError(f"{words[0]}: can't be started ({error.strerror}); check the row's command") from error
        try:
            guarded(process.pid)
            code = process.wait()
        except BaseException:
            _ask_to_stop(process)
            raise
        finally:  # also of a second Ctrl-C, and where it ended and left something behind
            _signal(process, guard.KILL)
            process.wait()
    if code:
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise InputError(
            f"`{' '.join(words[:2])} ...` failed ({what}); what it said is in the log beside the run folder"
        )


@contextmanager
def _guarded() -> Generator[Callable[[int], None]]:
    """Tell a process of its own which program to end where this one is killed before the block has ended."""
    if sys.platform == "win32":  # which has no process groups
        yield lambda group: None
        return
    command = [sys.executable, "-I", "-S", guard.__file__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    assert process.stdin is not None  # the pipe was asked for
    told = process.stdin

    def tell(group: int) -> None:
        with suppress(BrokenPipeError):  # somebody killed it
            told.write(f"{group}\n".encode())
            told.flush()

    try:
        yield tell
    finally:
        process.kill()
        process.wait()
        told.close()


def _ask_to_stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a program to end, more firmly each time, until it has."""
    for number, seconds in guard.STOPS:
        _signal(process, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a program and to all that it started, as a terminal does: they are a process group."""
    if sys.platform == "win32":
        process.terminate()
    else:
        guard.signal_group(process.pid, number)
