"""Reading JSON, and writing files so that a reader, a crash or a full disk never sees half of one."""

import errno
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeGuard
from zlib import crc32

from unpaired.errors import InputError, UnwritableError
from unpaired.json_values import UnusableJSONError, parse_json

_PREFIX = ".tmp-"
BEGINNING = 4096
"""Bytes of a file that say whether it may be JSON."""
OTHER_CACHE = "name another folder for the cache (the variable UNPAIRED_CACHE)"  # where it can't be written
_WAITING: ContextVar[dict[Path, Path | None] | None] = ContextVar("_WAITING", default=None)
"""Inside `together`, what takes which file's place at its end; None goes."""


@contextmanager
def atomic(path: Path) -> Generator[Path]:
    """A temporary file beside `path` that takes its name when the block ends well, and vanishes when it doesn't.

    The temporary name keeps the suffixes (".nii.gz"), which some writers look at. Creates missing parent folders, and
    deletes what killed processes left in the folder (`clear_leftovers`), once for each folder.
    Raises `UnwritableError` when the disk is full or the place can't be written.
    """
    temporary, waiting = temporary_beside(path), _WAITING.get()
    try:
        with input_error_if_unwritable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _clear_once(path.parent)
            yield temporary
            if waiting is None:
                temporary.replace(path)
            else:
                waiting[path] = temporary
    finally:
        if temporary.exists() and (waiting is None or waiting.get(path) != temporary):
            temporary.unlink()


@contextmanager
def together() -> Generator[None]:
    """What this thread writes (by `atomic`) and removes (by `remove`) in the block happens when that ends well, or not.

    For files that tell of each other: a full disk never leaves a new table beside an older summary.
    """
    if _WAITING.get() is not None:  # part of a larger set
        yield
        return
    waiting: dict[Path, Path | None] = {}
    token = _WAITING.set(waiting)
    try:
        yield
        _WAITING.set(None)
        for path, temporary in waiting.items():
            with input_error_if_unwritable(path):
                path.unlink(missing_ok=True) if temporary is None else temporary.replace(path)
    finally:
        _WAITING.reset(token)
        for temporary in filter(None, waiting.values()):
            temporary.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a file, if it is there. Raises `UnwritableError` where that isn't allowed."""
    waiting = _WAITING.get()
    if waiting is None:
        with input_error_if_unwritable(path):
            path.unlink(missing_ok=True)
    else:
        waiting[path] = None


def is_written(path: Path) -> bool:
    """Whether a file is there, or will be when `together` ends."""
    waiting = _WAITING.get() or {}
    return waiting[path] is not None if path in waiting else path.is_file()


def files_below(folder: Path, but: Collection[str | Path] = ()) -> Iterator[Path]:
    """All that is no folder in a folder and in the folders in it, in order of names; what is hidden is left out.

    `but` are folders to leave out. Linked folders are followed, each once. Raises InputError for a folder that can't be
    listed: what it holds would be missing without a word.
    """
    been = {os.path.realpath(path) for path in but}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise_unlisted):
        place = os.path.realpath(parent)
        if place in been:
            folders.clear()
            continue
        been.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _raise_unlisted(error: OSError) -> None:
    raise InputError(
        f"{error.filename}: can't be listed ({error.strerror}), so what it holds would be missing"
    ) from error


def user_cache(name: str) -> Path:
    """The folder for what can be made again, by what it is: in $UNPAIRED_CACHE, else in the user's cache folder."""
    given = os.environ.get("UNPAIRED_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) / name if given else Path(home) / "unpaired" / name


def temporary_beside(path: Path) -> Path:
    """The name under which this process makes `path`, a file or a folder, before renaming it."""
    return path.with_name(f"{_PREFIX}{_host()}-{os.getpid()}-{path.name}")


def temporary_folder(path: Path) -> Path:
    """A new folder in which this process makes the folder `path` before renaming it.

    One of the same name is removed: where each run is a container, the next process has the number, and its machine the
    name, of the one that was killed.
    """
    temporary = temporary_beside(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    return temporary


def resolved(path: Path) -> Path:
    """A path without links and "..", absolute. Of a link in a circle, which `Path.resolve` raises at, the link."""
    return Path(os.path.realpath(path))


def placed(file: Path) -> Path:
    """A file's path with its own name, absolute, in a folder without links and "..".

    A link keeps its name: what it points at may be called anything (git-annex, DVC, a folder of links per study).
    """
    return resolved(file.parent) / file.name if file.name not in ("", "..") else resolved(file)


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary files and folders that processes of this machine left in `folder` when they were killed.

    Those of processes that are alive, and of other machines that write to the same disk, stay.
    """
    pattern = re.compile(rf"{re.escape(_PREFIX)}{_host()}-(\d+)-")
    for path in folder.glob(f"{_PREFIX}*"):
        name = pattern.match(path.name)
        if name and not _is_alive(int(name[1])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@lru_cache
def _clear_once(folder: Path) -> None:
    """Whoever writes into a folder is the next owner of what was being written there."""
    with suppress(OSError):  # somebody else's: no reason not to write
        clear_leftovers(folder)


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
    """The JSON value in a UTF-8 file, BOM or not. InputError, with `advice` on what to do, for what can't be used."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: expected a JSON file, found a folder, pipe or device; {advice}")
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, but {error}; {advice}") from error
    except UnusableJSONError as error:
        raise InputError(f"{path}: {error}; {advice}") from error


def require_replaceable(path: Path, what: str, known: Callable[[dict[str, Any]], bool]) -> None:
    """Raise InputError for anything at `path` but a JSON object that is `known` to be such a file as will be written:
    `what`. Nobody's scan or settings shall go for a name that was mistyped."""
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            begins = file.read(BEGINNING).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        document = read_json(path, "") if begins else None
    except (InputError, OSError):
        document = None
    if not is_object(document) or not known(document):
        raise InputError(f"{path} is there and is no {what}; name another file, or delete it")


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def json_text(document: Any, *, compact: bool = False, ascii_only: bool = False) -> str:
    """A JSON value as text that ends its line: indented, or `compact` on that one line.

    Letters stand as they are; with `ascii_only` those beyond ASCII are escapes, which mean the same.
    """
    return json.dumps(document, indent=None if compact else 1, ensure_ascii=ascii_only) + "\n"


def write_json(path: Path, document: Any, *, compact: bool = False) -> None:
    """Write a JSON value atomically, as `json_text` has it. All of the package's documents are written here."""
    write_text(path, json_text(document, compact=compact))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8. Raises InputError for half of a character, which no reader takes."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        around = ascii(text[max(error.start - 40, 0) : error.end + 20])[1:-1]
        raise InputError(
            f"can't write {path}: expected text, got half of a character in ...{around}...; rename the file that is "
            "called so (its name isn't UTF-8)"
        ) from error
    write_bytes(path, content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def input_error_if_unwritable(path: Path, otherwise: str = "choose another folder") -> Generator[None]:
    """Turn "no space left", "not permitted" and the like into `UnwritableError`: one clear line that names the path.

    `otherwise` is what a person may do who can't change that.
    """
    try:
        yield
    except OSError as error:
        known, words = _from_the_system(error), " ".join(str(error).split())
        reason = known.strerror or f"it could not be written whole ({words}), as on a full disk"
        shown = re.sub(rf"{re.escape(_PREFIX)}{_host()}-\d+-", "", str(path))  # what a person knows it by
        raise UnwritableError(f"can't write {shown}: {reason}; {_remedy(path, known.errno, otherwise)}") from error


def _from_the_system(error: OSError) -> OSError:
    """The error with the system's number, which pydicom's holds inside; numpy's for a full disk doesn't say why."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    return cause or error


def require_writable(file: Path) -> None:
    """Raise `UnwritableError` for a file that can't be written: before what takes long, not after.

    Its folder may be missing yet; whether there is space nobody knows.
    """
    with input_error_if_unwritable(file):
        place = _nearest(file.parent)
        if not place.is_dir():
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(place, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _nearest(path: Path) -> Path:
    """What there is of a path: itself, or the first of its parents that exists."""
    return next((place for place in (path, *path.absolute().parents) if place.exists()), path)


def _remedy(path: Path, number: int | None, otherwise: str) -> str:
    """What to do about a place that can't be written, by the system's number for why."""
    if number in (errno.ENOTDIR, errno.EEXIST) and not (place := _nearest(path)).is_dir():
        return f"{place} is a file where a folder was expected; {otherwise}"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"get leave to write there or {otherwise}"
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None):
        return f"free some space or {otherwise}"
    return otherwise
