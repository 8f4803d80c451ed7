"""Files that come in one thread and are taken in another, a few at a time."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread

WAITING = 16
"""So many files at most have come and aren't taken yet; whoever sends waits."""

Put = Callable[[bytes], bool]
"""Hands a file over; False once nobody wants more."""


def streamed(work: Callable[[Put], None]) -> Iterator[bytes]:
    """The files that `work`, in a thread of its own, puts; what it raises is raised here."""
    done: Queue[bytes | Exception | None] = Queue(maxsize=WAITING)
    stopped = Event()

    def put(content: bytes) -> bool:
        if not stopped.is_set():
            done.put(content)
        return not stopped.is_set()

    def run() -> None:
        try:
            work(put)
            done.put(None)
        except Exception as error:  # noqa: BLE001 (raised again where the files are taken)
            done.put(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while (item := done.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:  # nobody wants the rest: it is refused, so that the connection ends
        stopped.set()
        while thread.is_alive():
            with suppress(Empty):
                done.get(timeout=0.1)
