"""A comparison as a paper prints it, in Markdown and on the terminal.

Rows are methods, columns classes and their mean per modality; the best is bold, marks say what differs from the
baseline, and what was missed or invented stands in the same row. The terminal turns rows and columns around.
"""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from unpaired.comparison.cells import (
    TEST_HEADINGS,
    best_methods,
    cell_text,
    count_text,
    mark,
    row_name,
    test_cells,
    title,
)
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.notes import notes, warnings
from unpaired.comparison.records import Key
from unpaired.scores.summaries import MEAN


def markdown(comparison: Comparison) -> str:
    """Warnings, a table per score, the tests of the mean columns, how the numbers were made, what was missed."""
    lines = [f"# {', '.join(comparison.names)}", ""]
    for warning in warnings(comparison):
        lines += [f"> **Note.** {escaped(warning)}", ">"]
    lines[-1] = ""
    columns = comparison.columns
    for score in comparison.scores:
        heads = ["method", *(f"{column.modality} {column.class_name}" for column in columns), "missed", "invented"]
        lines += [f"## {title(score)}", "", markdown_row(heads), "|---|" + "---:|" * (len(heads) - 1)]
        for name in comparison.names:
            cells = []
            for column in columns:
                key = Key(score, column, name)
                text = cell_text(score, comparison.cells[key])
                text = f"**{text}**" if name in best_methods(comparison, score, column) else text
                cells.append(text + escaped(mark(comparison.differences.get(key))))
            lines.append(
                "| " + " | ".join([escaped(row_name(comparison, name)), *cells, *count_text(comparison, name)]) + " |"
            )
        lines.append("")
    lines += [
        f"## Against {escaped(comparison.baseline)}",
        "",
        markdown_row(TEST_HEADINGS),
        "|---|---|---|---|" + "---:|" * 7,
    ]
    lines += [markdown_row(cells) for cells in _main_tests(comparison)]
    lines += ["", *(f"{escaped(note)}\n" for note in notes(comparison))]
    return "\n".join(lines).rstrip("\n") + "\n"


def comparison_table(comparison: Comparison, score: str) -> Table:
    """One score for the terminal: a row per modality and class, a column per method."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title(score), title_justify="left")
    for head in ("modality", "class"):
        table.add_column(head)
    for name in comparison.names:
        table.add_column(Text(row_name(comparison, name)), justify="right")
    for column in comparison.columns:
        best = best_methods(comparison, score, column)
        cells = []
        for name in comparison.names:
            key = Key(score, column, name)
            text = cell_text(score, comparison.cells[key])
            text += mark(comparison.differences.get(key))
            cells.append(Text(text, style="bold" if name in best else ""))
        table.add_row(Text(column.modality), Text(column.class_name), *cells, end_section=column.class_name == MEAN)
    missed, invented = zip(*(count_text(comparison, name) for name in comparison.names), strict=True)
    table.add_row("missed", "", *missed)
    table.add_row("invented", "", *invented)
    return table


def terminal(comparison: Comparison) -> Group:
    """Tables, tests of the mean columns, notes and warnings, the warnings last, where a reader's eye is."""
    parts: list[Any] = [comparison_table(comparison, score) for score in comparison.scores]
    tests = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"against {comparison.baseline}", title_justify="left")
    for place, head in enumerate(TEST_HEADINGS):
        whole = head != "method"
        tests.add_column(head, justify="left" if place < 4 else "right", no_wrap=whole)
    for cells in _main_tests(comparison):
        tests.add_row(*map(Text, cells))
    parts.append(tests)
    parts += [Text(note, style="dim") for note in notes(comparison)]
    parts += [Text(f"note: {warning}", style="yellow") for warning in warnings(comparison)]
    return Group(*parts)


def _main_tests(comparison: Comparison) -> list[tuple[str, ...]]:
    """The tests of the mean columns."""
    return [test_cells(*item) for item in comparison.differences.items() if item[0].column in comparison.main_columns]


def escaped(text: str) -> str:
    """Text in which nothing is Markdown: names of methods and cases come from anywhere."""
    return "".join(f"\\{letter}" if letter in "\\|*_`<[#" else letter for letter in text)


def markdown_row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"
