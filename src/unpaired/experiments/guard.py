"""Ends a program whose study's process was killed: SIGKILL leaves that one no time to. A small process of its own.

It is told the program's process group on standard input, whose end says that whoever started both is gone. Where the
program ends in time, it is killed itself. It imports nothing of the package.
"""

import os
import signal
import sys
import time
from contextlib import suppress

STOPS = ((signal.SIGINT, 30.0), (signal.SIGTERM, 10.0))
"""How a program is asked to stop, and the seconds that it has each time to save and end. Then it is killed."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
LOOK_EVERY = 0.1
"""Seconds."""


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group, a program and all that it started; whether there was anybody to hear it."""
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; on a Mac, nobody but zombies
        os.killpg(group, number)
        return True
    return False


def end_group(group: int) -> None:
    """Ask a process group to end, more firmly each time, until nobody of it is left."""
    for number, seconds in STOPS:
        last = time.monotonic() + seconds
        there = signal_group(group, number)
        while there and time.monotonic() < last:
            time.sleep(LOOK_EVERY)
            there = signal_group(group, 0)
        if not there:
            return
    signal_group(group, KILL)


if __name__ == "__main__":
    told = sys.stdin.readline()
    sys.stdin.read()
    if told:
        end_group(int(told))
