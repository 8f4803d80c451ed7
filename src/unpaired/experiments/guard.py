"""Runs a program in a study's place, and ends it where the study's process is gone: SIGKILL leaves that one no time to.

A small process of its own, so that no program runs for a moment without it. It is given the seconds that a program has
after each of `STOPS`, and the command; it writes the program's process group and then its exit code to standard output,
and ends the program at the end of its standard input, which comes where whoever called it has died. It imports nothing
of the package.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

STOPS = (signal.SIGINT, signal.SIGTERM)
"""How a program is asked to stop, before it is killed."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
LOOK_EVERY = 0.1
"""Seconds."""


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group, a program and all that it started; whether there was anybody to hear it."""
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; on a Mac, nobody but zombies
        os.killpg(group, number)
        return True
    return False


def end_group(group: int, seconds: Sequence[float]) -> None:
    """Ask a process group to end, more firmly each time, until nobody of it is left."""
    for number, patience in zip(STOPS, seconds, strict=True):
        last = time.monotonic() + patience
        there = signal_group(group, number)
        while there and time.monotonic() < last:
            time.sleep(LOOK_EVERY)
            there = signal_group(group, 0)
        if not there:
            return
    signal_group(group, KILL)


def _end_after_caller(program: "subprocess.Popen[bytes]", seconds: Sequence[float]) -> None:
    sys.stdin.read()
    if program.poll() is None:  # else its number may be another's by now
        end_group(program.pid, seconds)


def _tell(said: object) -> None:
    """Write a line to the caller, if there still is one."""
    with suppress(BrokenPipeError):
        os.write(1, f"{said}\n".encode())


def main(seconds: Sequence[float], command: Sequence[str]) -> None:
    """Run a command to its end, or to its caller's. What it writes goes to standard error."""
    try:
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, process_group=0)
    except OSError as error:
        _tell(error.strerror)
        return
    threading.Thread(target=_end_after_caller, args=(program, seconds)).start()
    _tell(program.pid)
    code = program.wait()
    signal_group(program.pid, KILL)  # what it has left behind
    _tell(code)


if __name__ == "__main__":
    main([float(word) for word in sys.argv[1 : 1 + len(STOPS)]], sys.argv[1 + len(STOPS) :])
