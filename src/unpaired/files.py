"""Reading JSON, and writing files so that a reader, a crash or a full disk never sees half of one."""

import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

from unpaired.errors import InputError, UnwritableError

_PREFIX = ".tmp-"


DEEPEST = 50
"""So many levels of lists and objects may a JSON file have; the package's own have less than ten."""
LARGEST = 2**64


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its name when the block ends well, and vanishes when it doesn't.

    The temporary name keeps the suffixes (".nii.gz"), which some writers look at. Creates missing parent folders.
    Raises `UnwritableError` when the disk is full or the place can't be written.
    """
    temporary = temporary_beside(path)
    try:
        with input_error_if_unwritable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()


def temporary_beside(path: Path) -> Path:
    """The name under which this process makes `path`, a file or a folder, before renaming it."""
    return path.with_name(f"{_PREFIX}{_host()}-{os.getpid()}-{path.name}")


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary files and folders that processes of this machine left in `folder` when they were killed.

    Those of processes that are alive, and of other machines that write to the same disk, stay.
    """
    pattern = re.compile(rf"{re.escape(_PREFIX)}{_host()}-(\d+)-")
    for path in folder.glob(f"{_PREFIX}*"):
        name = pattern.match(path.name)
        if name and not _is_alive(int(name[1])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@cache
def _host() -> str:
    """Eight letters for this machine, short enough for long file names."""
    return f"{crc32(platform.node().encode()):08x}"


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # nothing is deleted where nobody can say
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def read_json(path: Path, advice: str) -> Any:
    """The JSON value in a UTF-8 file.

    Raises InputError, with `advice` on what to do, if it holds none, nests deeper than `DEEPEST` levels, or holds a
    whole number of more than 64 bits.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_int=_whole_number)
        if _is_deep(document):
            raise RecursionError
    except RecursionError:
        raise InputError(f"{path}: expected JSON of at most {DEEPEST} levels, got deeper ones; {advice}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, but {error}; {advice}") from error
    except OverflowError as error:
        raise InputError(f"{path}: expected whole numbers of at most 64 bits, {error}; {advice}") from error
    return document


def _whole_number(text: str) -> int:
    number = int(text) if len(text) <= 20 else LARGEST + 1
    if abs(number) > LARGEST:
        raise OverflowError(f"got {text[:12]}... of {len(text.lstrip('-'))} digits")
    return number


def _is_deep(document: Any) -> bool:
    """Whether a JSON value nests deeper than anything that reads it has to bear."""
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(DEEPEST):
        items = (item for value in level for item in (value.values() if isinstance(value, dict) else value))
        level = [item for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def input_error_if_unwritable(path: Path) -> Iterator[None]:
    """Turn "no space left", "not permitted" and the like into `UnwritableError`: one clear line that names the path."""
    try:
        yield
    except OSError as error:  # numpy's for a full disk says how many items it wrote, but not why it stopped
        reason = error.strerror or f"it could not be written whole ({error}), as on a full disk"
        raise UnwritableError(f"can't write {path}: {reason}; free some space or choose another folder") from error
