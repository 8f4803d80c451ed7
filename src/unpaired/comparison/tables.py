"""A comparison as a paper prints it: in Markdown, in LaTeX, and on the terminal.

Rows are methods, columns classes and their mean per modality; the best is bold, marks say what differs from the
baseline, and what was missed or invented stands in the same row. The terminal turns rows and columns around.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from unpaired.comparison.cells import count_text, row_name, table_cell, test_cells, test_headings, title
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.notes import notes, warnings
from unpaired.comparison.records import Key
from unpaired.scores.summaries import MEAN
from unpaired.tables import Table, markdown_paragraph, markdown_text, one_line

if TYPE_CHECKING:
    from rich.console import Group

COUNTS = ("missed", "invented")


def score_table(comparison: Comparison, score: str) -> Table:
    """One score: a row per method, its missed and invented structures last."""
    rows = [
        [
            row_name(comparison, name),
            *(table_cell(comparison, Key(score, column, name)) for column in comparison.columns),
            *count_text(comparison, name),
        ]
        for name in comparison.names
    ]
    modalities = [column.modality for column in comparison.columns]
    groups = [("", 1), *((name, modalities.count(name)) for name in comparison.modalities), ("", len(COUNTS))]
    heads = ["method", *(column.class_name for column in comparison.columns), *COUNTS]
    return Table(heads, rows, title=title(score), groups=groups)


def turned_table(comparison: Comparison, score: str) -> Table:
    """One score with a row per modality and class and a column per method."""
    rows = [
        [
            column.modality,
            column.class_name,
            *(table_cell(comparison, Key(score, column, name)) for name in comparison.names),
        ]
        for column in comparison.columns
    ]
    sections = {place for place, column in enumerate(comparison.columns) if column.class_name == MEAN}
    counts = zip(*(count_text(comparison, name) for name in comparison.names), strict=True)
    rows += [[name, "", *numbers] for name, numbers in zip(COUNTS, counts, strict=True)]
    heads = ["modality", "class", *(row_name(comparison, name) for name in comparison.names)]
    return Table(heads, rows, "llr", title(score), sections=sections)


def difference_table(comparison: Comparison) -> Table:
    """Every method against the baseline in the mean columns: difference, interval, effect, p values, seeds."""
    rows = [test_cells(comparison, key) for key in comparison.differences if key.column in comparison.main_columns]
    return Table(test_headings(comparison), rows, "llllr", f"Against {comparison.baseline}")


def markdown(comparison: Comparison) -> str:
    """Warnings, a table per score, the tests of the mean columns, how the numbers were made, what was missed."""
    parts = [f"# {markdown_text(', '.join(comparison.names))}"]
    quoted = [f"> **Note.** {markdown_text(warning)}" for warning in warnings(comparison)]
    parts += ["\n>\n".join(quoted)] if quoted else []
    parts += [score_table(comparison, score).markdown(level=2).rstrip() for score in comparison.scores]
    parts.append(difference_table(comparison).markdown(level=2).rstrip())
    return "\n\n".join([*parts, *map(markdown_paragraph, notes(comparison))]) + "\n"


def latex(comparison: Comparison) -> str:
    r"""A `table` per score for a paper; needs `\usepackage{booktabs}` alone.

    The first caption says how the numbers were made, comments on top what limits them.
    """
    return "\n".join(_latex_parts(comparison))


def terminal(comparison: Comparison) -> "Group":
    """Tables, tests of the mean columns, notes and warnings, the warnings last, where a reader's eye is."""
    from rich.console import Group
    from rich.text import Text

    tables = [turned_table(comparison, score) for score in comparison.scores]
    tables.append(replace(difference_table(comparison), notes=list(notes(comparison))))
    cautions = [Text(f"note: {one_line(warning)}", style="yellow") for warning in warnings(comparison)]
    return Group(*tables, *cautions)


def _latex_parts(comparison: Comparison) -> Iterator[str]:
    limits = "".join(f"% Note: {' '.join(warning.split())}\n" for warning in warnings(comparison))
    yield f"% \\usepackage{{booktabs}}\n{limits}"
    captions = [list(notes(comparison)), ["Definitions and marks as in the first table."]]
    for place, score in enumerate(comparison.scores):
        yield replace(score_table(comparison, score), notes=captions[min(place, 1)]).latex()
