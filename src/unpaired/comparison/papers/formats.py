"""A comparison laid out as a paper's table, in Markdown, LaTeX, rows for programs, and on the terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from unpaired.comparison.latex import tex
from unpaired.comparison.papers.layout import LayoutRow, PaperLayout
from unpaired.comparison.papers.tables import LABEL
from unpaired.comparison.records import Column
from unpaired.comparison.text import escaped, markdown_row

COUNTS = ("missed", "invented")


def paper_markdown(layouts: Sequence[PaperLayout]) -> str:
    """A section per paper's table, to follow a comparison's Markdown; empty without tables."""
    lines: list[str] = []
    for layout in layouts:
        lines += ["", f"# Laid out as {escaped(layout.table.name)}", ""]
        for score in layout.scores:
            heads = ["setting", "numbers", *(_head(layout, column) for column in layout.columns), *COUNTS]
            lines += [f"## {escaped(layout.title(score))}", "", markdown_row(heads)]
            lines += ["|---|---|" + "---:|" * (len(heads) - 2)]
            lines += [markdown_row(_texts(layout, row)) for row in layout.rows(score)]
            lines.append("")
        lines += [f"{escaped(note)}\n" for note in layout.notes()]
    return "\n".join(lines).rstrip("\n") + "\n" if lines else ""


def paper_latex(layouts: Sequence[PaperLayout]) -> str:
    """A `table` per score, to follow a comparison's LaTeX; the first caption says whose numbers are whose."""
    return "".join(
        _latex_table(layout, score, place == 0) for layout in layouts for place, score in enumerate(layout.scores)
    )


def paper_records(layout: PaperLayout) -> Iterator[dict[str, Any]]:
    """A flat row per score, row and column; numbers in the paper's units, Dice in percent."""
    for score in layout.scores:
        for row in layout.rows(score):
            found = None if row.method is None else layout.comparison.replicates[row.method]
            for column in layout.columns:
                cell = row.cells[column]
                yield {
                    "table": layout.table.name,
                    "score": score,
                    "setting": row.setting,
                    "numbers": row.whose,
                    "method": row.method,
                    "folds": None if found is None else found.folds,
                    "seeds": None if found is None else found.seeds,
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


def paper_terminal(layouts: Sequence[PaperLayout]) -> Group:
    """The tables for a terminal: means alone (the files have the deviations), our rows bright, the paper's dim."""
    parts: list[Any] = []
    for layout in layouts:
        for score in layout.scores:
            table = Table(box=SIMPLE_HEAD, pad_edge=False, title=layout.title(score), title_justify="left")
            table.add_column("setting")
            table.add_column("numbers", min_width=len(LABEL) // 2)
            for column in layout.columns:
                table.add_column(_head(layout, column).replace(" ", "\n"), justify="right", no_wrap=True)
            for row in layout.rows(score):
                texts = [row.setting, row.whose, *(row.cells[column].text.split(" ±")[0] for column in layout.columns)]
                table.add_row(*map(Text, texts), style="" if row.ours else "dim")
            parts.append(table)
        parts += [Text(note, style="dim") for note in layout.notes()]
    return Group(*parts)


def _texts(layout: PaperLayout, row: LayoutRow) -> list[str]:
    return [row.setting, row.whose, *(row.cells[column].text for column in layout.columns), row.missed, row.invented]


def _head(layout: PaperLayout, column: Column) -> str:
    return f"{column.modality} {layout.table.heading(column.class_name)}"


def _latex_table(layout: PaperLayout, score: str, first: bool) -> str:
    how = " ".join(layout.notes()) if first else "Whose numbers they are: as in the table before."
    spans, rules, place = ["", ""], [], 3
    for modality, columns in layout.groups:
        spans.append(rf"\multicolumn{{{len(columns)}}}{{c}}{{{tex(modality)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + len(columns) - 1}}}")
        place += len(columns)
    heads = ["Setting", "Numbers", *(tex(layout.table.heading(column.class_name)) for column in layout.columns)]
    lines = [
        "",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(f'{layout.title(score)}. {how}')}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(layout.columns)}rr}}",
        r"\toprule",
        " & ".join([*spans, "", ""]) + r" \\",
        " ".join(rules),
        " & ".join([*heads, *COUNTS]) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(map(tex, _texts(layout, row))) + r" \\" for row in layout.rows(score)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
