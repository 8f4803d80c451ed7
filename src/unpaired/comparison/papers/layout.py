"""A comparison laid out as a paper's table: our rows, each with the paper's printed row beside it.

Ours is scored with the paper's preset: a patient's value is the mean over the patient's cases, the table has the mean
over patients, each patient once, and its deviation over runs (seeds, folds) or, with one run, over patients. Where the
paper pools the test cases of several runs (`PaperTable.pooled`), mean and deviation are over those of all runs. The
paper's numbers stand in rows of their own with `LABEL`, in no mean, test or rank.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from statistics import fmean, stdev

from unpaired.comparison.cells import number, short_title
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.contenders import Contender
from unpaired.comparison.papers.tables import BOTH, LABEL, PaperNumber, PaperTable, Reading
from unpaired.comparison.records import Column
from unpaired.comparison.replicates import mean_and_spread, pooled_mean_and_spread
from unpaired.errors import InputError
from unpaired.scores.presets import PRESETS
from unpaired.scores.summaries import MEAN, patient_means
from unpaired.tables import DASH


@dataclass(frozen=True)
class PaperCell:
    """A number in the paper's unit (Dice in percent) and as text; `value` and `std` are None where there is none."""

    value: float | None
    std: float | None
    text: str


@dataclass(frozen=True)
class LayoutRow:
    """One row: a setting of the paper or a method of ours, whose numbers these are, and the cells by column.

    `method` is ours or None, `reading` the paper's or None; `missed` and `invented` count our structures over all runs.
    """

    setting: str
    whose: str
    cells: dict[Column, PaperCell]
    method: str | None = None
    reading: str | None = None
    missed: str = ""
    invented: str = ""

    @property
    def is_printed(self) -> bool:
        """Whether the numbers are the paper's."""
        return self.method is None


@dataclass(frozen=True)
class PaperLayout:
    """A comparison and the paper's table that it is laid out as."""

    comparison: Comparison
    table: PaperTable

    @property
    def scores(self) -> tuple[str, ...]:
        """The preset's columns that the paper prints."""
        return self.table.scores

    @property
    def columns(self) -> list[Column]:
        """The paper's columns, in its own names of modalities and classes."""
        return self.table.columns

    @property
    def groups(self) -> list[tuple[str, list[Column]]]:
        """The columns of each modality, for a heading above them."""
        return [(modality, list(group)) for modality, group in groupby(self.columns, lambda column: column.modality)]

    @cached_property
    def settings(self) -> dict[str, list[Contender]]:
        """{row of the paper: our methods in it}, in the paper's order; then ours that the paper hasn't."""
        settings: dict[str, list[Contender]] = {row: [] for row in self.table.rows}
        for method in self.comparison.contenders:
            settings.setdefault(row_of(self.table, method.name) or method.name, []).append(method)
        return settings

    def rows(self, score: str) -> Iterator[LayoutRow]:
        """Per setting our rows, then the paper's, one for each reading of its columns."""
        for setting, methods in self.settings.items():
            for method in methods:
                yield self._measured(score, setting, method)
            for reading in self.table.readings:
                printed = self.table.cells(score, setting, reading)
                if printed:
                    yield _printed_row(setting, reading, self.columns, printed)

    def title(self, score: str) -> str:
        """The score with its unit, and the table: "csa Dice %, as csa-table-1"."""
        return f"{short_title(score)}, laid out as {self.table.name}"

    def notes(self) -> Iterator[str]:
        """What a reader must know, a sentence or two each: the label first, then the budget."""
        yield (
            f"Rows “{LABEL}” are printed numbers of {self.table.source}. They are of other patients, or of another "
            "split of the same ones, and enter no mean, test or rank of ours."
        )
        if self.comparison.budget:
            yield f"Ours: {self.comparison.budget}"
        yield from self.table.cautions
        over = (
            "means over the test patients of all runs together, as the paper's, ± their standard deviation: a patient "
            "whom several runs tested counts once for each"
            if self.table.pooled
            else "means over patients, each patient once, ± the standard deviation over the runs' means or, with one "
            "run, over patients"
        )
        yield f"Ours: {over}. {PRESETS[self.table.preset]}"
        if BOTH not in self.columns:
            yield "The paper's columns “mean” are computed from its printed classes."
        strangers = [method.name for method in self.comparison.contenders if row_of(self.table, method.name) is None]
        if strangers:
            yield f"In no row of the paper: {', '.join(strangers)}. Its rows: {', '.join(self.table.rows)}."

    def _measured(self, score: str, setting: str, method: Contender) -> LayoutRow:
        modalities, classes = self._names
        by_column: dict[Column, tuple[float | None, float | None]] = {}
        runs = [
            replace(run, scores=[row for row in run.scores if row.class_name in classes.values()])
            for run in method.seeds
        ]
        summarized = pooled_mean_and_spread if self.table.pooled else mean_and_spread
        means: list[list[float]] = [[] for _ in runs]
        for modality in self.table.modalities:
            for name in (*self.table.classes, MEAN):
                by_run = [patient_means(run, score, modalities[modality], classes.get(name)) for run in runs]
                by_column[Column(modality, name)] = summarized(by_run)
                if name == MEAN:
                    for values, of_run in zip(means, by_run, strict=True):
                        values += [fmean(of_run.values())] if of_run else []
        if BOTH in self.columns:
            by_column[BOTH] = self._both(by_column, means)
        rows = [row for run in runs for row in run.scores if row.modality in modalities.values()]
        true = sum(row.status in ("scored", "missed") for row in rows)
        several = self.comparison.replicates[method.name]
        variant = "" if method.name == setting else f" ({method.name})"
        return LayoutRow(
            setting,
            f"ours{variant}, {several if several.runs > 1 else '1 run'}",
            {column: _cell(score, *numbers) for column, numbers in by_column.items()},
            method.name,
            None,
            f"{sum(row.status == 'missed' for row in rows)} of {true}",
            str(sum(row.status == "false_positive" for row in rows)),
        )

    def _both(
        self, cells: dict[Column, tuple[float | None, float | None]], by_run: Sequence[Sequence[float]]
    ) -> tuple[float | None, float | None]:
        """The mean over the modalities' means; its deviation is over runs that have all modalities (pooled: none)."""
        by_modality = [cells[Column(modality, MEAN)][0] for modality in self.table.modalities]
        known = [value for value in by_modality if value is not None]
        whole = [fmean(values) for values in by_run if len(values) == len(by_modality)]
        return (
            fmean(known) if len(known) == len(by_modality) else None,
            stdev(whole) if len(whole) > 1 and not self.table.pooled else None,
        )

    @cached_property
    def _names(self) -> tuple[dict[str, str], dict[str, str]]:
        return self.table.match(self.comparison.modalities, self.comparison.reference.class_names)


def lay_out(comparison: Comparison, table: PaperTable) -> PaperLayout:
    """The comparison in the paper's rows and columns.

    Raises InputError if its modalities or classes aren't those of the table, or if a method lacks the preset's scores.
    """
    table.match(comparison.modalities, comparison.reference.class_names)
    for method in comparison.contenders:
        for label, run in zip(method.labels(), method.seeds, strict=True):
            if table.preset not in run.presets:
                raise InputError(
                    f"{label} was scored without the columns of {table.name}; score it again with "
                    f"`unpaired evaluate ... --preset {table.preset}`"
                )
    return PaperLayout(comparison, table)


def row_of(table: PaperTable, method: str) -> str | None:
    """The paper's row of a method by its name; "CSA (wide)" is a variant of row CSA. None if it is in no row."""
    return table.row_called(method) or table.row_called(method.partition(" (")[0])


def _cell(score: str, mean: float | None, std: float | None) -> PaperCell:
    if mean is None:
        return PaperCell(None, None, DASH)
    text = number(score, mean) + ("" if std is None else f" ± {number(score, std)}")
    unit = 100 if score.endswith(":dice") else 1
    return PaperCell(mean * unit, None if std is None else std * unit, text)


def _printed_row(
    setting: str, reading: Reading, columns: Sequence[Column], printed: dict[Column, PaperNumber]
) -> LayoutRow:
    cells = {column: PaperCell(cell.value, cell.std, cell.text) for column, cell in printed.items()}
    empty = {column: PaperCell(None, None, DASH) for column in columns}
    whose = f"{LABEL}; {reading.name}" if reading.name else LABEL
    return LayoutRow(setting, whose, empty | cells, None, reading.name)
