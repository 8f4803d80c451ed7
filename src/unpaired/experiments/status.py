"""What became of a study's rows, by the records and logs that lie there: read without torch's help."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unpaired.experiments.cells import Cell, Planned
from unpaired.experiments.study import Study
from unpaired.recipe import Recipe
from unpaired.runs.budget import told_by_program, training_seconds
from unpaired.runs.facts import read_run_facts

VERSIONS = ("program", "unpaired", "torch", "python", "platform", "gpu")
"""What the page says of each run's versions, besides the git commit; "program" is what made it in a recipe's place."""


@dataclass(frozen=True)
class RowStatus:
    """A row's runs: how many are planned, done and failed; their steps, of a program as it says; seconds they took."""

    name: str
    planned: int
    done: int
    failed: int
    steps: tuple[int, ...]
    training_seconds: float
    other_seconds: float


def row_statuses(
    study: Study, planned: Planned, done: Sequence[Cell], failures: Mapping[str, str]
) -> Iterator[RowStatus]:
    """Each row in turn; `failures` are {cell's name: why}, those of cells that could not be planned too."""
    complete = {cell.name for cell in done}
    for row in study.rows:
        cells = [cell for cell in planned.cells if cell.row.name == row.name]
        unplanned = [cell.name for cell in planned.unplanned if cell.row == row.name]
        failed = [name for name in (*unplanned, *(cell.name for cell in cells)) if name in failures]
        seconds = [_seconds(cell) for cell in cells]
        yield RowStatus(
            row.name,
            len(cells) + len(unplanned),
            sum(cell.name in complete for cell in cells),
            len(failed),
            tuple(sorted({steps for cell in cells if (steps := _steps(cell)) is not None})),
            sum(training for training, _ in seconds),
            sum(other for _, other in seconds),
        )


def _steps(cell: Cell) -> int | None:
    """A recipe's steps, or as many as a program says that it took; None before it has said so."""
    if isinstance(cell.recipe, Recipe):
        return cell.recipe.steps
    told = told_by_program(read_run_facts(cell.run.folder)) if cell.run.folder.is_dir() else None
    return None if told is None else told.steps


def _seconds(cell: Cell) -> tuple[float, float]:
    """How long a cell's training took, and all else; a program that doesn't say so has trained all along."""
    if not cell.run.folder.is_dir():
        return 0.0, 0.0
    run, record = read_run_facts(cell.run.folder), cell.record()
    seconds = {} if record is None else record.seconds
    called, told = seconds.get("train", 0.0), told_by_program(run)
    training = called if told is None else min(told.seconds, called)
    return training_seconds(run) + training, sum(seconds.values()) - training


def versions_of(cells: Sequence[Cell]) -> list[str]:
    """A line for each set of versions and hardware that runs were made with, with how many; one is as it should be."""
    counts: dict[str, int] = {}
    for cell in cells:
        versions = read_run_facts(cell.run.folder).versions or {}
        parts = [f"{name} {versions[name]}" for name in VERSIONS if versions.get(name)]
        git = versions.get("git")
        if isinstance(git, dict):
            changed = " with changes" if git.get("changed") else ""
            parts.append(f"git {str(git.get('commit'))[:12]}{changed}")
        counts[", ".join(parts)] = counts.get(", ".join(parts), 0) + 1
    lines = [f"{count} run{'s' if count > 1 else ''}: {text}" for text, count in counts.items()]
    return [*lines, *(["Runs of one table were made with different versions."] if len(lines) > 1 else [])]
