"""`unpaired dicom watch`: a service between an archive and a run, put together and kept running."""

import logging
import logging.handlers
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from unpaired.consent.modules import Trust
from unpaired.errors import InputError, printable
from unpaired.files import input_error_if_unwritable
from unpaired.pacs.archive import OWN_TITLE, Login
from unpaired.pacs.connection import connected
from unpaired.pacs.health import HealthPage
from unpaired.pacs.receive import Receiver
from unpaired.pacs.segment import ObjectKind, RunSegmenter
from unpaired.pacs.service import Polling, Service
from unpaired.pacs.spool import LOCK, LOG, Spool
from unpaired.pacs.storage import LOOPBACK, PORT, Listening
from unpaired.runs.lock import only_one
from unpaired.runs.run import Run

LOG_BYTES, LOGS = 5_000_000, 5
"""Of one file of the log, and how many older ones are kept."""


def print_at_once(line: str) -> None:
    """Print a line without waiting for more: whoever keeps a service reads its lines through a pipe."""
    print(line, flush=True)


def watch_dicom(
    run: Run | str | Path,
    archive: str,
    spool: str | Path,
    *,
    poll: float = 0.0,
    since: str = "",
    move: bool = False,
    listen: str = LOOPBACK,
    port: int = PORT,
    accept: Sequence[str] = (),
    tls: bool = False,
    title: str = OWN_TITLE,
    authority: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    objects: Sequence[ObjectKind] = ("seg",),
    modality: str | None = None,
    modality_from: str | None = None,
    weights: str = "best",
    device: str = "auto",
    quiet: float = 30.0,
    limit_gb: float = 20.0,
    health_port: int = 11180,
    trust: Trust = (),
    tell: Callable[[str], None] = print_at_once,
    stopped: threading.Event | None = None,
) -> None:
    """Predict every series that comes and send the objects to an archive, until stopped (Ctrl-C, SIGTERM, `stopped`).

    run: loaded once.  archive: where objects go, as for `fetch_dicom`.  spool: a folder for what came and waits; a
    service that was killed goes on from it.  poll: ask the archive for new series every so many seconds, of studies
    since `since` (20260131; default yesterday), by C-GET or, with `move`, by C-MOVE; without it (0) series come by
    C-STORE to `listen`:`port`, from the AE titles `accept` (default any), with TLS if `tls`. Beyond this machine it is
    heard only if `listen` says so.  title, authority, certificate, key: as for `fetch_dicom`; with `tls` senders have
    to show a certificate of `authority`.
    objects: seg, rtstruct.  modality, modality_from, weights, device, trust: as in `predict`.  quiet: seconds without a
    new image after which a series is whole.  limit_gb: of disk for the spool.  health_port: a page on this machine
    alone, /health as JSON (0: a free port).

    Each series is predicted at most once; one that failed, or didn't fit the run, anew when it is sent again. `tell`
    gets the lines of the log (`spool`/watch.log), which name UIDs and AE titles, nobody's name. Raises InputError for a
    run, archive, port or folder that can't be used.
    """
    if limit_gb <= 0 or quiet < 0 or poll < 0:
        got = f"{limit_gb:g}, {quiet:g} and {poll:g}"
        raise InputError(f"expected numbers above 0 for --limit-gb, --quiet and --poll, got {got}")
    folder, own = Path(spool), Login(title, authority, certificate, key)
    with input_error_if_unwritable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if move and not poll:
        raise InputError("--move is how a poll fetches (--poll 60); without one, series come by C-STORE")
    if since and not poll:
        raise InputError(
            f"--since {since} is how far back a poll looks (--poll 60); without one, series come by C-STORE"
        )
    if poll and (accept or tls):
        raise InputError("--accept and --tls are of series that are sent here; a poll asks the archive: leave them out")
    moving = Listening(listen, port) if move else None
    with (
        only_one(folder / LOCK, "watching"),
        _log(folder / LOG, tell) as line,
        connected(archive, own, moving) as destination,
    ):
        polling = Polling(destination, poll, since) if poll else None
        segmenter = RunSegmenter(
            run,
            weights=weights,
            device=device,
            modality=modality,
            modality_from=modality_from,
            objects=objects,
            trust=trust,
        )
        service = Service(Spool(folder, int(limit_gb * 1e9)), segmenter, destination, line, quiet, polling)
        where = None if polling else Listening(listen, port, tuple(accept), tls)
        _serve(service, own, where, health_port, line, stopped or threading.Event())


def _serve(
    service: Service,
    login: Login,
    where: Listening | None,
    health_port: int,
    line: Callable[[str], None],
    stopped: threading.Event,
) -> None:
    """Everything that runs at once, begun and ended in order."""
    health = HealthPage(LOOPBACK, health_port, service.report)
    receiver = None if where is None else Receiver(service.spool, login, where, line)
    try:
        service.start()
        if receiver is not None and where is not None:
            receiver.start()
            line(f"receiving as {login.title} on {where.host}:{receiver.port}")
        health.start()
        line(f"health on http://{LOOPBACK}:{health.port}/")
        service.run(stopped)
    finally:
        if receiver is not None:
            receiver.stop()
        health.stop()
        service.spool.queue.close()
        line("stopped")


@contextmanager
def _log(path: Path, tell: Callable[[str], None]) -> Generator[Callable[[str], None]]:
    """A function that writes a line with the time to a log file, which is cut off where it gets long, and tells it."""
    with input_error_if_unwritable(path):
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=LOGS, encoding="utf-8", delay=False
        )

    def line(text: str) -> None:
        stamped = f"{datetime.fromtimestamp(time.time()).astimezone():%Y-%m-%dT%H:%M:%S%z} {printable(text)}"
        handler.handle(logging.makeLogRecord({"msg": stamped}))
        tell(stamped)

    try:
        yield line
    finally:
        handler.close()
