"""The series that a service has seen, on disk: what each waits for, through kill -9 and power cuts.

One SQLite file, every change a transaction. A series goes from `receiving` to `predicting`, `sending`, and to one of
the ends: `done`, `failed`, `skipped`. Predicting may begin anew, as nothing of it was seen outside; what is sent is a
file that exists, so that sending it twice gives an archive the object that it has. A series that is done is never
predicted again.
"""

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Lock

from unpaired.dicom.kept import transaction
from unpaired.files import input_error_if_unwritable

TRIES = 2
"""So often may predicting a series end the process before it counts as failed."""
LATE = "images came after it had been predicted; they were left out"
WAITS = (5.0, 30.0, 120.0, 600.0)
"""Seconds until sending is tried again, the last for good."""
TABLE = """CREATE TABLE IF NOT EXISTS series (
    uid TEXT PRIMARY KEY, study TEXT NOT NULL, state TEXT NOT NULL, images INTEGER NOT NULL,
    changed REAL NOT NULL, tries INTEGER NOT NULL, due REAL NOT NULL, note TEXT NOT NULL)"""
ENDS = ("done", "failed", "skipped")
STATES = ("receiving", "predicting", "sending", *ENDS)


@dataclass(frozen=True)
class Entry:
    """A series and where it stands: `images` that came, `due` when to send again, `note` why it ended so."""

    uid: str
    study: str
    state: str
    images: int
    changed: float
    tries: int
    due: float
    note: str


COLUMNS = ", ".join(field.name for field in fields(Entry))


class SeriesQueue:
    """The queue in a file; threads may share it."""

    def __init__(self, file: Path) -> None:
        self.lock = Lock()
        with input_error_if_unwritable(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=FULL")
        self.database.execute(TABLE)

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self.database.close()

    def received(self, uid: str, study: str, images: int = 1, now: float | None = None) -> None:
        """Images of a series came. One that had failed or was skipped begins anew, as does one that is being predicted;
        one that is done stays done."""
        now = time.time() if now is None else now
        with self._transaction():
            known = self._entry(uid)
            if known is None:
                row = (uid, study, "receiving", images, now, 0, 0.0, "")
                self.database.execute("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            elif known.state in ("receiving", "predicting"):
                self._set(uid, state="receiving", images=known.images + images, changed=now, tries=0)
            elif known.state in ("failed", "skipped"):
                self._set(uid, state="receiving", images=images, changed=now, tries=0, note="")
            else:
                self._set(uid, note=LATE)

    def takes(self, uid: str) -> bool:
        """Whether images of this series are still of use."""
        known = self.get(uid)
        return known is None or known.state not in ("sending", "done")

    def recover(self) -> list[Entry]:
        """After a start: what was being predicted when the process ended begins anew, or has failed by now."""
        with self._transaction():
            broken = [entry for entry in self._all() if entry.state == "predicting"]
            for entry in broken:
                if entry.tries >= TRIES:
                    note = f"predicting it ended the service {entry.tries} times, perhaps for want of memory"
                    self._set(entry.uid, state="failed", note=note)
                else:
                    self._set(entry.uid, state="receiving")
            return [self._must(entry.uid) for entry in broken]

    def next_to_predict(self, quiet_seconds: float, now: float | None = None) -> Entry | None:
        """The series that has been quiet longest, if long enough; from now on it is being predicted."""
        now = time.time() if now is None else now
        with self._transaction():
            waiting = [entry for entry in self._all() if entry.state == "receiving"]
            quiet = [entry for entry in waiting if entry.changed <= now - quiet_seconds]
            if not quiet:
                return None
            entry = min(quiet, key=lambda entry: entry.changed)
            self._set(entry.uid, state="predicting", tries=entry.tries + 1, changed=now)
            return self._must(entry.uid)

    def next_to_send(self, now: float | None = None) -> Entry | None:
        """The series whose objects wait longest to be sent, where it is time to try."""
        now = time.time() if now is None else now
        with self.lock:
            waiting = [entry for entry in self._all() if entry.state == "sending" and entry.due <= now]
            return min(waiting, key=lambda entry: entry.due, default=None)

    def predicted(self, uid: str) -> bool:
        """Its objects are written and wait to be sent; False, and nothing else, if more images came meanwhile."""
        with self._transaction():
            if self._must(uid).state != "predicting":
                return False
            self._set(uid, state="sending", tries=0, due=0.0, changed=time.time())
            return True

    def not_sent(self, uid: str, note: str, now: float | None = None) -> float:
        """Sending failed; the seconds until it is tried again."""
        now = time.time() if now is None else now
        with self._transaction():
            tries = self._must(uid).tries
            wait = WAITS[min(tries, len(WAITS) - 1)]
            self._set(uid, tries=tries + 1, due=now + wait, note=note)
            return wait

    def end(self, uid: str, state: str, note: str = "") -> bool:
        """The series is done, failed or skipped; False, and nothing else, if more images came meanwhile."""
        with self._transaction():
            entry = self._must(uid)
            if entry.state == "receiving":
                return False
            late = LATE if state == "done" and entry.note == LATE else ""
            self._set(uid, state=state, note=note or late, changed=time.time())
            return True

    def get(self, uid: str) -> Entry | None:
        """A series, None if it was never seen."""
        with self.lock:
            return self._entry(uid)

    def counts(self) -> dict[str, int]:
        """How many series are in each state."""
        with self.lock:
            rows = dict(self.database.execute("SELECT state, COUNT(*) FROM series GROUP BY state"))
        return {state: rows.get(state, 0) for state in STATES}

    def latest(self, most: int = 20) -> list[Entry]:
        """The series that changed last."""
        with self.lock:
            return sorted(self._all(), key=lambda entry: -entry.changed)[:most]

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self.lock, transaction(self.database):
            yield

    def _set(self, uid: str, **values: str | int | float) -> None:
        names = ", ".join(f"{name}=?" for name in values)
        self.database.execute(f"UPDATE series SET {names} WHERE uid=?", (*values.values(), uid))

    def _entry(self, uid: str) -> Entry | None:
        row = self.database.execute(f"SELECT {COLUMNS} FROM series WHERE uid=?", (uid,)).fetchone()
        return None if row is None else Entry(*row)

    def _must(self, uid: str) -> Entry:
        entry = self._entry(uid)
        if entry is None:
            raise LookupError(f"series {uid} isn't in the queue")
        return entry

    def _all(self) -> list[Entry]:
        return [Entry(*row) for row in self.database.execute(f"SELECT {COLUMNS} FROM series WHERE state != ''")]
