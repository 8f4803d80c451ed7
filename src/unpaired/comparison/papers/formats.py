"""A comparison laid out as a paper's table, in Markdown, LaTeX, rows for programs, and on the terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unpaired.comparison.budget import trained_by
from unpaired.comparison.papers.layout import PaperLayout
from unpaired.comparison.papers.tables import LABEL
from unpaired.comparison.tables import COUNTS
from unpaired.tables import Table, TableCell, markdown_paragraph, markdown_text

if TYPE_CHECKING:
    from rich.console import Group


def layout_table(layout: PaperLayout, score: str) -> Table:
    """One score: the methods compared and the paper's rows, in the paper's order."""
    rows = [
        [row.setting, row.whose, *(row.cells[column].text for column in layout.columns), row.missed, row.invented]
        for row in layout.rows(score)
    ]
    groups = [("", 2), *((modality, len(columns)) for modality, columns in layout.groups), ("", len(COUNTS))]
    heads = ["setting", "numbers", *(layout.table.heading(column.class_name) for column in layout.columns), *COUNTS]
    return Table(heads, rows, "llr", layout.title(score), groups=groups)


def paper_markdown(layouts: Sequence[PaperLayout]) -> str:
    """A section per paper's table, to follow a comparison's Markdown; empty without tables."""
    parts: list[str] = []
    for layout in layouts:
        parts.append(f"# Laid out as {markdown_text(layout.table.name)}")
        parts += [layout_table(layout, score).markdown(level=2).rstrip() for score in layout.scores]
        parts += map(markdown_paragraph, layout.notes())
    return "".join(f"\n{part}\n" for part in parts)


def paper_latex(layouts: Sequence[PaperLayout]) -> str:
    """A `table` per score, to follow a comparison's LaTeX; the first caption says whose numbers are whose."""
    text = ""
    for layout in layouts:
        captions = [list(layout.notes()), ["Whose numbers they are: as in the table before."]]
        for place, score in enumerate(layout.scores):
            text += "\n" + replace(layout_table(layout, score), notes=captions[min(place, 1)]).latex()
    return text


def paper_records(layout: PaperLayout) -> Iterator[dict[str, Any]]:
    """A flat row per score, row and column; numbers in the paper's units, Dice in percent."""
    trained = trained_by(layout.comparison.contenders)
    for score in layout.scores:
        for row in layout.rows(score):
            runs = None if row.method is None else layout.comparison.replicates[row.method]
            for column in layout.columns:
                cell = row.cells[column]
                yield {
                    "table": layout.table.name,
                    "score": score,
                    "setting": row.setting,
                    "numbers": row.whose,
                    "method": row.method,
                    "folds": None if runs is None else runs.folds,
                    "seeds": None if runs is None else runs.seeds,
                    "trained": None if row.method is None else trained[row.method],
                    "reading": row.reading,
                    "modality": column.modality,
                    "class": column.class_name,
                    "value": cell.value,
                    "std": cell.std,
                }


def paper_json(layout: PaperLayout) -> dict[str, Any]:
    """The table as JSON values, with its source and notes."""
    return {
        "table": layout.table.name,
        "source": layout.table.source,
        "label": LABEL,
        "notes": list(layout.notes()),
        "rows": list(paper_records(layout)),
    }


def paper_terminal(layouts: Sequence[PaperLayout]) -> "Group":
    """The tables for a terminal: means alone (the files have the deviations), the paper's rows dim."""
    from rich.console import Group

    return Group(*(_narrow_table(layout, score) for layout in layouts for score in layout.scores))


def _narrow_table(layout: PaperLayout, score: str) -> Table:
    """Without deviations and counts; the notes below the last score."""
    rows: list[list[TableCell]] = []
    for row in layout.rows(score):
        means = (row.cells[column].text.split(" ±")[0] for column in layout.columns)
        rows.append(
            [TableCell(text, style="dim" if row.is_printed else "") for text in (row.setting, row.whose, *means)]
        )
    table = layout_table(layout, score)
    kept = len(table.head) - len(COUNTS)
    notes = list(layout.notes()) if score == layout.scores[-1] else []
    return replace(table, head=table.head[:kept], rows=rows, groups=table.groups[:-1], notes=notes)
