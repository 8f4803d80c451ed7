"""What archives and scanners send by C-STORE into a spool."""

from collections.abc import Callable

from unpaired.errors import InputError, UnwritableError
from unpaired.failures import attempt
from unpaired.pacs.archive import Login
from unpaired.pacs.dimse import OUT_OF_RESOURCES, SUCCESS
from unpaired.pacs.spool import FullError, Spool
from unpaired.pacs.storage import Listening, StorageServer

CANNOT_UNDERSTAND = 0xC000
SLACK = 2**20
"""Within a megabyte of its limit a spool counts as full, for the answer that makes senders try again later."""


class Receiver:
    """A storage service over a spool, from `start` to `stop`."""

    def __init__(self, spool: Spool, login: Login, where: Listening, tell: Callable[[str], None]) -> None:
        self.spool, self.tell = spool, tell
        self.server = StorageServer(login, where, self._stored, tell)
        self.start, self.stop = self.server.start, self.server.stop

    @property
    def port(self) -> int:
        """The port, also where a free one was asked for."""
        return self.server.port

    def _stored(self, content: bytes, sender: str) -> int:
        try:
            _, problem = attempt(lambda: self._take(content))
            status = OUT_OF_RESOURCES if self.spool.is_full(SLACK) else CANNOT_UNDERSTAND
        except UnwritableError as error:
            problem, status = str(error), OUT_OF_RESOURCES
        if problem is None:
            return SUCCESS
        self.tell(f"refused an image from {sender}: {problem}")
        return status

    def _take(self, content: bytes) -> None:
        try:
            self.spool.take(content)
        except FullError as error:
            raise InputError(f"{error} ({self.spool.limit_bytes / 1e9:.1f} GB)") from error
