"""Files that an importer writes know what they were made of, in a small record beside the first of them.

A name says little: every CHAOS has an MR 1. So the record (`<first file>.converted.json`) holds the hashes of what was
read and of what was written. What is there already is kept only if both are what they were.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from unpaired.data.content import content_hash
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import resolved, write_json

SCHEMA = 1
SUFFIX = ".converted.json"
ELSEWHERE = "write the manifest under another name, or delete these files"


@dataclass(frozen=True)
class _Record:
    """A conversion: the place of its source, the hash of its content, the choices made, {file: its hash}.

    `written` is None from the moment at which writing begins to that at which it has ended.
    """

    place: str
    content: str
    choices: str
    written: Mapping[str, str] | None


def convert(
    files: Sequence[Path], place: Path, sources: Iterable[Path], choices: str, write: Callable[[], None]
) -> None:
    """Call `write`, which makes `files` out of `sources`, unless they are there and were made of the same.

    `place` is where the source lies, such as a series' folder, `sources` all files and folders that are read, and
    `choices` what else decides the files. Where the source changed in its place the files are made anew. Raises
    InputError, and leaves everything as it is, where files of these names come from a source in another place, from
    nobody knows where, or were changed after they had been converted.
    """
    first = min(files)  # whatever order they come in
    record_path = first.with_name(first.name + SUFFIX)
    content = sha256(" ".join(content_hash(source) for source in sources).encode()).hexdigest()
    wanted = _Record(str(resolved(place)), content, choices, None)
    there = [file for file in files if file.exists()]
    record = _read(record_path) if record_path.is_file() else None
    if record is None and there:
        raise InputError(f"{there[0]} is there, and no record says what it was converted from; {ELSEWHERE}")
    if record is not None:
        _require_unchanged(record, record_path.parent)
        same = (record.content, record.choices) == (wanted.content, wanted.choices)
        if (
            same
            and record.written is not None
            and set(record.written) == {file.name for file in there} == _names(files)
        ):
            return
        if not same and record.place != wanted.place:
            raise InputError(f"{first} was converted from {record.place}, not from {place}; {ELSEWHERE}")
    _write(record_path, wanted)
    write()
    written = {file.name: content_hash(file) for file in files}
    _write(record_path, _Record(wanted.place, wanted.content, wanted.choices, written))


def _names(files: Iterable[Path]) -> set[str]:
    return {file.name for file in files}


def _require_unchanged(record: _Record, folder: Path) -> None:
    for name, known in (record.written or {}).items():
        file = folder / name
        if file.is_file() and content_hash(file) != known:
            raise InputError(f"{file} was changed after it had been converted from {record.place}; {ELSEWHERE}")


def _read(path: Path) -> _Record:
    return read(path, _Record, "delete it and the files that it is about", schema=SCHEMA)


def _write(path: Path, record: _Record) -> None:
    write_json(path, {"schema": SCHEMA, **asdict(record)})
