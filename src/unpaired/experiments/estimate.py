"""How long a study takes: a few real steps of each row are timed, and what is left of its runs is added up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unpaired.errors import InputError
from unpaired.experiments.cells import Cell, Planned
from unpaired.experiments.program import Program
from unpaired.experiments.speeds import Speed, Speeds
from unpaired.experiments.study import Study
from unpaired.failures import attempt
from unpaired.recipe import Recipe
from unpaired.runs.progress import duration, read_progress


@dataclass(frozen=True)
class RowEstimate:
    """A row's step (None: it can't be timed), its steps, the runs that are left, their seconds, how many of them fit
    into the hours that there are, and what to know."""

    name: str
    speed: Speed | None
    steps: tuple[int, ...]
    left: int
    seconds: float
    fitting: int
    note: str


@dataclass(frozen=True)
class Estimate:
    """How long the rows take, one process each, and all of them with `jobs` at a time."""

    rows: tuple[RowEstimate, ...]
    jobs: int
    hours: float | None

    @property
    def seconds(self) -> float:
        """All that is left, by `jobs` processes side by side."""
        return sum(row.seconds for row in self.rows) / self.jobs

    def notes(self) -> Iterator[str]:
        """What the numbers are, and what they add up to."""
        left = sum(row.left for row in self.rows if row.seconds)
        side_by_side = f", {self.jobs} at a time" if self.jobs > 1 else ""
        yield f"All {left} runs that are left: {duration(self.seconds)}{side_by_side}."
        if self.hours is not None:
            yield f"Of these {sum(row.fitting for row in self.rows)} fit into {self.hours:g} hours, in their order."
        yield (
            "Timed: forward, backward and optimizer on random images, 15 % added for loading; validation, prediction "
            "and scores come on top. Runs side by side share memory and caches and are slower than one alone."
        )


def estimate_study(
    study: Study, planned: Planned, done: Sequence[Cell], speeds: Speeds, jobs: int, hours: float | None
) -> Estimate:
    """Time the rows that aren't done. A row that can't be timed is told with its reason and stops no other."""
    complete = {cell.name for cell in done}
    left = [cell for cell in planned.cells if cell.name not in complete]
    known: dict[str, tuple[Speed | None, str]] = {}
    for row in study.rows:
        own = [cell for cell in left if cell.row.name == row.name]
        known[row.name] = _speed(own[0], speeds) if own else (None, "nothing left")
    seconds = {cell.name: _seconds_left(cell, known) for cell in left}
    fits = _fitting(left, seconds, jobs, hours)
    rows: list[RowEstimate] = []
    for row in study.rows:
        own = [cell for cell in left if cell.row.name == row.name]
        speed, note = known[row.name]
        if not any(cell.row.name == row.name for cell in planned.cells):
            note = next((cell.reason for cell in planned.unplanned if cell.row == row.name), note)
        rows.append(
            RowEstimate(
                row.name,
                speed,
                tuple(sorted({cell.recipe.steps for cell in own if isinstance(cell.recipe, Recipe)})),
                len(own),
                sum(seconds[cell.name] for cell in own),
                sum(cell.name in fits for cell in own),
                note,
            )
        )
    return Estimate(tuple(rows), jobs, hours)


def _speed(cell: Cell, speeds: Speeds) -> tuple[Speed | None, str]:
    recipe = cell.recipe
    if isinstance(recipe, Program):
        return None, "a program" if recipe.minutes else "a program, without a budget in minutes"
    speed, failure = attempt(lambda: speeds.of(cell.row.name, recipe, cell.dataset))
    return speed, failure or ""


def _seconds_left(cell: Cell, known: Mapping[str, tuple[Speed | None, str]]) -> float:
    if isinstance(cell.recipe, Program):
        return 60 * (cell.recipe.minutes or 0.0)
    speed, _ = known[cell.row.name]
    try:
        done = read_progress(cell.run.folder).step
    except InputError:  # never begun
        done = 0
    return 0.0 if speed is None else speed.seconds * max(cell.recipe.steps - done, 0)


def _fitting(left: Sequence[Cell], seconds: Mapping[str, float], jobs: int, hours: float | None) -> set[str]:
    """The cells that end within the hours, each begun in turn by whichever of the jobs is free first."""
    busy = [0.0] * jobs
    fits: set[str] = set()
    for cell in left if hours is not None else ():
        job = busy.index(min(busy))
        busy[job] += seconds[cell.name]
        if seconds[cell.name] and busy[job] <= (hours or 0.0) * 3600:
            fits.add(cell.name)
    return fits
