"""Write the tables of docs/results/ from the numbers stored beside them, so that none is typed.

    python studies/results_pages.py                                     all pages (`make results`)
    python studies/results_pages.py --add scarce few-labels "no label"  store a study's numbers first
    python studies/results_pages.py --add comparison few-labels "four folds" --budget "1,500 steps, four folds."

A page's tables stand between `<!-- numbers: TABLE -->` and `<!-- end of numbers -->`; they are in the JSON file that is
called as the page. Each has its budget on top. `--add OUT PAGE TABLE` takes what `unpaired study` left in OUT, or
`unpaired compare`, which needs to be told the budget: numbers alone, of no patient, with no path. Tables of another
form are kept cell by cell ("plain"), with where they are from.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from unpaired import __version__
from unpaired.documents import read
from unpaired.errors import InputError
from unpaired.files import write_json, write_text
from unpaired.tables import DASH, Table, TableCell, markdown_text

PAGES = Path(__file__).parent.parent / "docs" / "results"
MARKED = re.compile(r"(<!-- numbers: (?P<name>[^>]+?) -->\n).*?(<!-- end of numbers -->)", re.S)
ADVICE = "store numbers with --add"
SCHEMA = 1


@dataclass(frozen=True)
class Difference:
    """Against the baseline, paired by patient, in percent of Dice; p after Holm's correction."""

    mean: float
    low: float | None = None
    high: float | None = None
    better: int | None = None
    worse: int | None = None
    p: float | None = None


@dataclass(frozen=True)
class ResultRow:
    """A row of a table: `dice` is {group of patients: {class or "mean": percent}}."""

    name: str
    dice: dict[str, dict[str, float]]
    steps: str = ""
    minutes: float | None = None
    differences: dict[str, Difference] = field(default_factory=dict[str, Difference])


@dataclass(frozen=True)
class ResultTable:
    """Rows at one budget. `groups` are {group of patients: how many}, such as {"LGE": 8}, in the order of columns."""

    budget: str
    groups: dict[str, int]
    rows: tuple[ResultRow, ...]
    baseline: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlainTable:
    """A table cell by cell, as a command printed it or a page showed it before its numbers were kept.

    `best` says of each column which of its numbers is bold: "max", "min" or "" for none.
    """

    budget: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str = "lr"
    best: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """Where the numbers of plain tables are from. `source` says whether a program wrote them, or they were copied."""

    version: str
    date: str
    hardware: str
    commands: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Numbers:
    """What a results page's file holds: tables of studies, and plain ones, by their names on the page."""

    tables: dict[str, ResultTable] = field(default_factory=dict[str, ResultTable])
    plain: dict[str, PlainTable] = field(default_factory=dict[str, PlainTable])
    about: About | None = None

    def __post_init__(self) -> None:
        if self.plain and self.about is None:
            raise InputError("plain tables need to say where their numbers are from, under 'about'")

    def text(self, name: str) -> str:
        """A table as Markdown. Raises KeyError for a name that is none."""
        return rendered(self.tables[name]) if name in self.tables else rendered_plain(self.plain[name])

    @property
    def names(self) -> list[str]:
        """What tables there are."""
        return [*self.tables, *self.plain]


def rendered_plain(table: PlainTable) -> str:
    """The budget as a line, and the table with the best numbers bold, as Markdown; without rows a word instead."""
    if not table.rows:
        return "Nothing is measured yet.\n"
    best = [_best([row[column] for row in table.rows], which) for column, which in enumerate(table.best)]
    best += [None] * (len(table.head) - len(best))
    rows = [[_cell(text, wanted) for text, wanted in zip(row, best, strict=True)] for row in table.rows]
    text = Table(table.head, rows, table.align).markdown()
    return f"Budget: {markdown_text(table.budget)}\n\n{text}"


def _cell(text: str, wanted: float | None) -> TableCell:
    """A cell, bold where its number is the one that is wanted; the mark of a test behind it is not."""
    bare = text.rstrip("*†")
    return TableCell(bare, wanted is not None and _number(bare) == wanted, text[len(bare) :])


def _best(texts: Sequence[str], which: str) -> float | None:
    """The largest or smallest number with which cells begin; None where none is looked for, or there is none."""
    numbers = [number for text in texts if (number := _number(text)) is not None]
    return {"max": max, "min": min}[which](numbers) if which and numbers else None


def _number(text: str) -> float | None:
    """The number with which a cell begins: 93.35 of "93.35 ± 3.23"."""
    match = re.match(r"[-+]?\d+(\.\d+)?", text)
    return None if match is None else float(match[0])


def rendered(table: ResultTable) -> str:
    """The budget as a line, the table and, where there are differences, a second one, as Markdown."""
    parts = [f"Budget: {markdown_text(table.budget)}", "", scores(table).markdown().rstrip()]
    if any(row.differences for row in table.rows):
        parts += [
            "",
            f"Against {markdown_text(table.baseline)}, paired by patient:",
            "",
            tests(table).markdown().rstrip(),
        ]
    return "\n".join(parts) + "\n"


def scores(table: ResultTable) -> Table:
    """Mean Dice of each row in each group, behind it those of the classes; the best mean is bold. What rows took is
    left out where the budget alone says it."""
    best = {
        group: max((row.dice[group]["mean"] for row in table.rows if group in row.dice), default=None)
        for group in table.groups
    }
    classes = {
        group: list(dict.fromkeys(name for row in table.rows for name in row.dice.get(group, {}) if name != "mean"))
        for group in table.groups
    }
    took = any(_effort(row) != DASH for row in table.rows)
    rows: list[list[str | TableCell]] = []
    for row in table.rows:
        cells = [
            TableCell(_dice(row.dice.get(group), classes[group]), _mean(row.dice.get(group)) == best[group])
            for group in table.groups
        ]
        rows.append([row.name, *([_effort(row)] if took else []), *cells])
    columns = [f"{group} ({count})" for group, count in table.groups.items()]
    head = ["row", *(["steps, minutes"] if took else []), *columns]
    return Table(head, rows, "lr", notes=table.notes)


def tests(table: ResultTable) -> Table:
    """The difference of each row to the baseline."""
    rows = [
        [
            row.name,
            group,
            f"{difference.mean:+.2f}",
            DASH if difference.low is None else f"{difference.low:+.2f} to {difference.high:+.2f}",
            DASH if difference.better is None else f"{difference.better} / {difference.worse}",
            DASH if difference.p is None else f"{difference.p:.2g}",
        ]
        for row in table.rows
        for group, difference in row.differences.items()
    ]
    return Table(["row", "patients", "difference", "95 % interval", "better / worse", "p Holm"], rows, "llr")


def _mean(dice: Mapping[str, float] | None) -> float | None:
    return None if dice is None else dice["mean"]


def _dice(dice: Mapping[str, float] | None, classes: Sequence[str]) -> str:
    """ "46.8 (61.2, -, 47.6)": the mean, and the classes where they are known; a dash for one that was never met."""
    if dice is None:
        return DASH
    values = [f"{dice[name]:.1f}" if name in dice else DASH for name in classes]
    return f"{dice['mean']:.1f}" + (f" ({', '.join(values)})" if len(dice) > 1 else "")


def _effort(row: ResultRow) -> str:
    minutes = "" if row.minutes is None else f"{row.minutes:.1f}"
    return ", ".join(filter(None, [row.steps, minutes])) or DASH


def page_with_numbers(text: str, numbers: Numbers, where: str) -> str:
    """A page's text with its tables as the numbers have them. InputError for a table that they lack."""

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in numbers.names:
            raise InputError(f"{where} wants a table {name!r}, and there are {', '.join(numbers.names)}; {ADVICE}")
        return f"{match[1]}{numbers.text(name)}{match[3]}"

    return MARKED.sub(replaced, text)


def read_numbers(file: Path) -> Numbers:
    """The numbers of a page; none where there is no file."""
    return read(file, Numbers, ADVICE, schema=SCHEMA) if file.is_file() else Numbers()


def from_study(document: Mapping[str, Any]) -> ResultTable:
    """What `unpaired study` left in study.json as a table: mean Dice by modality and class, and differences."""
    if "comparison" not in document:
        raise InputError("this study has compared nothing yet; go on with it first")
    compared = document["comparison"]
    cells = [cell for cell in compared["columns"] if cell["score"] == "dice"]
    groups = {cell["modality"]: cell["patients"] for cell in cells if cell["class"] == "mean"}
    rows = [_row_of(row, [cell for cell in cells if cell["method"] == row["row"]]) for row in document["rows"]]
    return ResultTable(
        " ".join(document["notes"]).removeprefix("Budget: "),
        groups,
        tuple(row for row in rows if row.dice),
        compared["baseline"],
    )


def from_comparison(compared: Mapping[str, Any], budget: str) -> ResultTable:
    """What `unpaired compare` left in comparison.json as a table, as `from_study`; runs are those of any study."""
    cells = [cell for cell in compared["columns"] if cell["score"] == "dice"]
    groups = {cell["modality"]: cell["patients"] for cell in cells if cell["class"] == "mean"}
    rows: list[ResultRow] = []
    for method in compared["methods"]:
        dice, differences = _dice_of([cell for cell in cells if cell["method"] == method["name"]])
        rows += [ResultRow(method["name"], dice, differences=differences)] if dice else []
    return ResultTable(budget, groups, tuple(rows), compared["baseline"])


def _row_of(row: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> ResultRow:
    dice, differences = _dice_of(cells)
    steps = ", ".join(f"{count:,}" for count in row["steps"])
    minutes = round(row["training_seconds"] / 60 / max(row["done"], 1), 1)
    return ResultRow(row["row"], dice, steps, minutes, differences)


def _dice_of(cells: Sequence[Mapping[str, Any]]) -> tuple[dict[str, dict[str, float]], dict[str, Difference]]:
    """{modality: {class or "mean": percent}} of one method's cells, and what it differs from the baseline by."""
    dice: dict[str, dict[str, float]] = {}
    differences: dict[str, Difference] = {}
    for cell in cells:
        if cell["mean"] is not None:
            dice.setdefault(cell["modality"], {})[cell["class"]] = round(100 * cell["mean"], 2)
        if cell["class"] == "mean" and cell["difference"] is not None:
            bounds = [
                None if cell[name] is None else round(100 * cell[name], 2) for name in ("interval_low", "interval_high")
            ]
            differences[cell["modality"]] = Difference(
                round(100 * cell["difference"], 2), bounds[0], bounds[1], cell["better"], cell["worse"], cell["p_holm"]
            )
    return dice, differences


def add(out: Path, page: str, table: str, budget: str | None) -> None:
    """Store the numbers of a study, or with a budget those of a comparison, as a table of a page."""
    file = PAGES / f"{page}.json"
    document = json.loads((out / ("comparison.json" if budget else "study.json")).read_text(encoding="utf-8"))
    made = from_comparison(document, budget) if budget else from_study(document)
    numbers = read_numbers(file)
    stored = replace(numbers, tables=numbers.tables | {table: made})
    write_json(file, {"schema": SCHEMA, **asdict(stored)})


def store(page: str, table: str, lines: PlainTable, command: str) -> None:
    """Keep what a command printed as a table of a page, beside the others of it."""
    file = PAGES / f"{page}.json"
    numbers = read_numbers(file)
    about = numbers.about or About(__version__, time.strftime("%Y-%m-%d"), "said by each table", (), command)
    stored = replace(numbers, plain=numbers.plain | {table: lines}, about=about)
    write_json(file, {"schema": SCHEMA, **asdict(stored)})


def main() -> None:
    """Store what is asked for, then write every page that has marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", nargs=3, metavar=("OUT", "PAGE", "TABLE"))
    parser.add_argument("--budget", help="of a folder of `unpaired compare`, which does not know it")
    arguments = parser.parse_args()
    if arguments.add:
        add(Path(arguments.add[0]), arguments.add[1], arguments.add[2], arguments.budget)
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if MARKED.search(text):
            write_text(page, page_with_numbers(text, read_numbers(page.with_suffix(".json")), page.name))
            print(page.name)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
