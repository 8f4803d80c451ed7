"""Cells of a study, one for each row, split and seed: what is trained in each, where, and whether that is done.

A cell is known by its content, not by its name: recipe, sides, labels and the scans' files (`experiments.content`). A
cell whose recipe was edited is another one: its run goes to a folder beside the old one ("seed0-2"), which stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count, islice, takewhile
from pathlib import Path
from typing import Any, Literal

from unpaired.configs import code_of
from unpaired.data.dataset import Dataset
from unpaired.data.file_names import require_distinct, require_file_name
from unpaired.data.split import Split
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.experiments.budget import with_budget
from unpaired.experiments.content import Content, FileHashes
from unpaired.experiments.program import Program
from unpaired.experiments.speeds import Speeds
from unpaired.experiments.study import Row, Study
from unpaired.failures import attempt
from unpaired.files import resolved, write_json
from unpaired.overrides import Changes
from unpaired.recipe import Recipe, override
from unpaired.runs.folder import RunFolder
from unpaired.runs.run import Run
from unpaired.scores.freshness import require_fresh
from unpaired.scores.tables import read_evaluation

RUNS = "runs"
SCHEMA = 1
State = Literal["begun", "done", "failed"]


@dataclass(frozen=True)
class Record:
    """What became of a cell, stored beside its run folder; of which content, and its `key`. Seconds, by their purpose.

    Records of early versions have the key alone.
    """

    key: str
    state: State
    reason: str = ""
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    content: dict[str, Any] | None = None


@dataclass(frozen=True)
class Cell:
    """A row on a split with a seed: the recipe with all that the study decides, the dataset as the row may see it.

    `first` is the name of the cell whose run it begins with.
    """

    row: Row
    split: str
    seed: int
    recipe: Recipe | Program
    dataset: Dataset
    content: Content
    run: RunFolder
    first: str | None = None

    @property
    def key(self) -> str:
        """The hash of its content."""
        return self.content.key

    @property
    def name(self) -> str:
        """For messages and for --shard: "fold0, MSBN, seed 0"."""
        return cell_name(self.row.name, self.split, self.seed)

    @property
    def record_file(self) -> Path:
        """Beside the run folder, so that it is there before the folder is."""
        return _beside(self.run.folder, ".json")

    @property
    def log_file(self) -> Path:
        """What the cell's process says while it works."""
        return _beside(self.run.folder, ".log")

    @property
    def lock_file(self) -> Path:
        """The file that whoever works on the cell locks."""
        return _beside(self.run.folder, ".lock")

    def difference(self) -> str:
        """What is otherwise in the last run of this row, split and seed that is not its own: "seed0 is of another
        content: recipe.steps is 2 there and 3 here"; empty where there is none."""
        first = self.run.folder.with_name(f"seed{self.seed}")
        before = [place for place in _taken(first) if place.name != self.run.folder.name]
        for place in reversed(before):
            record = read_record(_beside(place, ".json"))
            if record is not None and record.content is not None:
                return f"{place.name} is of another content: {self.content.difference(record.content)}"
        return ""

    def record(self) -> Record | None:
        """What became of it; None if it was never begun."""
        return read_record(self.record_file)

    def note(self, state: State, reason: str = "", seconds: Mapping[str, float] | None = None) -> None:
        """Store what became of it; seconds are added to those that were stored."""
        before = self.record()
        spent = dict(before.seconds if before is not None and before.key == self.key else {})
        for what, more in (seconds or {}).items():
            spent[what] = round(spent.get(what, 0.0) + more, 1)
        self._write(Record(self.key, state, reason, spent, dict(self.content.document)))

    def note_content(self) -> None:
        """Store of which content it is, where an early version left that out."""
        record = self.record()
        if record is not None and record.key == self.key and record.content is None:
            self._write(replace(record, content=dict(self.content.document)))

    def _write(self, record: Record) -> None:
        write_json(self.record_file, {"schema": SCHEMA, **asdict(record)})


@dataclass(frozen=True)
class Unplanned:
    """A cell that can't be: of which row, how it would be called, and why."""

    row: str
    name: str
    reason: str


@dataclass(frozen=True)
class Planned:
    """The cells of a study in the order in which they run, and those that can't be."""

    cells: tuple[Cell, ...]
    unplanned: tuple[Unplanned, ...]

    @property
    def failures(self) -> dict[str, str]:
        """{cell's name: why it can't be}."""
        return {cell.name: cell.reason for cell in self.unplanned}


def cell_name(row: str, split: str, seed: int) -> str:
    """How a cell is called."""
    return f"{split}, {row}, seed {seed}"


def require_own_names(study: Study, splits: Collection[str]) -> None:
    """Raise InputError for a split whose name can't be a folder's, such as "../fold", and where two cells would be
    called the same: row "b, c" on split "a", row "c" on split "a, b"."""
    for split in splits:
        require_file_name(split, "split")
    names = (cell_name(row.name, split, study.seeds[0]) for split in splits for row in study.rows)
    require_distinct(names, "run", "call its split or its row otherwise")


def read_record(file: Path) -> Record | None:
    """A cell's record; None where there is none. Raises InputError for a damaged one."""
    if not file.is_file():
        return None
    return read(file, Record, "delete it: the cell is looked at anew", schema=SCHEMA)


def plan_cells(
    study: Study,
    dataset: Dataset,
    splits: Mapping[str, Split],
    out: Path,
    cache: Path,
    speeds: Speeds,
    changes: Changes,
    also: Sequence[Path] = (),
) -> Planned:
    """All cells, seeds in the outer loop, then splits, then rows: so early ones can be compared.

    Runs lie in `out`; those that one of the folders `also` has are taken up there.
    A row that doesn't fit the dataset (a modality or patients that it lacks) is a failure of its cells.
    """
    hashes = FileHashes(cache)
    cells: dict[str, Cell] = {}
    unplanned: dict[str, Unplanned] = {}
    for seed in study.seeds:
        for split, sides in splits.items():
            sided = sides.apply(dataset)
            for row in study.rows:
                first = cell_name(row.begins_with, split, seed) if row.begins_with else None
                name = cell_name(row.name, split, seed)
                if first in unplanned:
                    reason = f"begins with {first}, which can't be: {unplanned[first].reason}"
                    unplanned[name] = Unplanned(row.name, name, reason)
                    continue
                before = cells[first] if first else None

                cell, failure = attempt(
                    partial(_cell, study, row, split, seed, sided, before, (out, *also), hashes, speeds, changes)
                )
                if cell is not None:
                    cells[name] = cell
                if failure is not None:
                    unplanned[name] = Unplanned(row.name, name, failure)
    hashes.remember()
    return Planned(tuple(cells.values()), tuple(unplanned.values()))


def _cell(
    study: Study,
    row: Row,
    split: str,
    seed: int,
    sided: Dataset,
    before: Cell | None,
    folders: Sequence[Path],
    hashes: FileHashes,
    speeds: Speeds,
    changes: Changes,
) -> Cell:
    seen = row.seen(sided, seed)
    if isinstance(row.recipe, Program):
        recipe = replace(row.recipe, seed=seed, minutes=study.minutes)
    else:
        recipe = with_budget(row.name, replace(row.recipe, seed=seed), study.minutes, seen, changes, speeds)
        recipe = override(recipe, changes)
    content = Content.of(recipe, seen, row.norms_of, before and before.key, hashes)
    if before is not None and isinstance(recipe, Recipe):
        recipe = replace(recipe, init_from=str(resolved(before.run.folder)))
    places = [folder / RUNS / split / row.folder / f"seed{seed}" for folder in folders]
    folder, known = _place(places, content, recipe, seen)
    return Cell(row, split, seed, recipe, seen, known, RunFolder(folder), before and before.name)


def _place(
    folders: Sequence[Path], content: Content, recipe: Recipe | Program, dataset: Dataset
) -> tuple[Path, Content]:
    """The folder of a content, and how the record there has it: the first FOLDER, FOLDER-2, ... of any that holds it,
    else the next of the first folder that nothing has yet."""
    for folder in folders:
        for place in _taken(folder):
            record = read_record(_beside(place, ".json"))
            if record is not None:
                known = content.stored_as(record.key, record.content, RunFolder(place))
            else:
                known = content if isinstance(recipe, Recipe) and _is_run_of(place, recipe, dataset) else None
            if known is not None:
                return place, known
    return next(islice(_numbered(folders[0]), len(list(_taken(folders[0]))), None)), content


def _numbered(folder: Path) -> Iterator[Path]:
    """FOLDER, FOLDER-2, FOLDER-3, ..."""
    yield folder
    yield from (folder.with_name(f"{folder.name}-{number}") for number in count(2))


def _taken(folder: Path) -> Iterator[Path]:
    """Those that are there, or were begun."""
    return takewhile(lambda place: place.exists() or _beside(place, ".json").exists(), _numbered(folder))


def _is_run_of(place: Path, recipe: Recipe, dataset: Dataset) -> bool:
    """Whether a folder that lost its record holds the run of this recipe on this dataset."""
    try:
        Run(place, code_of(recipe)).require_same(recipe, dataset)
    except InputError:
        return False
    return True


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def chains(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells in groups that belong to one process: those that begin with another one's run come after it."""
    groups: dict[str, list[Cell]] = {}
    head: dict[str, str] = {}
    for cell in cells:
        head[cell.name] = head[cell.first] if cell.first is not None and cell.first in head else cell.name
        groups.setdefault(head[cell.name], []).append(cell)
    return list(groups.values())


def is_done(cell: Cell) -> bool:
    """Whether a cell was trained, predicted and scored, its run is of its content, and its scores are those of the
    files that lie there."""
    record = cell.record()
    if record is None or record.state != "done" or not cell.content.is_of(cell.run):
        return False
    try:
        evaluation = read_evaluation(cell.run.evaluation)
        references = {case.id: case.label for case in cell.dataset.of(split="test") if case.label is not None}
        require_fresh(evaluation, cell.run.evaluation, cell.run.predictions, references)
    except InputError:
        return False
    return isinstance(cell.recipe, Program) or cell.run.weights("last").is_file()
