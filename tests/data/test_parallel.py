"""Work for every case: in order alone, complete in processes, and one bad item stops no other."""

import os
import time
from pathlib import Path

import pytest

from unpaired.data.parallel import for_each
from unpaired.errors import InputError


def double(number: int) -> int:
    """-1 is bad input, -2 a failing disk, -3 too large, -4 a bug, -9 kills its process."""
    errors = {
        -1: InputError("expected a positive number, got -1"),
        -2: OSError("disk\nfell off"),
        -3: MemoryError(),
        -4: ZeroDivisionError("a bug"),
    }
    if number in errors:
        raise errors[number]
    if number == -9:
        os._exit(9)
    return 2 * number


def waits_for(file: Path | None) -> None:
    """Ends when somebody else has written the file; gives up after a minute."""
    end = time.monotonic() + 60
    while file is not None and not file.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody wrote {file}")
        time.sleep(0.01)


REASONS = {
    -1: "expected a positive number, got -1",
    -2: "disk fell off; check the file and its disk",
    -3: "not enough memory (no details); close other programs, use fewer workers, or do this case on a larger machine",
}


@pytest.mark.parametrize("workers", [0, 1])
def test_alone_it_goes_in_order_and_one_at_a_time(workers: int) -> None:
    outcomes = for_each(double, [3, -1, 5], workers)
    assert next(outcomes) == (0, 6, None)
    assert list(outcomes) == [(1, None, REASONS[-1]), (2, 10, None)]


def test_no_work_gives_no_outcome() -> None:
    assert list(for_each(double, [], workers=4)) == []


def test_processes_answer_for_every_item_and_turn_failures_into_words() -> None:
    work = [3, -1, -2, 5, -3]
    expected = [(place, None if item in REASONS else 2 * item, REASONS.get(item)) for place, item in enumerate(work)]
    assert sorted(for_each(double, work, workers=2)) == expected
    assert list(for_each(double, work)) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_of_the_package_fails_its_own_item_and_is_kept(workers: int) -> None:
    first, fault, last = sorted(for_each(double, [1, -4, 2], workers))
    assert (first, last) == ((0, 2, None), (2, 4, None))
    assert "unexpected ZeroDivisionError: a bug" in (fault[2] or "")
    traceback = Path((fault[2] or "").split(" in ")[-1])
    assert "ZeroDivisionError" in traceback.read_text(encoding="utf-8")
    traceback.unlink()


def test_a_killed_process_fails_its_own_item_only() -> None:
    outcomes = sorted(for_each(double, [1, -9, 3], workers=2))
    assert [(position, result) for position, result, _ in outcomes] == [(0, 2), (1, None), (2, 6)]
    assert "killed" in (outcomes[1][2] or "")


def test_outcomes_come_as_they_finish(tmp_path: Path) -> None:
    """The first item ends only once the second's outcome has come."""
    file = tmp_path / "second_has_come"
    outcomes = for_each(waits_for, [file, None], workers=2)
    assert next(outcomes) == (1, None, None)
    file.touch()
    assert list(outcomes) == [(0, None, None)]


def test_fewer_than_no_workers_are_refused() -> None:
    with pytest.raises(InputError, match="workers must be 0 or more, got -1"):
        list(for_each(double, [1, 2], -1))
