"""One process at a time in a folder, by a lock that the operating system releases however that process ends."""

import os
import platform
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from unpaired.errors import InputError
from unpaired.files import input_error_if_unwritable


class InUseError(InputError):
    """Another process works in a folder in which one alone may."""


@contextmanager
def only_one(path: Path, work: str) -> Generator[None]:
    """Hold the lock file `path` while the block runs. Raises InUseError if another process holds it.

    The file says who holds it and stays behind: what counts is the system's lock on it, which ends with its process
    (kill -9 too) and, unlike `flock`, isn't passed on to forked workers that outlive it by a moment. Windows has no
    such lock; there the block runs without.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with input_error_if_unwritable(path):
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InUseError(
                f"{path.parent} is in use: {holder} is {work}; wait for it, stop it, or choose another folder"
            ) from error
        with input_error_if_unwritable(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        yield


def is_held(path: Path) -> bool:
    """Whether another process holds the lock file now; always False on Windows, which has no such lock.

    Not for the process that holds it: closing the file here would let go of its lock.
    """
    if sys.platform == "win32" or not path.is_file():
        return False
    import fcntl

    with path.open(encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
    return False
