"""The same work for every case, in several processes; one that fails, or kills its process, stops no other."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

from unpaired.errors import InputError
from unpaired.failures import attempt

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Outcome = tuple[int, Any, str | None]
"""(position in the work list, result, or None and why it failed)."""


def for_each(function: Callable[[Any], Any], work: Sequence[Any], workers: int = 0) -> Iterator[Outcome]:
    """Call `function` on every item and yield (position, result, failure) as they finish.

    Up to one worker runs in this process, in order. More start fresh processes (spawn: threads don't survive a fork),
    so `function` and the items must be picklable and a script needs `if __name__ == "__main__"`. Whatever goes wrong is
    the item's failure (`failures.attempt`), but for `UnwritableError`: on a full disk the others would fail alike.
    After Ctrl-C workers leave the item they are at, cleaning up behind them. Raises InputError for fewer
    than 0 workers.
    """
    if workers < 0:
        raise InputError(f"workers must be 0 or more, got {workers}")
    if workers <= 1 or len(work) <= 1:
        for position, item in enumerate(work):
            result, failure = attempt(partial(function, item))
            yield position, result, failure
        return
    victims: list[int] = []
    others = set(multiprocessing.active_children())
    pool = _pool(min(workers, len(work)))
    try:
        with signals_held(), _one_thread_each():
            futures = {pool.submit(_in_worker, function, item): position for position, item in enumerate(work)}
        for future in as_completed(futures):
            outcome = _result(future)
            if outcome is None:
                victims.append(futures[future])
            else:
                yield futures[future], outcome[0], outcome[1]
    except BaseException:  # whatever it is, also Ctrl-C or a caller that wants no more: nobody waits for the rest
        for worker in set(multiprocessing.active_children()) - others:
            _interrupt(worker.pid)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    # A killed process (out of memory, as a rule) takes the whole pool with it: find the culprit one by one.
    for position in sorted(victims):
        with _pool(1) as single, _one_thread_each():
            outcome = _result(single.submit(_in_worker, function, work[position]))
        result, failure = outcome or (None, "its process was killed, as a rule for want of memory; use fewer workers")
        yield position, result, failure


def _result(future: Future[Any]) -> tuple[Any, str | None] | None:
    """A finished task's result; None where the process died before it could answer."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin_worker)


def _in_worker(function: Callable[[Any], Any], item: Any) -> tuple[Any, str | None]:
    """`attempt`, left at once when a stop is asked for: the item's own clean-up runs, the process lives on."""
    try:
        _on_stop(signal.default_int_handler)
        return attempt(partial(function, item))
    except KeyboardInterrupt:
        return None, "stopped"
    finally:
        _on_stop(signal.SIG_IGN)


def _begin_worker() -> None:
    """Leave stopping to the parent, which a terminal or Slurm tells as well; end with it, even if it was killed."""
    _on_stop(signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def signals_held() -> Generator[None]:
    """Processes started meanwhile begin with stop signals held back: else Ctrl-C would tear their imports apart."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread_each() -> Generator[None]:
    """Processes started meanwhile compute with one thread: two that each took every core wrote phantoms half as fast.

    A number of threads that the user has set stays.
    """
    unset = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


def _on_stop(handler: Any) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, handler)


def _interrupt(process: int | None) -> None:
    if process is not None and os.name == "posix":
        try:
            os.kill(process, signal.SIGINT)
        except ProcessLookupError:
            return
