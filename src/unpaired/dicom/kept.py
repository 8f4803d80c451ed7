"""The headers of an archive's files, kept in a file of their own: what hasn't changed since isn't read again.

One SQLite file: a killed process or a power cut leaves what was written until then. Each row has a checksum. Nothing of
it is code, and it can always be made again.
"""

import os
import sqlite3
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from unpaired.dicom.header import ImageHeader, Slice, tags
from unpaired.dicom.index import Frame, Series, StoredObject
from unpaired.errors import InputError, UnwritableError, printable
from unpaired.files import input_error_if_unwritable

Header = ImageHeader | StoredObject | None
"""What a file is; None for no DICOM."""
State = tuple[int, int]
"""Size in bytes, and when it was changed, in nanoseconds: another state is another content."""
KINDS: dict[str, Any] = {"image": ImageHeader, "object": StoredObject, "other": None}
APPLICATION = 0x756E6964
"""How SQLite files say whose they are: "unid"."""
SCHEMA = 2
WRITE_SECONDS = 2.0
"""So much work at most is lost with a killed process."""
FRESH_SECONDS = 2.0
"""A file that was changed just before it was read isn't kept: it may change again without another time."""
WAIT_SECONDS = 60.0
UNWRITABLE = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)
"""What isn't the file's own fault."""
TABLES = """
CREATE TABLE made_by (words TEXT NOT NULL);
CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL, kind TEXT NOT NULL,
                    content BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
"""


class KeptHeaders:
    """The file, while files are listed. Raises InputError for a damaged one, and for one that is something else."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.states: dict[Path, State] = {}
        self.rows: list[tuple[Any, ...]] = []
        self.written = time.monotonic()
        self.place = Path()
        self.decoders = {
            name: msgspec.msgpack.Decoder(kind, dec_hook=lambda kind, value: self.place)
            for name, kind in KINDS.items()
            if kind is not None
        }
        self.encoder = msgspec.msgpack.Encoder(enc_hook=lambda value: "")  # paths: the row has it
        with input_error_if_unwritable(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with self._one_line():
            self.database = sqlite3.connect(file, WAIT_SECONDS, isolation_level=None)
            self.database.text_factory = lambda content: content.decode(errors="replace")  # a checksum shows damage
            self._begin()

    def _begin(self) -> None:
        """Make the tables of a new file; empty those that another version made."""
        (sound,) = self.database.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        (tables,) = self.database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        (owner,) = self.database.execute("PRAGMA application_id").fetchone()
        if tables and owner != APPLICATION:
            raise InputError(f"{self.file}: expected an index of unpaired, or no file, got another database")
        if not tables:
            self.database.executescript(f"BEGIN IMMEDIATE; PRAGMA application_id={APPLICATION}; {TABLES} COMMIT;")
        if self.database.execute("SELECT words FROM made_by").fetchall() != [(made_by(),)]:
            with transaction(self.database):
                self.database.execute("DELETE FROM made_by")
                self.database.execute("DELETE FROM files")
                self.database.execute("INSERT INTO made_by VALUES (?)", (made_by(),))

    def known(self, paths: Iterable[Path]) -> dict[Path, Header]:
        """What is kept of the files that are as they were."""
        known: dict[Path, Header] = {}
        for path in paths:
            try:
                status = path.stat()
            except OSError:  # it is read like any other, and its fault told
                continue
            self.states[path] = (status.st_size, status.st_mtime_ns)
        with self._one_line():
            rows = {row[0]: row[1:] for row in self.database.execute("SELECT * FROM files")}
        for path, state in self.states.items():
            row = rows.get(_key(path))
            if row is not None and row[:2] == state and row[4] == _checksum(_key(path), *row[:4]):
                with suppress(msgspec.DecodeError):  # whoever wrote it: it is read again
                    known[path] = self._header(path, row[2], row[3])
        return known

    def _header(self, path: Path, kind: str, content: bytes) -> Header:
        if kind == "other":
            return None
        self.place = path
        header: Header = self.decoders[kind].decode(content)
        if isinstance(header, ImageHeader):
            for slice_ in header.slices:
                slice_.keys.update({name: _tuples(value) for name, value in slice_.keys.items()})
        return header

    def keep(self, path: Path, header: Header) -> None:
        """Note what a file holds, which `known` was asked for."""
        state = self.states.get(path)
        if state is None or time.time() - state[1] / 1e9 < FRESH_SECONDS:
            return
        kind = next(name for name, kind in KINDS.items() if kind is None or isinstance(header, kind))
        try:
            content = b"" if header is None else self.encoder.encode(header)
        except UnicodeEncodeError:  # half a character in a text: it is read again each time
            return
        row = (_key(path), *state, kind, content)
        self.rows.append((*row, _checksum(*row)))
        if time.monotonic() - self.written >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what was noted, in one transaction."""
        with self._one_line(), transaction(self.database):
            self.database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", self.rows)
        self.rows = []
        self.written = time.monotonic()

    def forget(self, places: Iterable[Path]) -> None:
        """Drop the files below these places that `known` wasn't asked for: they are gone."""
        there = {_key(path) for path in self.states}
        below = tuple(_key(place) + os.fsencode(os.sep) for place in places)
        with self._one_line(), transaction(self.database):
            kept = [key for (key,) in self.database.execute("SELECT path FROM files")]
            gone = [(key,) for key in kept if key not in there and isinstance(key, bytes) and key.startswith(below)]
            self.database.executemany("DELETE FROM files WHERE path=?", gone)

    @contextmanager
    def _one_line(self) -> Generator[None]:
        """Turn what SQLite raises into one line: a file that can't be written, or one that is damaged."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in UNWRITABLE:
                advice = "choose another place, or wait for who uses it"
                raise UnwritableError(f"can't write {self.file}: {error}; {advice}") from error
            raise InputError(
                f"{self.file}: expected an index of unpaired, got a damaged or another file ({printable(str(error))}); "
                "delete it, and it is made again"
            ) from error


@contextmanager
def transaction(database: sqlite3.Connection) -> Generator[None]:
    """All that the block writes into a SQLite database, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:  # a full disk ends it by itself
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextmanager
def kept_headers(file: Path) -> Generator[KeptHeaders]:
    """The headers in a file, which is made if it isn't there; what was noted is written however the block ends."""
    kept = KeptHeaders(file)
    try:
        yield kept
    finally:
        kept.write()
        kept.database.close()


@cache
def made_by() -> str:
    """The version of what reads headers: what another made isn't taken."""
    kinds = (ImageHeader, Slice, Series, Frame, StoredObject)
    read = repr((tags(), *((kind.__name__, [field.name for field in fields(kind)]) for kind in kinds)))
    return f"{SCHEMA} {version('unpaired')} {crc32(read.encode())}"


def _key(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def _checksum(*row: bytes | int | str) -> int:
    return crc32(repr(row).encode())


def _tuples(value: Any) -> Any:
    """Lists, which tuples become where they are kept, as tuples again."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
