"""A storage service (C-STORE SCP) that puts what archives and scanners send into a spool; it answers C-ECHO too."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.pacs.archive import Login
from unpaired.pacs.dimse import OUT_OF_RESOURCES, SUCCESS, SYNTAXES, require_pynetdicom, storage_classes
from unpaired.pacs.spool import FullError, Spool

CANNOT_UNDERSTAND = 0xC000
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Listening:
    """Where a service listens; `accept` are the AE titles that may send, all if it is empty. `port` 0 is a free one."""

    host: str = LOOPBACK
    port: int = 11112
    accept: tuple[str, ...] = ()
    tls: bool = False


class Receiver:
    """The service, from `start` to `stop`."""

    def __init__(self, spool: Spool, login: Login, where: Listening, tell: Callable[[str], None]) -> None:
        require_pynetdicom()
        if where.tls and login.certificate is None:
            raise InputError("TLS for what is received needs a certificate of this side: --certificate and --key")
        self.spool, self.login, self.where, self.tell = spool, login, where, tell
        self.server: Any = None

    @property
    def port(self) -> int:
        """The port, also where a free one was asked for."""
        return self.server.socket.getsockname()[1] if self.server else self.where.port

    def start(self) -> None:
        """Listen, in threads. Raises InputError where the port is taken."""
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

        entity = AE(ae_title=self.login.title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(self.where.accept)
        entity.add_supported_context(Verification)
        for uid in storage_classes():
            entity.add_supported_context(uid, list(SYNTAXES))
        handlers: list[Any] = [(evt.EVT_C_STORE, self._stored), (evt.EVT_REJECTED, self._rejected)]
        place = (self.where.host, self.where.port)
        try:
            with socket.create_server(place):  # pynetdicom would leave its socket open where this fails
                pass
            tls = self._tls() if self.where.tls else None
            self.server = entity.start_server(place, block=False, evt_handlers=handlers, ssl_context=tls)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"can't listen on {place[0]}:{place[1]}: {reason}; choose another --port") from error

    def stop(self) -> None:
        """Listen no more."""
        if self.server is not None:
            self.server.shutdown()

    def _stored(self, event: Any) -> int:
        _, problem = attempt(lambda: self._take(event))
        if problem is None:
            return SUCCESS
        self.tell(f"refused an image from {_title(event)}: {problem}")
        return OUT_OF_RESOURCES if self.spool.is_full(SLACK) else CANNOT_UNDERSTAND

    def _take(self, event: Any) -> None:
        content = event.encoded_dataset()
        try:
            self.spool.take(content)
        except FullError as error:
            raise InputError(f"{error} ({self.spool.limit_bytes / 1e9:.1f} GB)") from error

    def _rejected(self, event: Any) -> None:
        self.tell(f"refused a connection of {_title(event)}: its AE title or the one that it calls isn't known here")

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        assert self.login.certificate is not None  # checked above
        context.load_cert_chain(self.login.certificate, self.login.key)
        if self.login.authority is not None:  # then senders have to show a certificate of theirs
            context.load_verify_locations(self.login.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


SLACK = 2**20
"""Within a megabyte of its limit a spool counts as full, for the answer that makes senders try again later."""


def _title(event: Any) -> str:
    """The sender's AE title and address."""
    sender = event.assoc.requestor
    return f"{str(sender.ae_title).strip()} at {sender.address}"
