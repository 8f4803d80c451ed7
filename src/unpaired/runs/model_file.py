"""A model file: one or several runs in one zip, without patients. Reading it executes nothing.

    model.json                        what it is: classes, modalities, scores, licence, and the hash of every other file
    README.md                         a model card for people
    postprocessing.json, or 0/postprocessing.json of a single run, where it was found
    0/recipe.json  0/dataset.json  0/split.json  0/versions.json  0/fingerprint.json  0/weights_best.safetensors
    1/...                             the other folds, if there are any

Everywhere a run is taken such a file is taken: it is unpacked once into a cache folder, by its hash. Only files of
these names are unpacked, no larger than they say, and only if their hash is the one of model.json. What lies in the
cache is compared with these hashes again whenever it is used, and unpacked anew where something became of it.
"""

import errno
import hashlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unpaired.data.dataset import MANIFEST
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import (
    OTHER_CACHE,
    clear_leftovers,
    input_error_if_unwritable,
    is_object,
    temporary_beside,
    temporary_folder,
    user_cache,
)
from unpaired.runs.folder import FINGERPRINT, FOLD, POSTPROCESSING, RECIPE, SPLIT, VERSIONS, is_run
from unpaired.runs.hub import MODEL_SUFFIX, HubAddress, is_hub_address, pull
from unpaired.runs.shipped import is_shipped, shipped_address, shipped_file

SUFFIX = MODEL_SUFFIX
MODEL = "model.json"
SCHEMA = 1
CARD = "README.md"
FILES = (RECIPE, MANIFEST, SPLIT, VERSIONS, FINGERPRINT, "weights_best.safetensors")
LARGEST = 8 << 30
"""Bytes of all files of a model together."""
MOST_COMPRESSED = 100
"""How many times larger a file may be than what a model file stores of it; weights hardly shrink at all."""
OF_A_ZIP_FILE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error)
"""What reading a damaged one raises of its own."""
_OF_A_RUN = "|".join(map(re.escape, (*FILES, POSTPROCESSING)))
_NAME = re.compile(rf"{'|'.join(map(re.escape, (MODEL, CARD, POSTPROCESSING)))}|(?:0|[1-9][0-9]{{0,2}})/({_OF_A_RUN})")
_FOLD = re.compile(rf"{FOLD}(\d+)")
_DAMAGED = "it is damaged, or no model file of `unpaired pack`"


def run_folders(path: str | Path) -> list[Path]:
    """The run folders that a path stands for: a run itself, the runs of a model file, or the folds in a folder.

    `hf://owner/name` is a model file on the Hugging Face Hub (`runs.hub`), `unpaired://name` one that comes with the
    package (`runs.shipped`). Folds are the runs called fold0, fold1, ...
    directly in a folder that is no run. Raises InputError for a model file that is damaged or isn't one.
    """
    path = pull(path) if is_hub_address(path) else shipped_file(path) if is_shipped(path) else Path(path)
    if path.suffix == SUFFIX and path.is_file():
        return unpack(path)
    if path.is_dir() and not is_run(path):
        folds = {int(match[1]): folder for folder in path.iterdir() if (match := _FOLD.fullmatch(folder.name))}
        runs = [folds[number] for number in sorted(folds) if is_run(folds[number])]
        if runs:
            return runs
    return [path]


def holds_runs(path: str | Path) -> bool:
    """Whether a path stands for runs: a run folder, a folder of folds, a model file, or one on the Hub.

    Raises what `run_folders` raises.
    """
    return all(is_run(folder) for folder in run_folders(path))


def require_no_model(path: str | Path, instead: str) -> None:
    """Raise InputError where a path is a model file or the address of one; `instead` says what is possible, and MODEL
    in it stands for the path. Nothing is fetched."""
    is_file = Path(path).suffix == SUFFIX and Path(path).is_file()
    if not (is_file or is_shipped(path) or is_hub_address(path)):
        return
    name = as_written(path)
    raise InputError(
        f"{name} is a model: a network without scans, label maps, scores or a training that goes on; "
        f"{instead.replace('MODEL', name)}"
    )


def single_run(path: str | Path) -> Path:
    """The one run folder that a path stands for. Raises InputError where there are several."""
    folders = run_folders(path)
    if len(folders) > 1:
        raise InputError(
            f"{path} holds {len(folders)} runs, and one is needed here; name one of them, such as {folders[0]}"
        )
    return folders[0]


def names_of(path: str | Path, folders: list[Path]) -> list[str]:
    """How messages name the runs `folders` that a path stands for: as they lie there, or the model and their number."""
    if folders == [Path(path)] or Path(path).is_dir():
        return [str(folder) for folder in folders]
    name = as_written(path)
    return [name] if len(folders) == 1 else [f"{name}/{number}" for number in range(len(folders))]


def as_written(path: str | Path) -> str:
    """A path or address as a person writes it; a `Path` of an address has lost a slash."""
    if is_shipped(path):
        return shipped_address(path)
    return str(HubAddress.parse(path)) if is_hub_address(path) else str(path)


def require_distinct_runs(paths: Iterable[Path]) -> None:
    """Raise InputError for a run that is named twice: it would count double, and agree with itself."""
    seen: set[Path | str] = set()
    for path in paths:
        place = absolute(path)
        if place in seen:
            raise InputError(f"run {as_written(path)} is named twice; name each run once")
        seen.add(place)


def absolute(path: str | Path) -> str:
    """A path that means the same in every folder; addresses on the Hub and in the package do."""
    return as_written(path) if is_shipped(path) or is_hub_address(path) else str(Path(path).resolve())


def unpacked_from(folder: Path) -> str | None:
    """How the SHA-256 of the model file begins (32 digits) that a run folder was unpacked from; None for any other."""
    return folder.parent.name if folder.parent.parent == user_cache("models") else None


@contextmanager
def by_its_name(folder: Path, called: str) -> Generator[None]:
    """Let an InputError about a file in a folder, such as that of an unpacked model, name what a person gave for it."""
    try:
        yield
    except InputError as error:
        error.args = (str(error).replace(str(folder), called),)
        raise


def unpack(path: Path) -> list[Path]:
    """The run folders of a model file, unpacked into the cache if they aren't there yet, or no longer what they were.

    Raises InputError for what is no such file, names or sizes that no model has, and files that aren't the hashed ones.
    """
    place = user_cache("models") / _digest(path)[:32]
    if not _is_whole(place, path):
        with input_error_if_unwritable(place, OTHER_CACHE):
            place.parent.mkdir(parents=True, exist_ok=True)
            clear_leftovers(place.parent)
            temporary = temporary_folder(place)
            try:
                _extract(path, temporary)
                _put(temporary, place)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    runs = sorted((folder for folder in place.iterdir() if folder.is_dir()), key=lambda folder: int(folder.name))
    if not runs:
        raise InputError(f"{path}: holds no run; {_DAMAGED}")
    return runs


def _is_whole(place: Path, path: Path) -> bool:
    """Whether all that was unpacked of a model file lies there as it does in the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if not place.is_dir() or archive.read(MODEL) != (place / MODEL).read_bytes():
                return False
        return all(_digest(place / name) == digest for name, digest in _hashes(path, place / MODEL).items())
    except (OSError, KeyError, ValueError, InputError, *OF_A_ZIP_FILE):  # `_extract` says what is wrong with the file
        return False


def _put(temporary: Path, place: Path) -> None:
    """Move an unpacked model to its place, and away what was damaged there."""
    damaged = temporary_beside(place.with_name(f"{place.name}-damaged"))
    try:
        with suppress(FileNotFoundError):
            place.rename(damaged)
        if not place.is_dir():  # another process may have been faster
            temporary.rename(place)
    finally:
        shutil.rmtree(damaged, ignore_errors=True)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _extract(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _require_names(path, entries)
            hashes = _hashes(path, _content(archive, MODEL, folder))
            for entry in entries:
                content = folder / entry.filename
                if entry.filename != MODEL:
                    _content(archive, entry.filename, folder)
                    if hashes.get(entry.filename) != _digest(content):
                        raise InputError(f"{path}: {entry.filename} is not the file that model.json hashes; {_DAMAGED}")
            missing = sorted(set(hashes) - {entry.filename for entry in entries})
            if missing:
                raise InputError(f"{path}: {missing[0]} is missing; {_DAMAGED}")
    except InputError:
        raise
    except (*OF_A_ZIP_FILE, NotImplementedError, EOFError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{path}: expected a model file, but {error}; {_DAMAGED}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a place before the file's beginning, which a damaged one names
            raise
        raise InputError(
            f"{path}: expected a model file, but its parts lie elsewhere than it says; {_DAMAGED}"
        ) from error


def _require_names(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Only the files that a model has, each once, stored or deflated, and not too large together."""
    names: set[str] = set()
    for entry in entries:
        name = entry.filename
        if not _NAME.fullmatch(name) or name in names:
            raise InputError(f"{path}: {name[:80]!a} has no place in a model file; {_DAMAGED}")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path}: {name} is neither stored nor deflated; {_DAMAGED}")
        names.add(name)
    if MODEL not in names:
        raise InputError(f"{path}: {MODEL} is missing; {_DAMAGED}")
    if sum(entry.file_size for entry in entries) > LARGEST:
        raise InputError(f"{path}: promises more than {LARGEST >> 30} GB; {_DAMAGED}")
    if any(entry.file_size > max(MOST_COMPRESSED * entry.compress_size, 1 << 20) for entry in entries):
        raise InputError(f"{path}: promises more than {MOST_COMPRESSED} times what it holds; {_DAMAGED}")


def _content(archive: zipfile.ZipFile, name: str, folder: Path) -> Path:
    """Unpack one file, never more of it than it says; its checksum counts."""
    target, left = folder / name, archive.getinfo(name).file_size
    target.parent.mkdir(exist_ok=True)
    with archive.open(name) as source, target.open("wb") as file:
        while block := source.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise InputError(f"{name} is longer than it says; {_DAMAGED}")
            file.write(block)
    return target


def _hashes(path: Path, model: Path) -> dict[str, str]:
    try:
        document = read(model, dict[str, Any], _DAMAGED)
    except InputError as error:  # it lies in a folder that is about to go
        raise InputError(str(error).replace(str(model), f"{path}: {MODEL}")) from error
    hashes = document.get("sha256")
    if not is_object(hashes) or not all(isinstance(value, str) for value in hashes.values()):
        raise InputError(f"{path}: {MODEL} has no hashes of its files; {_DAMAGED}")
    if document.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: expected a model file of schema {SCHEMA}, got {document.get('schema')!r}; update unpaired, or "
            "have it packed anew"
        )
    return hashes
