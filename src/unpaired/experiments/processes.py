"""Tasks of a study in processes of their own, several at a time: one that dies is one cell's failure."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol, runtime_checkable

from unpaired.data.parallel import signals_held
from unpaired.errors import Stopped
from unpaired.experiments.tasks import Task
from unpaired.failures import attempt
from unpaired.files import input_error_if_unwritable
from unpaired.inference.worker import STOPPED

BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from unpaired.experiments.worker import serve; sys.exit(serve())"
)
LOOK_EVERY = 0.1
"""Seconds."""
THREADS = "OMP_NUM_THREADS"
GPUS = "CUDA_VISIBLE_DEVICES"

TOLD = "its process was told to stop (SIGTERM or SIGINT), and not by this call; the same call goes on"

Begun = Literal["begin", "skip", "stop"]


@dataclass(frozen=True)
class Answer:
    """What became of a task: its result, or in one line why there is none. Neither: it was told to stop."""

    result: dict[str, float] | None = None
    failure: str | None = None


@runtime_checkable
class Running(Protocol):
    """A task at work somewhere."""

    def stop(self) -> None:
        """Ask it to save and stop."""
        ...

    def answer(self) -> Answer | None:
        """What became of it; None while it works."""
        ...


Start = Callable[[Task, Path, Mapping[str, str]], Running]
"""(task, its log, variables of its environment) -> the task at work."""


class Process:
    """One task at work. It doesn't hear the terminal's Ctrl-C: whoever started it passes that on, once."""

    def __init__(self, task: Task, log: Path, environment: Mapping[str, str]) -> None:
        with input_error_if_unwritable(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log: IO[bytes] = log.open("ab")
        with signals_held():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", BEGIN, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        assert self._process.stdin is not None  # both pipes were asked for
        with suppress(BrokenPipeError):  # it is dead already, which its exit code says
            pickle.dump(task, self._process.stdin)
            self._process.stdin.flush()

    def stop(self) -> None:
        """Ask it to save and stop."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)

    def answer(self) -> Answer | None:
        """What became of it; None while it works."""
        code = self._process.poll()
        if code is None:
            return None
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        line = self._process.stdout.read()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(OSError):
                stream.close()
        if code == STOPPED:
            return Answer()
        if not line.endswith(b"\n"):
            return Answer(failure=_reason_of(code))
        said = json.loads(line)
        return Answer(said.get("done"), said.get("failed"))


def _reason_of(code: int) -> str:
    if code < 0 and -code in (signal.SIGTERM, getattr(signal, "SIGKILL", 0)):
        return f"its process was killed (signal {-code}), as a rule for want of memory; run fewer jobs at a time"
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"its process ended without an answer ({name}): a fault of a library or of unpaired, please report it"


@dataclass(frozen=True)
class Places:
    """Where processes compute: `jobs` of them at a time, each with so many `threads` (None: a share of the cores).

    With several `gpus` (names as in CUDA_VISIBLE_DEVICES) the processes are dealt out over them. `start` begins a task:
    as a process of this machine, unless it says otherwise (`experiments.on_ray`).
    """

    jobs: int = 1
    threads: int | None = None
    gpus: tuple[str, ...] = ()
    start: Start = field(default=Process, compare=False)

    @property
    def are_here(self) -> bool:
        """Whether all processes are this machine's."""
        return self.start is Process

    def environment(self, slot: int) -> dict[str, str]:
        """The variables of the process in a slot, 0 to `jobs` - 1."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        given = None if self.jobs > 1 else os.environ.get(THREADS)
        threads = str(self.threads or given or max(cores // self.jobs, 1))
        return {THREADS: threads} | ({GPUS: self.gpus[slot % len(self.gpus)]} if self.gpus else {})


def in_process(task: Task) -> Answer:
    """A task done here and now; Ctrl-C comes through, also as `Stopped`."""

    def done() -> dict[str, float]:
        try:
            return task()
        except Stopped as stopped:
            raise KeyboardInterrupt(str(stopped)) from stopped

    result, failure = attempt(done)
    return Answer(result, failure)


def in_processes(
    chains: Sequence[Sequence[tuple[Task, Path]]],
    places: Places,
    begin: Callable[[int, int], Begun],
    end: Callable[[int, int, Answer], None],
) -> None:
    """Do tasks, those of a chain in turn and the chains side by side; `Path` is the log of each.

    `begin(chain, place)` is asked before each task, which is passed over where it says "skip", and a chain ends where
    it says "stop"; `end` gets each answer, and a chain ends at a task that failed. Raises `KeyboardInterrupt` after
    Ctrl-C, when all processes have saved and ended.
    """
    waiting = [(chain, 0) for chain in range(len(chains))]
    running: dict[int, tuple[Running, int, int]] = {}
    stopped = False
    try:
        while waiting or running:
            for slot in set(range(places.jobs)) - set(running):
                while waiting:
                    chain, position = waiting.pop(0)
                    said = begin(chain, position)
                    if said == "begin":
                        task, log = chains[chain][position]
                        running[slot] = places.start(task, log, places.environment(slot)), chain, position
                        break
                    if said == "skip" and position + 1 < len(chains[chain]):
                        waiting.insert(0, (chain, position + 1))
            for slot, (process, chain, position) in list(running.items()):
                answer = process.answer()
                if answer is None:
                    continue
                del running[slot]
                end(chain, position, Answer(failure=TOLD) if answer == Answer() else answer)
                if answer.result is not None and position + 1 < len(chains[chain]):
                    waiting.insert(0, (chain, position + 1))
            time.sleep(LOOK_EVERY)
    except BaseException:
        stopped = True
        raise
    finally:
        if stopped:
            for process, _, _ in running.values():
                process.stop()
        for process, chain, position in running.values():
            end(chain, position, waited(process))


def waited(process: Running) -> Answer:
    """What becomes of a task, when it has ended."""
    while (answer := process.answer()) is None:
        time.sleep(LOOK_EVERY)
    return answer
