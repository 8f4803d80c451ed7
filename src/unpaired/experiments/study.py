"""Study: a table, of a paper or of your own, as a value: rows, splits, seeds, and what is compared with what.

A study is a Python function that returns one, as a recipe is; an edited table is a `dataclasses.replace`. `unpaired
study` does what it says (`experiments.run`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from unpaired.choices import require_seed
from unpaired.comparison.comparison import DEFAULT_SCORES, require_testable
from unpaired.comparison.papers.tables import paper_table
from unpaired.data.dataset import Dataset
from unpaired.data.file_names import require_distinct, require_file_name
from unpaired.data.split import Split
from unpaired.errors import InputError, nearest
from unpaired.experiments.program import Program
from unpaired.experiments.splits import OwnSides
from unpaired.recipe import Recipe
from unpaired.scores.scores import SCORE_NAMES

Size = Literal["small", "full"]
"""A study's form for two processor cores, or as the paper has it, for GPUs."""
Labels = Callable[[Dataset, int], Dataset]
"""What a row may see of a dataset with sides: other training labels, fewer patients; the number is the run's seed."""
Splits = Callable[[Dataset], Mapping[str, Split]]
"""{name: split}: who trains, validates and tests, for each repetition of the whole table."""


OWN_SIDES = OwnSides()


@dataclass(frozen=True)
class Row:
    """One method of a table. Its `name` is what tables call it: that of the paper's row, where it has one.

    In a recipe's place there may be a program that trains and predicts by itself (`experiments.program`).
    `labels` are the labels it may see (None: all). `begins_with` names the row whose finished run, of the same split
    and seed, its network begins with (`Recipe.init_from`). `norms_of` is the modality that stands for those that it
    isn't trained on when it predicts.
    """

    name: str
    recipe: Recipe | Program
    labels: Labels | None = None
    begins_with: str | None = None
    norms_of: str | None = None

    @property
    def folder(self) -> str:
        """The name as a folder's."""
        return re.sub(r"[^\w.+-]+", "_", self.name).strip("_.").lower()


@dataclass(frozen=True)
class Study:
    """A table to be made: every row on every split with every seed.

    `minutes` is how long each run may train (as many steps as fit, by the speed of its own steps); None: as many steps
    as its recipe says. `baseline` is the row that the others are tested against (None: the first), `papers` the printed
    tables that the result is laid beside (`comparison.papers.tables.PAPER_TABLES`), `apart` rows that are trained and
    not compared: first stages. `misaligned` are rows whose runs are also predicted beside misaligned partners
    (`experiments.misalignments`). Raises InputError for rows without a name of their own, and names that aren't rows.
    """

    title: str
    rows: tuple[Row, ...]
    splits: Splits = OWN_SIDES
    seeds: tuple[int, ...] = (0,)
    minutes: float | None = None
    baseline: str | None = None
    papers: tuple[str, ...] = ()
    scores: tuple[str, ...] = DEFAULT_SCORES
    apart: tuple[str, ...] = ()
    misaligned: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    """Lines for the notes below its tables."""

    def __post_init__(self) -> None:
        if not self.rows or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"study {self.title!r}: expected rows, and seeds that differ, got {self.seeds}")
        for seed in self.seeds:
            require_seed(seed)
        if self.minutes is not None and not 0 < self.minutes < inf:
            raise InputError(f"study {self.title!r}: minutes must be above 0 and finite, got {self.minutes}")
        require_distinct((row.name for row in self.rows), "row", "each row needs a name of its own")
        require_distinct((row.folder for row in self.rows), "row's folder", "each row needs a folder of its own")
        for row in self.rows:
            if "=" in row.name:
                raise InputError(f"row {row.name!r}: a name can't hold '='; say it in other words")
            require_file_name(row.folder, f"row {row.name!r}: its folder")
            if isinstance(row.recipe, Program) and (row.begins_with or row.norms_of):
                raise InputError(f"row {row.name!r} is a program's, which begins with no run and has no norms")
        named = [*self.apart, *self.misaligned, *(row.begins_with for row in self.rows if row.begins_with)]
        for name in [*named, *([self.baseline] if self.baseline is not None else [])]:
            self.row(name)
        for position, row in enumerate(self.rows):
            if row.begins_with is not None and row.begins_with not in [before.name for before in self.rows[:position]]:
                raise InputError(f"row {row.name!r} begins with {row.begins_with!r}, which has to stand above it")
        for name in self.papers:
            paper_table(name)
        if self.baseline in self.apart:
            raise InputError(f"row {self.baseline!r} is the baseline, which is compared; leave it out of `apart`")
        for name in self.misaligned:
            if isinstance(self.row(name).recipe, Program):
                raise InputError(f"row {name!r} is a program's, which takes no partner; leave it out of `misaligned`")
        require_testable(self.scores)
        for score in self.scores:
            if score not in SCORE_NAMES and not score.startswith("nsd@"):
                raise InputError(f"study {self.title!r}: no score {score!r}; {nearest(score, list(SCORE_NAMES))}")

    def require_fitting(self, dataset: Dataset) -> None:
        """Raise InputError for what a dataset doesn't have and would be missed after training: the modalities and
        classes of the printed tables, and modalities whose norms stand in for others."""
        for name in self.papers:
            paper_table(name).match(_labeled(dataset), dataset.classes[1:])
        for row in self.rows:
            if row.norms_of is not None and row.norms_of not in dataset.modalities:
                hint = nearest(row.norms_of, list(dataset.modalities))
                raise InputError(f"row {row.name!r}: no modality {row.norms_of!r} in {dataset.name}; {hint}")

    def without_papers_of_other_data(self, dataset: Dataset) -> "Study":
        """The study without the printed tables that are about other modalities or classes than a dataset's; its remarks
        say which. For a study that comes with unpaired: of a person's own, such a table is a mistake to be told."""
        remarks: dict[str, str] = {}
        labeled, classes = _labeled(dataset), dataset.classes[1:]
        for name in self.papers:
            table = paper_table(name)
            try:
                table.match(labeled, classes)
            except InputError:
                printed = f"{', '.join(table.modalities)} with {', '.join(table.classes)}"
                had = f"{', '.join(labeled)} with {', '.join(classes)}"
                remarks[name] = f"Without the printed numbers of {name}: they are of {printed}, this data has {had}."
        papers = tuple(name for name in self.papers if name not in remarks)
        return replace(self, papers=papers, remarks=(*self.remarks, *remarks.values()))

    def row(self, name: str) -> Row:
        """The row called `name`. Raises InputError if there is none."""
        names = [row.name for row in self.rows]
        if name not in names:
            raise InputError(f"study {self.title!r} has no row {name!r}; {nearest(name, names)}")
        return self.rows[names.index(name)]

    @property
    def compared(self) -> tuple[str, ...]:
        """The names of the rows that stand in the tables, in order."""
        return tuple(row.name for row in self.rows if row.name not in self.apart)


def _labeled(dataset: Dataset) -> list[str]:
    """The modalities that have labels, hence scores."""
    return [name for name in dataset.modalities if dataset.of(name, labeled=True)]
