"""A program called to its end, as the leader of a process group nothing of which outlives the one that called it."""

import subprocess
import sys

from unpaired.errors import InputError
from unpaired.experiments import guard

SECONDS = (30.0, 10.0)
"""What a program has to save and end, after each of the signals that ask it to."""


def call(words: list[str]) -> None:
    """Run a command to its end, its output in ours. Raises InputError where it can't be started, or fails."""
    code = _alone(words) if sys.platform == "win32" else _guarded(words)
    if code:
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise _failed(words, what)


def _alone(words: list[str]) -> int:
    """Run a command where there are no process groups; its exit code."""
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2)
    except OSError as error:
        raise _not_started(words, error.strerror) from error
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()


def _guarded(words: list[str]) -> int:
    """Run a command as a process group that is ended where this process is stopped or killed; its exit code.

    Another process starts it (`guard`), which is there before it and ends it at the end of its own standard input.
    """
    command = [sys.executable, "-I", "-S", guard.__file__, *map(str, SECONDS), *words]
    guarding = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert guarding.stdin is not None  # the pipes were asked for
    assert guarding.stdout is not None
    started, code = b"", b""
    try:
        started = guarding.stdout.readline().strip()
        code = guarding.stdout.readline()
    finally:
        guarding.stdin.close()
        try:
            guarding.wait()
        finally:  # also of a second Ctrl-C, or of somebody who killed the guard
            if started.isdigit() and not code:
                guard.signal_group(int(started), guard.KILL)
            guarding.wait()
            guarding.stdout.close()
    if started and not started.isdigit():
        raise _not_started(words, started.decode())
    if not code:
        raise _failed(words, "the process that watches over it was killed")
    return int(code)


def _not_started(words: list[str], why: str | None) -> InputError:
    return InputError(f"{words[0]}: can't be started ({why}); check the row's command")


def _failed(words: list[str], what: str) -> InputError:
    return InputError(f"`{' '.join(words[:2])} ...` failed ({what}); what it said is in the log beside the run folder")
