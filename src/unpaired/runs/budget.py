"""What runs were trained with, in words: no score is shown without it."""

from collections.abc import Sequence
from itertools import pairwise

from unpaired.runs.facts import RunFacts
from unpaired.runs.progress import LOG_EVERY, duration, last_step


def budget_of(runs: Sequence[RunFacts]) -> str:
    """The steps of a method's runs, and how long each took by its log: "700 to 729 steps (0:05:01 each by the clock)".

    A run that stopped early is told by the steps that it has done. Empty where no recipe says how many steps it has.
    """
    planned = [steps for run in runs if isinstance(steps := (run.recipe or {}).get("steps"), int)]
    if not planned:
        return ""
    text = f"{_range(planned)} steps"
    done = [last_step(run) for run in runs if run.log or run.validation]
    if done and min(done) + LOG_EVERY <= min(planned):
        text = f"{_range(done)} of {text}"
    seconds = [training_seconds(run) for run in runs if run.log]
    each = " each" if len(runs) > 1 else ""
    return text + (f" ({duration(sum(seconds) / len(seconds))}{each} by the clock)" if seconds else "")


def training_seconds(run: RunFacts) -> float:
    """What training took, by the log: a run that was stopped and goes on counts its seconds anew."""
    logged = [row.get("seconds") or "" for row in run.log]
    seconds = [0.0, *(float(text) for text in logged if text.replace(".", "", 1).isdecimal())]
    return sum(after - before if after >= before else after for before, after in pairwise(seconds))


def _range(steps: Sequence[int]) -> str:
    low, high = min(steps), max(steps)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
