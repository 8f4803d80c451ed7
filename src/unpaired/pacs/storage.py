"""A storage service (C-STORE SCP), which archives and scanners send to; it answers C-ECHO too."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from socketserver import BaseServer
from threading import Thread
from typing import Any

from unpaired.errors import InputError
from unpaired.pacs.archive import Login
from unpaired.pacs.dimse import SYNTAXES, require_pynetdicom, storage_classes

LOOPBACK = "127.0.0.1"
PORT = 11112
POLL_SECONDS = 0.05
"""How soon a service that is stopped ends."""
HANDSHAKE_SECONDS = 15.0


@dataclass(frozen=True)
class Listening:
    """Where a service listens; `accept` are the AE titles that may send, all if it is empty. `port` 0 is a free one."""

    host: str = LOOPBACK
    port: int = PORT
    accept: tuple[str, ...] = ()
    tls: bool = False


class StorageServer:
    """The service, from `start` to `stop`.

    `take` gets each file with who sent it, and gives the status of the answer (PS3.4 B.2.3); `tell` gets a line for
    each connection that is refused.
    """

    def __init__(
        self, login: Login, where: Listening, take: Callable[[bytes, str], int], tell: Callable[[str], None]
    ) -> None:
        require_pynetdicom()
        if where.tls and login.certificate is None:
            raise InputError("TLS for what is received needs a certificate of this side: --certificate and --key")
        self.login, self.where, self.take, self.tell = login, where, take, tell
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
            kind = _server_class(self._tls() if self.where.tls else None, self.tell)
            self.server = entity.make_server(place, evt_handlers=handlers, server_class=kind)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"can't listen on {place[0]}:{place[1]}: {reason}; choose another --port") from error
        Thread(target=self.server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self.server is not None:
            self.server.shutdown()

    def _stored(self, event: Any) -> int:
        return self.take(event.encoded_dataset(), _title(event))

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


def _server_class(tls: ssl.SSLContext | None, tell: Callable[[str], None]) -> Any:
    """pynetdicom's server, with the handshake of TLS in each connection's own thread, and with an end.

    pynetdicom shakes hands where it accepts connections: whoever connects and says nothing keeps all others out.
    """
    from pynetdicom.transport import ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        daemon_threads = True

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            if tls is not None:
                plain = request
                plain.settimeout(HANDSHAKE_SECONDS)
                try:
                    request = tls.wrap_socket(plain, server_side=True)
                except (ssl.SSLEOFError, ConnectionError):  # it went away: no more than a look whether somebody is here
                    plain.close()
                    return
                except OSError as error:  # also all that is wrong with certificates
                    plain.close()
                    reason = getattr(error, "reason", None) or "it says nothing"
                    tell(f"refused a connection from {client_address[0]}: no TLS ({reason})")
                    return
                request.settimeout(None)
            super().process_request_thread(request, client_address)

        def shutdown(self) -> None:
            BaseServer.shutdown(self)  # pynetdicom's wants one that it started itself
            self.server_close()

    return Server


def _title(event: Any) -> str:
    """The sender's AE title and address."""
    sender = event.assoc.requestor
    return f"{str(sender.ae_title).strip()} at {sender.address}"
