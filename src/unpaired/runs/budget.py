"""What runs were trained with, in words: no score is shown without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from unpaired.documents import UnfitError, fitted
from unpaired.runs.facts import RunFacts
from unpaired.runs.progress import LOG_EVERY, duration, last_step


def budget_of(runs: Sequence[RunFacts]) -> str:
    """The steps of a method's runs, and how long each took by its log: "700 to 729 steps (0:05:01 each by the clock)".

    A run that stopped early is told by the steps that it has done, one of a program by what its versions.json says
    (`"trained": {"steps": 851, "seconds": 300.0}`, by the program's own clock). Empty where nobody says how many.
    """
    planned = [steps for run in runs if isinstance(steps := (run.recipe or {}).get("steps"), int)]
    if not planned:
        told = [trained for run in runs if (trained := told_by_program(run)) is not None]
        steps, seconds = [trained.steps for trained in told], [trained.seconds for trained in told]
        return f"{_range(steps)} steps{_time(seconds, len(runs), 'by its own clock')}" if told else ""
    text = f"{_range(planned)} steps"
    done = [last_step(run) for run in runs if run.log or run.validation]
    if done and min(done) + LOG_EVERY <= min(planned):
        text = f"{_range(done)} of {text}"
    return text + _time([training_seconds(run) for run in runs if run.log], len(runs), "by the clock")


@dataclass(frozen=True)
class Trained:
    """What a program says of its training."""

    steps: int
    seconds: float


def told_by_program(run: RunFacts) -> Trained | None:
    """What a program said of its training in versions.json; None where it said nothing, or what isn't understood."""
    try:
        return fitted((run.versions or {}).get("trained"), Trained)
    except UnfitError:
        return None


def _time(seconds: Sequence[float], runs: int, whose: str) -> str:
    each = " each" if runs > 1 else ""
    return f" ({duration(sum(seconds) / len(seconds))}{each} {whose})" if seconds else ""


def training_seconds(run: RunFacts) -> float:
    """What training took, by the log: a run that was stopped and goes on counts its seconds anew."""
    logged = [row.get("seconds") or "" for row in run.log]
    seconds = [0.0, *(float(text) for text in logged if text.replace(".", "", 1).isdecimal())]
    return sum(after - before if after >= before else after for before, after in pairwise(seconds))


def _range(steps: Sequence[int]) -> str:
    low, high = min(steps), max(steps)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
