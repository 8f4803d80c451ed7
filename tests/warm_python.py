"""Python in a process of its own that needn't import torch first, which is most of the time that such a test takes.

On Linux it is the fork of an interpreter that has imported what commands need and done nothing besides
(multiprocessing's fork server): what a test patched, computed or opened is not there. Elsewhere it is new.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

IMPORTED = ["__main__", "unpaired.training.train", "unpaired.inference.requested", "unpaired.inference.predict"]


class Fork:
    """What tests need of a `subprocess.Popen` whose pipes are of text."""

    stdin = None

    def __init__(self, words: list[str], environment: dict[str, str], new_session: bool) -> None:
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(IMPORTED)
        (ours_out, out), (ours_err, err) = forks.Pipe(duplex=False), forks.Pipe(duplex=False)
        self.stdout, self.stderr = os.fdopen(os.dup(ours_out.fileno())), os.fdopen(os.dup(ours_err.fileno()))
        self._process = forks.Process(target=_run, args=(words, environment, new_session, Path.cwd(), out, err))
        self._process.start()
        for end in (ours_out, ours_err, out, err):
            end.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Both pipes to their ends; then the process has `timeout` seconds to end."""
        with ThreadPoolExecutor(2) as both:
            out, err = both.map(lambda pipe: pipe.read(), (self.stdout, self.stderr))
        self.wait(timeout)
        return out, err


def python(
    *words: str, environment: Mapping[str, str] = os.environ, new_session: bool = False
) -> "Fork | subprocess.Popen[str]":
    """`python WORDS`, which are "-m" and a module or "-c" and code, and arguments; started, with pipes to read."""
    if sys.platform == "linux":
        return Fork(list(words), dict(environment), new_session)
    return subprocess.Popen(
        [sys.executable, *words],
        env=environment,
        start_new_session=new_session,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(
    words: list[str], environment: dict[str, str], new_session: bool, folder: Path, out: Connection, err: Connection
) -> None:
    multiprocessing.set_start_method(None, force=True)  # as before: it is the fork server's, for what starts here too
    if new_session:
        os.setsid()
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
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
        atexit._run_exitfuncs()  # multiprocessing leaves them out
