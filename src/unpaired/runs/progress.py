"""How far a run is, from its folder alone: while another process trains, after it, or after it was stopped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import fmean, median
from typing import Literal

from unpaired.runs.facts import Rows, RunFacts, read_run_facts
from unpaired.runs.folder import RunFolder, is_run, no_run
from unpaired.runs.lock import is_held
from unpaired.tables import Table, TableCell

Place = tuple[str, str]
"""(modality, class)."""
LOG_EVERY = 10
"""A run's log has the first step, every one of so many, and the last."""
LOST_AFTER, LOST_BELOW = 3, 0.005
"""A class whose Dice stayed below so little in so many validations is worth a word."""


@dataclass(frozen=True)
class RunProgress:
    """Where a run stands.

    dice: {(modality, class): [(step, validation Dice), ...]}, in the order of the steps.
    step: the last one that was logged or validated.  terms: loss and its terms when they were logged last.
    seconds_left: what the steps that are left take at the last steps' speed; None where that can't be told.
    notices: what a person should look at, a sentence each.
    """

    folder: Path
    state: Literal["training", "stopped", "finished"]
    step: int
    steps: int | None
    terms: Mapping[str, float]
    dice: Mapping[Place, Sequence[tuple[int, float]]]
    seconds_left: float | None
    notices: Sequence[str]

    def headline(self) -> str:
        """One line: the folder, its state, steps done, loss and time left."""
        parts = [f"{self.folder.name}: {self.state}", f"step {self.step}/{self.steps or '?'}"]
        if "loss" in self.terms:
            parts.append(f"loss {self.terms['loss']:.3f}")
        if self.state == "training" and self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        return " · ".join(parts)

    def table(self) -> Table:
        """Validation Dice of each modality and class: the newest, and the best with its step."""
        rows = [_row(modality, name, values) for (modality, name), values in _with_means(self.dice).items()]
        return Table(["modality", "class", "Dice", "best", "at step"], rows, "llr", notes=list(self.notices))


def read_progress(folder: str | Path) -> RunProgress:
    """Where the run in `folder` stands. Raises InputError if it isn't a run folder."""
    run = RunFolder(Path(folder))
    if not is_run(run.folder):
        raise no_run(run.folder, str(folder))
    facts = read_run_facts(run.folder)
    steps = (facts.recipe or {}).get("steps")
    logged, step = _logged(facts), last_step(facts)
    dice = _dice_by_place(facts)
    training = is_held(run.lock)
    return RunProgress(
        run.folder,
        "training" if training else "finished" if isinstance(steps, int) and step >= steps else "stopped",
        step,
        steps if isinstance(steps, int) else None,
        {} if not logged else _terms(logged[-1]),
        dice,
        None if not isinstance(steps, int) else _seconds_left(logged, steps),
        list(lost_classes(dice)),
    )


def last_step(facts: RunFacts) -> int:
    """The last step that a run's files tell of; 0 where they tell of none."""
    validated = [step for points in _dice_by_place(facts).values() for step, _ in points]
    return max([int(_logged(facts)[-1]["step"]) if _logged(facts) else 0, *validated])


def _logged(facts: RunFacts) -> Rows:
    return [row for row in facts.log if (row.get("step") or "").isdecimal()]


def lost_classes(dice: Mapping[Place, Sequence[tuple[int, float]]]) -> Iterator[str]:
    """A sentence for each class that the network doesn't find: Dice about 0 in the last three validations."""
    for (modality, name), values in dice.items():
        last = values[-LOST_AFTER:]
        if len(last) == LOST_AFTER and all(value < LOST_BELOW for _, value in last):
            yield (
                f"{modality}: {name} is not found (Dice {max(value for _, value in last):.3f} in the validations of "
                f"steps {last[0][0]} to {last[-1][0]}); look at its label values with `unpaired verify`, and at "
                "recipe.rare_classes if few cases label it"
            )


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, such as 1:02:05."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _row(modality: str, name: str, values: Sequence[tuple[int, float]]) -> list[str | TableCell]:
    step, best = max(values, key=lambda point: point[1])
    return [modality, name, f"{values[-1][1]:.3f}", f"{best:.3f}", str(step)]


def _dice_by_place(facts: RunFacts) -> dict[Place, list[tuple[int, float]]]:
    dice: dict[Place, list[tuple[int, float]]] = {}
    for row in facts.validation:
        value = _number(row.get("dice", ""))
        if (row.get("step") or "").isdecimal() and value is not None and {"modality", "class"} <= row.keys():
            dice.setdefault((row["modality"], row["class"]), []).append((int(row["step"]), value))
    return dice


def _with_means(dice: Mapping[Place, Sequence[tuple[int, float]]]) -> dict[Place, Sequence[tuple[int, float]]]:
    """The same with a mean over the classes in front of each modality that has several."""
    table: dict[Place, Sequence[tuple[int, float]]] = {}
    for modality in dict.fromkeys(modality for modality, _ in dice):
        own = {place: values for place, values in dice.items() if place[0] == modality}
        table |= {(modality, "mean"): _mean_by_step(dice, modality)} if len(own) > 1 else {}
        table |= own
    return table


def _mean_by_step(dice: Mapping[Place, Sequence[tuple[int, float]]], modality: str) -> list[tuple[int, float]]:
    by_step: dict[int, list[float]] = {}
    for (name, _), points in dice.items():
        for step, value in points if name == modality else ():
            by_step.setdefault(step, []).append(value)
    return [(step, fmean(values)) for step, values in by_step.items()]


def _terms(row: Mapping[str, str]) -> dict[str, float]:
    values = {name: _number(cell) for name, cell in row.items() if name == "loss" or name.startswith("term/")}
    return {name: value for name, value in values.items() if value is not None}


def _seconds_left(logged: Sequence[Mapping[str, str]], steps: int) -> float | None:
    """Estimated by the median of the last steps' speed; a run that goes on counts its seconds anew."""
    speeds: list[float] = []
    for before, after in pairwise(logged[-21:]):
        done = int(after["step"]) - int(before["step"])
        began, ended = _number(before.get("seconds", "")), _number(after.get("seconds", ""))
        if began is not None and ended is not None and -inf < began < ended < inf and done > 0:
            speeds.append((ended - began) / done)
    return None if not speeds else median(speeds) * max(steps - int(logged[-1]["step"]), 0)


def _number(cell: str) -> float | None:
    """A cell's number; None for an empty or half-written one."""
    try:
        return float(cell)
    except ValueError:
        return None
