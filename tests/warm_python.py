"""Python in a process of its own that needn't import torch first, which is most of the time that such a test takes.

On Linux it is the fork of an interpreter that has imported what commands need and done nothing besides
(multiprocessing's fork server): what a test patched, computed or opened is not there. Elsewhere it is new.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from unpaired.inference import watch

if TYPE_CHECKING:  # forks need none
    import pytest

IMPORTED = ["__main__", "unpaired.training.train", "unpaired.inference.requested", "unpaired.inference.predict_files"]


class Fork(Popen[Any]):
    """A `subprocess.Popen` of `[sys.executable, "-m", MODULE, ...]` or `[sys.executable, "-c", CODE, ...]`."""

    _child_created = False  # by Popen itself, which would wait for it

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        text: bool = False,
        env: Mapping[str, str] = os.environ,
        start_new_session: bool = False,
    ) -> None:
        self.args = command
        words = [word for word in command[1:] if word != "-P"]  # no folder of the test's is on the fork's search path
        mode = "" if text else "b"
        self.stdin, stdin = (None, os.dup(0)) if stdin != PIPE else _written(mode)
        self.stdout, stdout = (None, os.dup(1)) if stdout != PIPE else _read(mode)
        self.stderr, stderr = (None, os.dup(2)) if stderr != PIPE else _read(mode)
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(IMPORTED)
        streams = [Connection(number) for number in (stdin, stdout, stderr)]  # the numbers go where the process goes
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ())  # here and now, not where the fork server was begun
        begin = words, streams, dict(env), start_new_session, Path.cwd(), held
        self._process = forks.Process(target=_run, args=begin)
        self._process.start()
        for stream in streams:
            stream.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired("a fork", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[Any, ...]:
        """What came through pipes to their ends; then the process has `timeout` seconds to end."""
        with ThreadPoolExecutor(2) as both:
            said = tuple(both.map(lambda pipe: pipe and pipe.read(), (self.stdout, self.stderr)))
        self.wait(timeout)
        return said


def python(*words: str, env: Mapping[str, str] = os.environ, start_new_session: bool = False) -> "Fork | Popen[str]":
    """`python WORDS`, which are "-m" and a module or "-c" and code, and arguments; started, with pipes to read."""
    begin = Fork if sys.platform == "linux" else Popen
    command = [sys.executable, *words]
    return begin(command, stdout=PIPE, stderr=PIPE, text=True, env=env, start_new_session=start_new_session)


def warm_workers(monkeypatch: "pytest.MonkeyPatch") -> None:
    """Predictions of this test have their processes from here."""
    if sys.platform == "linux":
        monkeypatch.setattr(watch, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": Fork}))


def _written(mode: str) -> tuple[Any, int]:
    theirs, ours = os.pipe()
    return os.fdopen(ours, f"w{mode}"), theirs


def _read(mode: str) -> tuple[Any, int]:
    ours, theirs = os.pipe()
    return os.fdopen(ours, f"r{mode}"), theirs


def _run(
    words: list[str],
    streams: list[Connection],
    environment: dict[str, str],
    new_session: bool,
    folder: Path,
    held: set[signal.Signals],
) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    multiprocessing.set_start_method(None, force=True)  # as before: it is the fork server's, for what starts here too
    if new_session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdout = os.fdopen(1, "w", closefd=False)  # buffered as it is at the start, whatever the fork server's is
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    kind, what, *arguments = words
    sys.argv = [kind, *arguments]
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] (multiprocessing leaves them out)
