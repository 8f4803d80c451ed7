"""The same work for every case, in several processes; one that fails, or kills its process, stops no other."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from unpaired.errors import InputError

Outcome = tuple[int, Any, str | None]
"""(position in the work list, result, or None and why it failed)."""


def for_each(function: Callable[[Any], Any], work: Sequence[Any], workers: int = 0) -> Iterator[Outcome]:
    """Call `function` on every item and yield (position, result, failure) as they finish.

    Up to one worker runs in this process, in order. More start fresh processes (spawn: threads don't survive a fork),
    so `function` and the items must be picklable and a script needs `if __name__ == "__main__"`. InputError, OSError
    and MemoryError are the item's failure; any other error is a bug and is raised.
    """
    if workers <= 1 or len(work) <= 1:
        for position, item in enumerate(work):
            result, failure = _outcome(function, item)
            yield position, result, failure
        return
    victims: list[int] = []
    pool = _pool(min(workers, len(work)))
    try:
        futures = {pool.submit(_outcome, function, item): position for position, item in enumerate(work)}
        for future in as_completed(futures):
            outcome = _result(future)
            if outcome is None:
                victims.append(futures[future])
            else:
                yield futures[future], outcome[0], outcome[1]
    finally:  # also after Ctrl-C: what hasn't begun is dropped
        pool.shutdown(cancel_futures=True)
    # A killed process (out of memory, as a rule) takes the whole pool with it: find the culprit one by one.
    for position in sorted(victims):
        with _pool(1) as single:
            outcome = _result(single.submit(_outcome, function, work[position]))
        result, failure = outcome or (None, "its process was killed, as a rule for want of memory; use fewer workers")
        yield position, result, failure


def _outcome(function: Callable[[Any], Any], item: Any) -> tuple[Any, str | None]:
    try:
        return function(item), None
    except InputError as error:
        return None, str(error)
    except (OSError, MemoryError) as error:
        return None, f"{type(error).__name__}: {' '.join(str(error).split()) or 'no details'}"


def _result(future: Future) -> tuple[Any, str | None] | None:
    """None where the process died before it could answer."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
