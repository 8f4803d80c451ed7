"""Study: a table, of a paper or of your own, as a value: rows, splits, seeds, and what is compared with what.

A study is a Python function that returns one, as a recipe is; an edited table is a `dataclasses.replace`. `unpaired
study` does what it says (`experiments.run`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from types import NoneType
from typing import Literal

from unpaired.choices import require_seed, several, some_of
from unpaired.comparison.comparison import DEFAULT_SCORES, require_testable
from unpaired.comparison.papers.tables import paper_table
from unpaired.consent.own_code import called
from unpaired.data.dataset import Dataset
from unpaired.data.file_names import require_distinct, require_file_name
from unpaired.data.simulated import of_patients
from unpaired.data.split import Split, check_patients
from unpaired.documents import shown
from unpaired.errors import InputError, nearest, require_name
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

    def __post_init__(self) -> None:
        """Raises InputError for a value that is none of its field's."""
        require_kind(self.name, str, "a row's name")
        require_name(self.name, "a row's name")
        where = f"row {self.name!r}"
        if "=" in self.name:
            raise InputError(f"{where}: a name can't hold '='; say it in other words")
        require_file_name(self.folder, f"{where}: its folder")
        require_kind(self.recipe, (Recipe, Program), f"{where}: recipe")
        require_kind(self.begins_with, (str, NoneType), f"{where}: begins_with")
        require_kind(self.norms_of, (str, NoneType), f"{where}: norms_of")
        if self.labels is not None and not callable(self.labels):
            raise InputError(
                f"{where}: labels: expected a function of a dataset and a seed, such as LabeledShare(0.1), or None, "
                f"got {shown(self.labels)}"
            )
        if isinstance(self.recipe, Program) and (self.begins_with or self.norms_of):
            raise InputError(f"{where} is a program's, which begins with no run and has no norms")

    def seen(self, sided: Dataset, seed: int) -> Dataset:
        """The dataset as the row may see it.

        Raises InputError, of its `labels`, for whatever they raise and give, and for other test cases: all rows are
        tested on the same ones, and none may train on them.
        """
        if self.labels is None:
            return sided
        where = f"row {self.name!r}: its labels"
        seen = called(where, Dataset, self.labels, sided, seed)
        before, now = ({case.id: case.label for case in of_patients(each, split="test")} for each in (sided, seen))
        if changed := [case for case in {**before, **now} if case not in before or before[case] != now.get(case, "")]:
            raise InputError(
                f"{where}: all rows need the same test cases with their labels, another side or label has "
                f"{some_of(changed)}; change training and validation cases alone"
            )
        check_patients(seen)
        return seen


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
        self._require_kinds()
        if not self.rows or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"study {self.title!r}: expected rows, and seeds that differ, got {self.seeds}")
        for seed in self.seeds:
            require_seed(seed)
        if self.minutes is not None and not 0 < self.minutes < inf:
            raise InputError(f"study {self.title!r}: minutes must be above 0 and finite, got {self.minutes}")
        require_distinct((row.name for row in self.rows), "row", "each row needs a name of its own")
        require_distinct((row.folder for row in self.rows), "row's folder", "each row needs a folder of its own")
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

    def _require_kinds(self) -> None:
        """Raise InputError for a value that is none of its field's. Of a field with several, a list becomes a tuple,
        and a lone value is one of itself."""
        require_kind(self.title, str, "a study's title")
        require_name(self.title, "a study's title")
        where = f"study {self.title!r}"
        require_kind(self.minutes, (int, float, NoneType), f"{where}: minutes")
        require_kind(self.baseline, (str, NoneType), f"{where}: baseline")
        for field, kind in SEVERAL.items():
            values = tuple(several(getattr(self, field)))
            object.__setattr__(self, field, values)
            for value in values:
                require_kind(value, kind, f"{where}: {field}")
        if not callable(self.splits):
            raise InputError(
                f"{where}: splits: expected a function of a dataset, such as Folds(5), got {shown(self.splits)}; files "
                "are named by --split"
            )

    def drawn(self, dataset: Dataset) -> Mapping[str, Split]:
        """{name: split}, as its `splits` draw them. Raises InputError for whatever they raise and give, and for a split
        that doesn't fit the dataset."""
        where = f"study {self.title!r}: its splits"
        drawn = called(where, object, self.splits, dataset)
        if not isinstance(drawn, Mapping):
            raise InputError(f"{where}: expected {{name: split}}, got {shown(drawn)}; correct it there")
        if not drawn:
            raise InputError(f"{where}: expected {{name: split}}, they drew none; correct it there")
        for name, split in drawn.items():
            require_kind(name, str, f"{where}: a name")
            require_kind(split, Split, f"{where}: {name!r}")
            _require_whole(name, split, dataset)
        return drawn

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


SEVERAL: Mapping[str, type] = {
    "rows": Row,
    "seeds": object,  # numpy's whole numbers too; `require_seed` looks at them
    "papers": str,
    "scores": str,
    "apart": str,
    "misaligned": str,
    "remarks": str,
}
"""What fields of a study hold several of."""


WORDS: Mapping[type, str] = {str: "text", NoneType: "None", int: "a number", float: "a number"}


def require_kind(value: object, kind: type | tuple[type, ...], where: str) -> None:
    """Raise InputError for a value of another class than expected."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        words = " or ".join(dict.fromkeys(WORDS.get(each, each.__name__) for each in kinds))
        raise InputError(f"{where}: expected {words}, got {shown(value)}; correct it there")


def _require_whole(name: str, split: Split, dataset: Dataset) -> None:
    """Raise InputError for a split that doesn't fit a dataset, or after which nothing could be trained or scored."""
    try:
        sided = split.apply(dataset)
    except InputError as error:
        raise InputError(f"split {name!r}: {error}") from error
    for side, what in (("train", "trains"), ("test", "is scored")):
        if not sided.of(split=side, labeled=True):
            raise InputError(f"split {name!r}: no labeled case is in {side}, so nothing {what}; draw it anew")


def _labeled(dataset: Dataset) -> list[str]:
    """The modalities that have labels, hence scores."""
    return [name for name in dataset.modalities if dataset.of(name, labeled=True)]
