"""The folder of a service: scans that came, objects that wait to be sent, the queue, the log; of a limited size.

SPOOL/queue.sqlite                        which series there are, and where each stands
SPOOL/scans/SERIES UID/INSTANCE UID.dcm   removed when the series has ended
SPOOL/fetching/SERIES UID/...             what a poll has not fetched whole yet
SPOOL/objects/SERIES UID/...              what was predicted, removed when it was sent
SPOOL/watch.log                           and watch.log.1, ...: no patient's name
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from unpaired.errors import InputError, UnwritableError
from unpaired.failures import attempt
from unpaired.files import atomic
from unpaired.pacs.archive import RemoteSeries, is_uid
from unpaired.pacs.instance import uids_of
from unpaired.pacs.queue import ENDS, SeriesQueue

Result = TypeVar("Result")
QUEUE, LOG, LOCK = "queue.sqlite", "watch.log", "watch.lock"
SCANS, FETCHING, OBJECTS = "scans", "fetching", "objects"
SPARE = 2**29
"""So many bytes of the disk stay free for what is predicted and for everybody else: 512 MB."""


class FullError(InputError):
    """The spool has reached its limit, or the disk is full: nothing is taken until series have ended."""


class Spool:
    """The folder and what may go into it."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.queue = SeriesQueue(folder / QUEUE)
        self.lock = Lock()  # several connections bring images at once
        self.used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def take(self, content: bytes) -> str:
        """Store a file that came, and note it in the queue; its series UID.

        Raises FullError where there is no room, InputError for what is no image with UIDs. An image of a series that
        was predicted already is left out.
        """
        study, series, instance = uids_of(content, "an image that came")
        if self.is_full(len(content)):
            raise FullError("no room: the limit of disk is reached")
        path, again = self.scans(series) / f"{instance}.dcm", 0
        if self.queue.takes(series):
            with self.lock:
                again = path.stat().st_size if path.is_file() else 0
                write_durably(path, content)
                self.used += len(content) - again
        self.queue.received(series, study, 0 if again else 1)
        return series

    def take_whole(self, remote: RemoteSeries, contents: Iterable[bytes]) -> int:
        """Store a series that is fetched, and note it in the queue once all of it is there; how many files it has.

        Raises InputError where fewer come than the archive has.
        """
        place = self.folder / FETCHING / remote.uid
        self.remove(place)
        try:
            count = self._store_all(place, contents)
            if count < max(remote.instances, 1):
                raise InputError(f"{count} of {remote.instances or 'its'} images came")
        except BaseException:
            self.remove(place)
            raise
        self.remove(self.scans(remote.uid))
        self.scans(remote.uid).parent.mkdir(parents=True, exist_ok=True)
        place.rename(self.scans(remote.uid))
        self.queue.received(remote.uid, remote.study_uid, count)
        return count

    def _store_all(self, place: Path, contents: Iterable[bytes]) -> int:
        count = 0
        for content in contents:
            _, _, instance = uids_of(content, "an image that came")
            if self.is_full(len(content)):
                raise FullError("no room: the limit of disk is reached")
            write_durably(place / f"{instance}.dcm", content)
            with self.lock:
                self.used += len(content)
            count += 1
        return count

    def is_full(self, more: int = 0) -> bool:
        """Whether so many bytes more are beyond the limit."""
        return self.used + more > self.limit_bytes or shutil.disk_usage(self.folder).free < SPARE + more

    def adopt(self) -> list[str]:
        """After a start: series whose files lie here though the queue waits for none of them; it does now.

        What a series that is done left behind is deleted.
        """
        self.remove(self.folder / FETCHING)
        adopted = []
        for folder in sorted((self.folder / SCANS).glob("*")):
            files = sorted(folder.glob("*.dcm"))
            known = self.queue.get(folder.name) if is_uid(folder.name) else None
            if known is not None and known.state == "done":
                self.remove(folder)
            elif is_uid(folder.name) and files and (known is None or known.state in ENDS):
                uids, _ = attempt(lambda file=files[0]: uids_of(file.read_bytes(), file.name))
                self.queue.received(folder.name, uids[0] if uids else "", len(files))
                adopted.append(folder.name)
        for folder in sorted((self.folder / OBJECTS).glob("*")):
            known = self.queue.get(folder.name)
            if known is None or known.state != "sending":
                self.remove(folder)
        return adopted

    def scans(self, series: str) -> Path:
        """Where a series' files are."""
        return self.folder / SCANS / series

    def objects(self, series: str) -> Path:
        """Where what was predicted of a series is."""
        return self.folder / OBJECTS / series

    def remove(self, folder: Path) -> None:
        """Delete a folder of the spool."""
        with self.lock:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            shutil.rmtree(folder, ignore_errors=True)
            self.used = max(self.used - size, 0)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that is there after a power cut, too: whoever sent it deletes its own."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def tried(work: Callable[[], Result]) -> tuple[Result | None, str | None]:
    """As `attempt`, also where the disk is full: for the next series it may have room, so the service goes on."""
    try:
        return attempt(work)
    except UnwritableError as error:
        return None, str(error)
