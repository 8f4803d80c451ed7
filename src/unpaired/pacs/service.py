"""The work of `unpaired dicom watch`: what came is predicted when it is whole, what was predicted is sent."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from unpaired.pacs.archive import Archive, Query, RemoteSeries
from unpaired.pacs.queue import Entry
from unpaired.pacs.segment import Segmenter, SkippedError
from unpaired.pacs.spool import Spool, tried

IDLE_SECONDS = 1.0
"""How long the service rests where there is nothing to do."""
SCANS = ("CT", "MR", "PT")
"""Modalities that a poll fetches; the run decides of each series whether it fits."""


@dataclass(frozen=True)
class Polling:
    """An archive that is asked for new series every so many seconds, of the studies since a day (20260131).

    Without a day since yesterday, whenever that is.
    """

    archive: Archive
    seconds: float
    since: str = ""

    def query(self) -> Query:
        """What is asked for now."""
        return Query(date=f"{self.since or f'{date.today() - timedelta(days=1):%Y%m%d}'}-")


class Service:
    """One step after the other in one thread; images come in others."""

    def __init__(
        self,
        spool: Spool,
        segmenter: Segmenter,
        destination: Archive,
        tell: Callable[[str], None],
        quiet_seconds: float,
        polling: Polling | None = None,
    ) -> None:
        self.spool, self.segmenter, self.destination, self.tell = spool, segmenter, destination, tell
        self.quiet_seconds, self.polling = quiet_seconds, polling
        self.seen: dict[str, int] = {}
        self.next_poll = 0.0
        self.begun = time.time()

    def start(self) -> None:
        """Take up what an earlier process left."""
        for uid in self.spool.adopt():
            self.tell(f"series {uid}: found in the spool, though not in the queue; taken up")
        for entry in self.spool.queue.recover():
            again = "it begins anew" if entry.state == "receiving" else entry.note
            self.tell(f"series {entry.uid}: was being predicted when the service ended; {again}")
            self._clear(entry)

    def run(self, stopped: Event) -> None:
        """Work until `stopped` is set."""
        while not stopped.is_set():
            if not self.step():
                stopped.wait(IDLE_SECONDS)

    def step(self) -> bool:
        """Send one series, or predict one, or ask an archive; whether there was anything to do."""
        if (entry := self.spool.queue.next_to_send()) is not None:
            self._send(entry)
            return True
        if (entry := self.spool.queue.next_to_predict(self.quiet_seconds)) is not None:
            self._predict(entry)
            return True
        if self.polling is not None and time.time() >= self.next_poll:
            self.next_poll = time.time() + self.polling.seconds
            self._poll(self.polling)
            return True
        return False

    def report(self) -> dict[str, Any]:
        """Where everything stands, for the health page."""
        full = self.spool.is_full()
        counts = self.spool.queue.counts()
        return {
            "status": "full" if full else "ok",
            "running_seconds": round(time.time() - self.begun),
            **counts,
            "spool_bytes": self.spool.used,
            "limit_bytes": self.spool.limit_bytes,
            "latest": [asdict(entry) for entry in self.spool.queue.latest()],
        }

    def _predict(self, entry: Entry) -> None:
        uid, queue = entry.uid, self.spool.queue
        self.tell(f"series {uid}: {entry.images} images came, predicting")
        began, out = time.monotonic(), self.spool.objects(uid)
        self.spool.remove(out)
        objects, problem = tried(lambda: self._objects(uid, out))
        seconds = time.monotonic() - began
        if isinstance(objects, SkippedError):
            ended, told = queue.end(uid, "skipped", str(objects)), f"skipped, {objects}"
        elif problem is not None or objects is None:
            ended, told = queue.end(uid, "failed", problem or "no objects"), f"FAILED, {problem}"
        else:
            self.spool.used += sum(path.stat().st_size for path in objects)
            ended, told = queue.predicted(uid), f"predicted in {seconds:.1f} s, {len(objects)} objects wait to be sent"
        self.tell(f"series {uid}: {told if ended else 'more images came while it was predicted; it begins anew'}")
        if self._now(entry).state != "sending":
            self._clear(self._now(entry))

    def _objects(self, uid: str, out: Path) -> list[Path] | SkippedError:
        try:
            return self.segmenter.segment(self.spool.scans(uid), out)
        except SkippedError as skipped:
            return skipped

    def _send(self, entry: Entry) -> None:
        uid, queue = entry.uid, self.spool.queue
        files = sorted(self.spool.objects(uid).glob("*.dcm"))
        answers, problem = tried(lambda: [reason for _, reason in self.destination.store(files)])
        refused = [reason for reason in answers or [] if reason is not None]
        problem = problem or (refused[0] if refused else None)
        if problem is not None:
            wait = queue.not_sent(uid, problem)
            self.tell(f"series {uid}: NOT SENT, {problem}; trying again in {wait:.0f} s")
            return
        queue.end(uid, "done")
        self.tell(f"series {uid}: done, {len(files)} objects sent")
        self._clear(self._now(entry))

    def _poll(self, polling: Polling) -> None:
        """Fetch the series that are new and that didn't grow since the poll before."""
        listed, problem = tried(lambda: polling.archive.find(polling.query()))
        if problem is not None:
            self.tell(f"can't ask the archive: {problem}")
        for remote in listed or []:
            known = self.spool.queue.get(remote.uid)
            if known is not None or remote.modality not in SCANS:
                continue
            if self.seen.get(remote.uid) != remote.instances:
                self.seen[remote.uid] = remote.instances
                self.next_poll = min(self.next_poll, time.time() + max(self.quiet_seconds, 0.1))
                continue
            if self.spool.is_full():
                self.tell("no room: the limit of disk is reached; nothing is fetched until series have ended")
                return
            _, problem = tried(lambda remote=remote: self._fetch(polling.archive, remote))
            if problem is not None:
                self.tell(f"series {remote.uid}: can't be fetched, {problem}")

    def _fetch(self, archive: Archive, remote: RemoteSeries) -> None:
        count = self.spool.take_whole(remote, archive.retrieve(remote))
        self.tell(f"series {remote.uid}: fetched {count} images")

    def _clear(self, entry: Entry) -> None:
        """Delete what a series that has ended left; of one that begins anew what was half predicted."""
        if entry.state != "receiving":
            self.spool.remove(self.spool.scans(entry.uid))
        self.spool.remove(self.spool.objects(entry.uid))

    def _now(self, entry: Entry) -> Entry:
        return self.spool.queue.get(entry.uid) or entry
