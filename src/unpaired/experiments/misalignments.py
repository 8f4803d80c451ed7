"""CMC's misalignment analysis as a step of a study: finished runs beside partners that are out of place.

Each run is looked at once, its rows kept in its own folder; those of a row of the study are pooled over splits and
seeds, so that every tested patient is in its curve, and laid out in OUT/misalignment as `unpaired misalignment` does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from unpaired.analyses.misalignment.analysis import (
    MisalignmentStudy,
    misalignment,
    remove_misalignment_study,
    write_misalignment_study,
)
from unpaired.analyses.misalignment.scores import MisalignmentRow
from unpaired.configs import code_of
from unpaired.documents import read
from unpaired.experiments.cells import Cell
from unpaired.experiments.study import Study
from unpaired.failures import attempt
from unpaired.files import write_json
from unpaired.recipe import Recipe
from unpaired.runs.folder import MISALIGNMENT

ROWS = "rows.json"
SCHEMA = 1


@dataclass(frozen=True)
class KeptRows:
    """What was found of one run; `key` says of which cell."""

    key: str
    rows: list[MisalignmentRow]


def look_at_misalignment(study: Study, done: Sequence[Cell], device: str, say: Callable[[str], None]) -> dict[str, str]:
    """Predict the finished runs of the study's `misaligned` rows beside misaligned partners, those that weren't yet.

    {what: why it failed}.
    """
    failures: dict[str, str] = {}
    for cell in _wanted(study, done):
        if _kept(cell) is None:
            say(f"{cell.name}: beside misaligned partners")
            kept, failure = attempt(partial(_look_at, cell, device))
            if kept is not None:
                write_json(cell.run.misalignment / ROWS, {"schema": SCHEMA, **asdict(kept)})
            if failure is not None:
                name = f"{cell.name}, beside misaligned partners"
                failures[name] = failure
                say(f"{name}: failed: {failure}")
    return failures


def pooled_misalignment(study: Study, done: Sequence[Cell], out: Path) -> list[str]:
    """Write tables and figure of all runs that were looked at into OUT/misalignment; the conclusions, a line each."""
    rows = [row for cell in _wanted(study, done) if (kept := _kept(cell)) is not None for row in kept.rows]
    if not rows:
        remove_misalignment_study(out / MISALIGNMENT)
        return []
    pooled = MisalignmentStudy(rows, [], {"study": study.title, "split": "test"})
    write_misalignment_study(pooled, out / MISALIGNMENT)
    return [f"Beside misaligned partners ({MISALIGNMENT}/): {line}" for line in pooled.conclusions()]


def _wanted(study: Study, done: Sequence[Cell]) -> Iterator[Cell]:
    return (cell for cell in done if cell.row.name in study.misaligned and isinstance(cell.recipe, Recipe))


def _kept(cell: Cell) -> KeptRows | None:
    """What is known of a run; None where nothing is, or of another content."""
    file = cell.run.misalignment / ROWS
    if not file.is_file():
        return None
    kept = read(file, KeptRows, "delete it: the run is looked at anew", schema=SCHEMA)
    return kept if kept.key == cell.key else None


def _look_at(cell: Cell, device: str) -> KeptRows:
    assert isinstance(cell.recipe, Recipe)  # as `_wanted` says
    study = misalignment(cell.run, data=cell.dataset, device=device, trust=code_of(cell.recipe))
    return KeptRows(cell.key, [replace(row, run=cell.row.name) for row in study.rows])
