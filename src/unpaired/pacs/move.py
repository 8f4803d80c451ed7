"""An archive that is asked to send what is wanted to a storage service of this side (C-MOVE), as most demand it."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.pacs.archive import Query, RemoteSeries
from unpaired.pacs.dimse import OUT_OF_RESOURCES, SUCCESS, DimseArchive, series_keys
from unpaired.pacs.instance import uids_of
from unpaired.pacs.storage import Listening, StorageServer
from unpaired.pacs.stream import Put, streamed

MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
"""The study root model of C-MOVE."""
NOT_WANTED = 0x0124
"""Not authorized (PS3.7 C.4.1): nobody asked for it."""


class MovingArchive:
    """A DIMSE archive whose files come to a service that listens at `where`, one series at a time.

    The archive finds the service by this side's AE title, which it has to know with host and port.
    """

    def __init__(self, archive: DimseArchive, where: Listening) -> None:
        self.archive = archive
        self.server = StorageServer(archive.login, where, self._stored, lambda text: None)
        self.wanted: tuple[str, Put] | None = None

    @contextmanager
    def listening(self) -> Generator["MovingArchive"]:
        """Listen as long as the block lasts. Raises InputError where the port is taken."""
        self.server.start()
        try:
            yield self
        finally:
            self.server.stop()

    def find(self, query: Query) -> list[RemoteSeries]:
        """The series that fit (C-FIND)."""
        return self.archive.find(query)

    def store(self, files: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
        """Send files (C-STORE)."""
        return self.archive.store(files)

    def retrieve(self, series: RemoteSeries) -> Iterator[bytes]:
        """The files of a series (C-MOVE), as they come."""
        return streamed(lambda put: self._move(series, put))

    def _move(self, series: RemoteSeries, put: Put) -> None:
        own = self.archive.login.title
        advice = f"it has to know the AE title {own!r} at this machine, port {self.server.port}"
        self.wanted = (series.uid, put)
        try:
            with self.archive.association([(MOVE, None)]) as association:
                if not association.accepted_contexts:
                    raise InputError(f"{self.archive.address}: it doesn't answer C-MOVE; try without --move")
                answers = association.send_c_move(series_keys(series), own, MOVE)
                self.archive.require_all(answers, series, advice)
        finally:
            self.wanted = None

    def _stored(self, content: bytes, sender: str) -> int:
        """Take what was asked for: the port is open, so strangers may send, too."""
        wanted = self.wanted
        uids, _ = attempt(lambda: uids_of(content, sender))
        if wanted is None or uids is None or uids[1] != wanted[0]:
            return NOT_WANTED
        return SUCCESS if wanted[1](content) else OUT_OF_RESOURCES
