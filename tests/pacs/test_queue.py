"""The queue on disk: at most once, through killed processes, and what comes late."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unpaired.pacs.queue import LATE, SeriesQueue


@pytest.fixture
def queue(tmp_path: Path) -> SeriesQueue:
    return SeriesQueue(tmp_path / "queue.sqlite")


def predicted(queue: SeriesQueue, uid: str = "1.2", now: float = 100.0) -> None:
    queue.received(uid, "1", now=now)
    assert queue.next_to_predict(10, now=now + 11) is not None
    assert queue.predicted(uid)


def test_a_series_is_whole_when_it_is_quiet(queue: SeriesQueue) -> None:
    queue.received("1.2", "1", now=100)
    queue.received("1.2", "1", now=108)
    queue.received("1.3", "1", now=104)
    assert queue.next_to_predict(10, now=113) is None
    first = queue.next_to_predict(10, now=130)
    second = queue.next_to_predict(10, now=130)
    assert first is not None
    assert second is not None
    assert (first.uid, second.uid, second.images, second.state) == ("1.3", "1.2", 2, "predicting")
    assert queue.next_to_predict(10, now=200) is None


def test_what_is_done_is_never_predicted_again_and_late_images_are_noted(queue: SeriesQueue) -> None:
    predicted(queue)
    assert not queue.takes("1.2")
    queue.end("1.2", "done")
    queue.received("1.2", "1", now=300)
    entry = queue.get("1.2")
    assert entry is not None
    assert (entry.state, entry.note) == ("done", LATE)
    assert not queue.takes("1.2")
    assert queue.next_to_predict(0, now=999) is None


@pytest.mark.parametrize("end", ["failed", "skipped"])
def test_what_failed_begins_anew_when_it_comes_again(queue: SeriesQueue, end: str) -> None:
    queue.received("1.2", "1", now=100)
    queue.next_to_predict(10, now=120)
    assert queue.end("1.2", end, "why")
    assert queue.next_to_predict(0, now=999) is None
    assert queue.takes("1.2")
    queue.received("1.2", "1", now=1000)
    entry = queue.get("1.2")
    assert entry is not None
    assert (entry.state, entry.images, entry.note) == ("receiving", 1, "")


def test_images_that_come_while_it_is_predicted_make_it_begin_anew(queue: SeriesQueue) -> None:
    queue.received("1.2", "1", now=100)
    queue.next_to_predict(10, now=120)
    queue.received("1.2", "1", now=121)
    assert not queue.predicted("1.2")
    assert not queue.end("1.2", "failed", "a slice is missing")
    again = queue.next_to_predict(10, now=140)
    assert again is not None
    assert again.images == 2
    assert queue.predicted("1.2")


def test_sending_waits_longer_each_time(queue: SeriesQueue) -> None:
    predicted(queue)
    waits = []
    now = 200.0
    for _ in range(5):
        entry = queue.next_to_send(now)
        assert entry is not None
        waits.append(queue.not_sent(entry.uid, "unreachable", now))
        assert queue.next_to_send(now) is None
        now += waits[-1]
    assert waits == [5, 30, 120, 600, 600]
    assert queue.end("1.2", "done")
    assert queue.next_to_send(now + 9999) is None
    assert queue.counts() == {
        "receiving": 0, "predicting": 0, "sending": 0, "done": 1, "failed": 0, "skipped": 0
    }  # fmt: skip


KILLED = """
import os, signal, sys
from pathlib import Path
from unpaired.pacs.queue import SeriesQueue
queue = SeriesQueue(Path(sys.argv[1]))
queue.received("1.2", "1", now=100)
queue.received("1.3", "1", now=100)
queue.next_to_predict(0, now=200)
queue.predicted("1.2")
queue.next_to_predict(0, now=200)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_kill_9_loses_nothing_and_a_series_that_kills_twice_has_failed(tmp_path: Path) -> None:
    file = tmp_path / "queue.sqlite"
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    queue = SeriesQueue(file)
    assert [(entry.uid, entry.state) for entry in queue.recover()] == [("1.3", "receiving")]
    waiting = queue.next_to_send(1e12)
    assert waiting is not None
    assert waiting.uid == "1.2"
    assert queue.next_to_predict(0) is not None
    queue.close()
    queue = SeriesQueue(file)
    (broken,) = queue.recover()
    assert (broken.state, broken.uid) == ("failed", "1.3")
    assert "ended the service 2 times" in broken.note
