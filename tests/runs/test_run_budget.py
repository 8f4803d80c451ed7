"""What runs were trained with, in words, by recipes and logs as run folders hold them."""

from pathlib import Path
from typing import Any

import pytest

from unpaired.runs.budget import budget_of, training_seconds
from unpaired.runs.facts import RunFacts


def run(steps: int | None, *seconds: float, to: int = 0) -> RunFacts:
    """A run of so many steps; `seconds` are those of its log's rows, every ten steps, the last one `to` if that is."""
    rows = [{"step": str(10 * number), "seconds": str(value)} for number, value in enumerate(seconds, start=1)]
    if to:
        rows[-1]["step"] = str(to)
    recipe: dict[str, Any] = {} if steps is None else {"steps": steps}
    return RunFacts(Path("run"), recipe, None, None, rows, [], [])


def test_a_run_that_went_on_counts_its_seconds_anew() -> None:
    assert training_seconds(run(50, 5, 10, 2, 4)) == 14.0
    assert training_seconds(run(50)) == 0.0


def program(trained: Any) -> RunFacts:
    """A program's folder, which has no recipe."""
    return RunFacts(Path("run"), None, None, {"program": "theirs", "trained": trained}, [], [], [])


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([run(20, 30, 65)], "20 steps (0:01:05 by the clock)"),
        ([run(1459, 60, to=1459), run(1200, 120, to=1200)], "1,200 to 1,459 steps (0:01:30 each by the clock)"),
        ([run(100, 30, 60)], "20 of 100 steps (0:01:00 by the clock)"),
        ([run(25, 30, 60)], "25 steps (0:01:00 by the clock)"),  # early versions didn't log the last step
        ([run(20)], "20 steps"),  # a model file keeps no log
        ([run(None)], ""),
        ([], ""),
        ([program({"steps": 851, "seconds": 300.4})], "851 steps (0:05:00 by its own clock)"),
        (
            [program({"steps": 851, "seconds": 300}), program({"steps": 849, "seconds": 310})],
            "849 to 851 steps (0:05:05 each by its own clock)",
        ),
        ([program("for long")], ""),
        ([program(None)], ""),
    ],
)
def test_a_budget_is_steps_and_time(runs: list[RunFacts], words: str) -> None:
    assert budget_of(runs) == words
