"""Jobs dealt out to workers that die: nothing is lost, nothing is done twice, and no place that fails eats the list."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from unpaired.errors import InputError, UnwritableError
from unpaired.inference.dispatch import Answer, Died, Ready, Said, Wrong, dispatch
from unpaired.inference.jobs import CaseResult, Event, Job, Remark


class Scripted:
    """Workers that answer in the order in which they were asked, with what `ready` and `done` say."""

    def __init__(
        self,
        count: int,
        ready: Callable[[int], Said] = lambda worker: Ready(),
        done: Callable[[int, Job], Said | None] = lambda worker, job: None,
    ) -> None:
        self.count, self.ready, self.done = count, ready, done
        self.asked: list[tuple[int, Job | None]] = []
        self.given: list[tuple[int, str]] = []

    def start(self, worker: int) -> None:
        assert worker not in [asked for asked, _ in self.asked]
        self.asked.append((worker, None))

    def give(self, worker: int, job: Job) -> None:
        assert worker not in [asked for asked, _ in self.asked], "one job at a time"
        self.asked.append((worker, job))
        self.given.append((worker, job.name))

    def wait(self) -> tuple[int, Said]:
        worker, job = self.asked.pop(0)
        if job is None:
            return worker, self.ready(worker)
        return worker, self.done(worker, job) or Answer(CaseResult(job.name, job.output, "written"))


def jobs(names: str) -> list[Job]:
    return [Job(name, Path(name), "ct", Path(f"out/{name}")) for name in names]


def told(names: str, workers: Scripted) -> tuple[list[CaseResult], list[str]]:
    events: list[Event] = []
    dispatch(jobs(names), workers, events.append)
    remarks = [event.text for event in events if isinstance(event, Remark)]
    return [event for event in events if isinstance(event, CaseResult)], remarks


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_job_is_done_once_in_order(count: int) -> None:
    workers = Scripted(count)
    results, remarks = told("abcd", workers)
    assert [result.name for result in results] == list("abcd")
    assert [name for _, name in workers.given] == list("abcd")
    assert remarks == []


def test_a_job_whose_worker_died_is_done_again_at_the_end() -> None:
    deaths = iter([Died("killed")])
    workers = Scripted(2, done=lambda _, job: next(deaths, None) if job.name == "b" else None)
    results, remarks = told("abcd", workers)
    assert sorted(result.name for result in results) == list("abcd")
    assert {result.result for result in results} == {"written"}
    assert Counter(name for _, name in workers.given) == {"a": 1, "b": 2, "c": 1, "d": 1}
    assert workers.given[-1][1] == "b"
    assert remarks == ["note: b: its process ended, it is done again (killed)"]


def test_jobs_that_kill_are_failures_and_no_other_is() -> None:
    """The largest come first, so where memory is short all of the first ones kill: no worker is given up for that."""
    workers = Scripted(2, done=lambda _, job: Died("out of memory") if job.name in "abcd" else None)
    results, _ = told("abcdef", workers)
    failed = {result.name: result.text for result in results if result.result == "failed"}
    assert failed == dict.fromkeys("abcd", "its process ended 3 times: out of memory")
    assert [result.name for result in results if result.result == "written"] == ["e", "f"]
    assert len(results) == 6


def test_a_place_where_nothing_gets_ready_takes_no_jobs() -> None:
    workers = Scripted(2, ready=lambda worker: Died("no package there") if worker == 1 else Ready())
    results, remarks = told("abc", workers)
    assert len(results) == 3
    assert {worker for worker, _ in workers.given} == {0}
    assert remarks == ["note: process 2 is given up, it never got ready: no package there"]


def test_one_line_where_no_worker_gets_ready() -> None:
    with pytest.raises(InputError, match="no process gets ready to predict: no memory"):
        told("abc", Scripted(2, ready=lambda _: Died("no memory")))


def test_what_the_first_worker_says_is_wrong_stops_all_and_what_a_later_one_says_does_not() -> None:
    with pytest.raises(InputError, match="no such device"):
        told("abc", Scripted(2, ready=lambda _: Wrong("no such device")))
    workers = Scripted(2, ready=lambda worker: Wrong("no such device") if worker == 1 else Ready())
    assert len(told("abc", workers)[0]) == 3


def test_a_full_disk_stops_all() -> None:
    with pytest.raises(UnwritableError, match="disk full"):
        told("abc", Scripted(2, done=lambda *_: Wrong("disk full", unwritable=True)))


def test_what_workers_remark_is_told_before_what_became_of_the_job() -> None:
    events: list[Event] = []
    first, second = Remark("note: loaded"), Remark("note: chosen")
    answer = Answer(CaseResult("a", Path("out/a"), "written"), (second,))
    dispatch(jobs("a"), Scripted(1, lambda _: Ready((first,)), lambda *_: answer), events.append)
    assert events == [first, second, answer.result]


def test_progress_is_told_once_a_minute() -> None:
    times = iter(range(0, 1000, 25))
    events: list[Event] = []
    dispatch(jobs("abcdefg"), Scripted(1), events.append, clock=lambda: next(times))
    said = [event.text for event in events if isinstance(event, Remark)]
    assert said == ["note: 3 of 7 cases, 0 failed, 2 min left", "note: 6 of 7 cases, 0 failed, 1 min left"]


def test_nothing_to_do_starts_nobody_for_long() -> None:
    assert told("", Scripted(2)) == ([], [])
