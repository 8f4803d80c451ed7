"""Jobs dealt out to workers that may die, one job at a time each: whatever dies, every job ends exactly once.

Who the workers are is not known here: `on_ray` has Ray's, tests have some that die when they are told to.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from unpaired.errors import InputError, UnwritableError
from unpaired.inference.jobs import CaseResult, Event, Job, Remark

TRIES = 3
"""How often the worker of a job may die before the job is listed as failed. Once more than on one machine alone: where
memory runs short, the system may well kill the neighbor of the process that takes too much."""
STARTS = 3
"""How often in a row a worker may fail to get ready before its place is given up."""
PROGRESS_SECONDS = 60.0


@dataclass(frozen=True)
class Ready:
    """The worker can take jobs; what it had to say."""

    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What became of a job, and what its worker had to say."""

    result: CaseResult
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Died:
    """The worker ended without an answer."""

    reason: str


@dataclass(frozen=True)
class Wrong:
    """What stops all jobs alike, in one line; `unwritable` is a disk that is full."""

    text: str
    unwritable: bool = False

    def error(self) -> InputError:
        """What is raised of it."""
        return (UnwritableError if self.unwritable else InputError)(self.text)


Said = Ready | Answer | Died | Wrong


@runtime_checkable
class Workers(Protocol):
    """`count` workers, numbered from 0."""

    count: int

    def start(self, worker: int) -> None:
        """Let a worker get ready, for the first time or because it died."""
        ...

    def give(self, worker: int, job: Job) -> None:
        """Give a job to a worker that is ready and has none."""
        ...

    def wait(self) -> tuple[int, Said]:
        """Wait until one of those that were started or given a job says something."""
        ...


def dispatch(
    jobs: Sequence[Job],
    workers: Workers,
    tell: Callable[[Event], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Have every job done, in this order as far as workers are free, and tell what became of each, once.

    A job whose worker died is done again, after those that wait; died of `TRIES` times, it is a failed case. Raises
    InputError for what the first worker says is wrong and when no worker gets ready any more, and `UnwritableError`
    when the disk is full.
    """
    _Dispatch(jobs, workers, _with_progress(tell, len(jobs), clock)).run()


class _Dispatch:
    def __init__(self, jobs: Sequence[Job], workers: Workers, tell: Callable[[Event], None]) -> None:
        self.waiting, self.workers, self.tell = deque(jobs), workers, tell
        self.idle: list[int] = []
        self.starting: dict[int, int] = {}
        """How often in a row each that isn't ready yet was started."""
        self.busy: dict[int, Job] = {}
        self.tries: Counter[Path] = Counter()
        self.was_ready = False

    def run(self) -> None:
        for worker in range(self.workers.count):
            self._start(worker, 1)
        while self.waiting or self.busy:
            while self.waiting and self.idle:
                worker, job = self.idle.pop(0), self.waiting.popleft()
                self.busy[worker] = job
                self.workers.give(worker, job)
            worker, said = self.workers.wait()
            if worker in self.busy:
                self._after_job(worker, self.busy.pop(worker), said)
            else:
                self._after_start(worker, self.starting.pop(worker), said)

    def _start(self, worker: int, times: int) -> None:
        self.starting[worker] = times
        self.workers.start(worker)

    def _after_start(self, worker: int, times: int, said: Said) -> None:
        if isinstance(said, Ready):
            self.was_ready = True
            self.idle.append(worker)
            self._tell_all(said.remarks)
            return
        if isinstance(said, Wrong) and not self.was_ready:
            raise said.error()
        reason = said.text if isinstance(said, Wrong) else said.reason if isinstance(said, Died) else "no answer"
        if times < STARTS:
            self._start(worker, times + 1)
        elif self.idle or self.busy or self.starting:
            self.tell(Remark(f"note: process {worker + 1} is given up, it never got ready: {reason}"))
        else:
            raise InputError(f"no process gets ready to predict: {reason}")

    def _after_job(self, worker: int, job: Job, said: Said) -> None:
        if isinstance(said, Wrong):
            raise said.error()
        if isinstance(said, Answer):
            self.idle.append(worker)
            self._tell_all(said.remarks)
            self.tell(said.result)
            return
        reason = said.reason if isinstance(said, Died) else "no answer"
        self.tries[job.output] += 1
        if self.tries[job.output] < TRIES:
            self.waiting.append(job)
            self.tell(Remark(f"note: {job.name}: its process ended, it is done again ({reason})"))
        else:
            self.tell(CaseResult(job.name, job.output, "failed", f"its process ended {TRIES} times: {reason}"))
        self._start(worker, 1)

    def _tell_all(self, remarks: Sequence[Remark]) -> None:
        for remark in remarks:
            self.tell(remark)


def _with_progress(tell: Callable[[Event], None], count: int, clock: Callable[[], float]) -> Callable[[Event], None]:
    """`tell`, and about once a minute how far all is."""
    began = said = clock()
    results: Counter[str] = Counter()

    def telling(event: Event) -> None:
        nonlocal said
        tell(event)
        if isinstance(event, CaseResult):
            results[event.result] += 1
            ended = results.total()
            if ended < count and clock() - said >= PROGRESS_SECONDS:
                said = clock()
                left = (said - began) / ended * (count - ended) / 60
                tell(Remark(f"note: {ended:,} of {count:,} cases, {results['failed']:,} failed, {left:,.0f} min left"))

    return telling
