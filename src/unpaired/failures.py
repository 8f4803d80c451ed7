"""What stops one case and no other: the guard that every command over many cases puts around each of them."""

import os
import tempfile
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from unpaired.errors import InputError, UnwritableError

Result = TypeVar("Result")
ALLOCATION_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "storage size calculation overflowed",
    "array is too big",
    "maximum allowed dimension exceeded",
)
"""How torch, which has no exception of its own for the processor's memory, says that there is none left; and how torch
and numpy say that so much can't even be counted."""


def attempt(work: Callable[[], Result]) -> tuple[Result | None, str | None]:
    """(what `work` returns, None), or (None, one line that says why it failed).

    Bad input, a file that can't be read, too little memory (the device's too), a mistake in code of a person's own and
    even a fault of this package are the failure of the case that `work` is about. A fault is told with the file that
    holds its traceback, a mistake with its line. A folder that can't be written (`UnwritableError`) is raised, as the
    next case would meet it too; so is Ctrl-C.
    """
    try:
        return work(), None
    except UnwritableError:
        raise
    except Exception as error:  # noqa: BLE001 (the one place where whatever goes wrong is one case's failure)
        return None, reason_for(error)


def reason_for(error: Exception) -> str:
    """Why a case failed, in one line. Of an error that nobody foresaw the traceback is written to a file it names."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] != "unpaired":
        return (
            f"this needs the package {error.name.split('.')[0]!r}, which isn't installed; pip install it and try again"
        )
    if _wants_memory(error):
        return (
            f"not enough memory ({_one_line(error) or 'no details'}); close other programs, use fewer workers, or do "
            "this case on a larger machine"
        )
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or _one_line(error) or 'the system refused it'}; check the file and its disk"
    if _raised_by(error) == "own":
        return f"{own_place(error)}: {type(error).__name__}: {_one_line(error) or 'no details'}; correct it there"
    return (
        f"unexpected {type(error).__name__}: {_one_line(error) or 'no details'}; this is a fault of unpaired, please "
        f"report it with {_saved_traceback(error)}"
    )


def own_place(error: BaseException) -> str | None:
    """The innermost line of a person's own code that an error passed: "/home/me/mine.py, line 3"; None: of none."""
    for frame, line in _frames(error):
        if _whose(frame) == "own":
            return f"{frame.f_code.co_filename}, line {line}"
    return None


def _raised_by(error: BaseException) -> str:
    """Whose code raised an error, or called what did: "unpaired", "own" (a person's file); "" for nobody's."""
    return next((whose for frame, _ in _frames(error) if (whose := _whose(frame))), "")


def _whose(frame: FrameType) -> str:
    if getattr(frame.f_globals.get("__loader__"), "of_a_person", False):
        return "own"
    return "unpaired" if str(frame.f_globals.get("__name__")).partition(".")[0] == "unpaired" else ""


def _frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """(frame, line) of an error's traceback, the innermost first."""
    return list(traceback.walk_tb(error.__traceback__))[::-1]


def _wants_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    said = f"{type(error).__name__} {error}".lower()
    return isinstance(error, RuntimeError | ValueError) and (
        "outofmemoryerror" in said or any(words in said for words in ALLOCATION_WORDS)
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _saved_traceback(error: Exception) -> str:
    """Where the traceback lies: under a name that nobody can foresee, in the system's folder for temporary files. Where
    that can't be written, the place in the code that it ends with."""
    try:
        handle, name = tempfile.mkstemp(prefix="unpaired-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError as refused:
        last = traceback.extract_tb(error.__traceback__)[-1:]
        place = " ".join(f"{frame.filename}:{frame.lineno}" for frame in last) or "an unknown place"
        return f"where it was raised, {place} (no traceback could be saved: {refused.strerror or refused})"
    return f"the traceback in {name}"
