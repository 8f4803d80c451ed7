"""One table, and how it is written: for the terminal, as Markdown, as LaTeX, as CSV.

A table holds plain text. Names of runs, cases and classes come from anywhere, so each renderer escapes what has a
meaning in its format: a run called `a|b`, `a_b%`, `[bold]x` or `=1+1` is printed by these letters and nothing else.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.table import Table as RichTable

DASH = "–"
"""What a table shows where there is no number."""
MARKDOWN = re.compile(r"[\\|*_`<\[#~$]|&(?=#?\w)")
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "[": "{[}",  # after \\ or \midrule a bracket or star would be an argument
    "]": "{]}",
    "*": "{*}",
    "-": "-{}",  # of "--", which would become a dash
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "†": r"$\dagger$",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
}
LATEX_MARKS = {"*": r"$^{*}$", "†": r"$^{\dagger}$"}
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""Spreadsheets run a cell that begins like this (OWASP, "CSV injection")."""
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class TableCell:
    """A cell's text, whether it is the best of its column, the sign after it, and rich's style on the terminal."""

    text: str
    best: bool = False
    mark: str = ""
    style: str = ""


@dataclass(frozen=True)
class Table:
    """What a table says, in plain text.

    `head` has a heading per column, each row as many cells. `align` has "l" or "r" per column, as LaTeX's tabular; its
    last letter goes on. `groups` are (heading, columns) above the head, empty where there is none. Rows whose numbers
    are in `sections` are followed by a space. `title` and `notes` stand above and below.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | TableCell]]
    align: str = "lr"
    title: str = ""
    notes: Sequence[str] = ()
    groups: Sequence[tuple[str, int]] = ()
    sections: Collection[int] = ()

    def __post_init__(self) -> None:
        widths = {len(self.head), *map(len, self.rows)}
        if len(widths) > 1 or (self.groups and sum(columns for _, columns in self.groups) != len(self.head)):
            raise ValueError(
                f"expected rows and groups of {len(self.head)} columns, got {sorted(widths)}, {self.groups}"
            )

    def __str__(self) -> str:
        """The table as Markdown, which reads well in a terminal too."""
        return self.markdown().rstrip()

    @property
    def left(self) -> int:
        """How many columns, from the first, are aligned to the left: those with names."""
        return next((place for place in range(len(self.head)) if self._align(place) != "l"), len(self.head))

    def is_left(self, column: int) -> bool:
        """Whether a column, counted from 0, is aligned to the left."""
        return self._align(column) == "l"

    @property
    def heads(self) -> list[str]:
        """The headings of the columns, each with that of its group: "ct LV"."""
        above = [heading for heading, columns in self.groups or [("", len(self.head))] for _ in range(columns)]
        return [f"{heading} {name}".strip() for heading, name in zip(above, self.head, strict=True)]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """On the terminal (`console.print(table)`): the table, and below it the notes over the whole width."""
        from rich.text import Text

        yield self._grid(options.max_width)
        for note in self.notes:
            yield Text(one_line(note), style="dim")

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        """How wide the table is, the notes aside."""
        return console.measure(self._grid(options.max_width), options=options)

    def _grid(self, width: int) -> "RichTable":
        """Where space is short names are folded, headings and numbers wrapped between words if that is enough."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable
        from rich.text import Text

        title = Text(one_line(self.title)) if self.title else None
        grid = RichTable(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
        rows = [[(one_line(cell.text + cell.mark), _style(cell)) for cell in _cells(row)] for row in self.rows]
        heads = list(map(one_line, self.heads))
        least: list[int] = []
        for place, heading in enumerate(heads):
            numbers = [] if self._align(place) == "l" else [row[place][0] for row in rows]
            least.append(max((len(word) for text in (heading, *numbers) for word in text.split()), default=1))
        fits = sum(least) + 3 * len(least) <= width
        for place, heading in enumerate(heads):
            justify = "left" if self._align(place) == "l" else "right"
            grid.add_column(Text(heading), justify=justify, overflow="fold", min_width=least[place] if fits else None)
        for number, row in enumerate(rows):
            grid.add_row(*(Text(text, style=style) for text, style in row), end_section=number in self.sections)
        return grid

    def markdown(self, level: int = 0) -> str:
        """The table and, as paragraphs, its notes; below the title as a heading of `level`, with 0 without it."""
        parts = [f"{'#' * level} {markdown_text(self.title)}"] if level else []
        rows = [[markdown_text(heading) for heading in self.heads]]
        for row in map(_cells, self.rows):
            texts = [(markdown_text(cell.text), cell) for cell in row]
            rows.append(
                [(f"**{text}**" if cell.best and text else text) + markdown_text(cell.mark) for text, cell in texts]
            )
        rule = "|".join("---" if self._align(place) == "l" else "---:" for place in range(len(self.head)))
        lines = [f"| {' | '.join(row)} |" for row in rows]
        parts.append("\n".join([lines[0], f"|{rule}|", *lines[1:]]))
        return "\n\n".join([*parts, *map(markdown_paragraph, self.notes)]) + "\n"

    def latex(self) -> str:
        r"""A `table` environment, title and notes in its caption; needs `\usepackage{booktabs}` alone."""
        caption = ". ".join(filter(None, [self.title, " ".join(self.notes)]))
        body: list[str] = []
        for number, row in enumerate(map(_cells, self.rows)):
            body.append(" & ".join(map(_latex_cell, row)) + r" \\")
            body += [r"\addlinespace"] if number in self.sections and number + 1 < len(self.rows) else []
        lines = [
            r"\begin{table}",
            r"\centering",
            *([rf"\caption{{{latex_text(caption)}}}"] if caption else []),
            rf"\begin{{tabular}}{{{''.join(map(self._align, range(len(self.head))))}}}",
            r"\toprule",
            *self._latex_groups(),
            " & ".join(map(latex_text, self.head)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Headings and cells as they are printed; for numbers of full precision write records (`csv_records`)."""
        return csv_text(self.heads, ([cell.text + cell.mark for cell in _cells(row)] for row in self.rows))

    def _align(self, column: int) -> str:
        return self.align[min(column, len(self.align) - 1)]

    def _latex_groups(self) -> list[str]:
        """The headings above the head, and the rules below them; nothing without groups."""
        if not self.groups:
            return []
        spans: list[str] = []
        rules: list[str] = []
        place = 1
        for heading, columns in self.groups:
            if heading:
                spans.append(rf"\multicolumn{{{columns}}}{{c}}{{{latex_text(heading)}}}")
                rules.append(rf"\cmidrule(lr){{{place}-{place + columns - 1}}}")
            else:
                spans += [""] * columns
            place += columns
        return [" & ".join(spans) + r" \\", " ".join(rules)]


def percent(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """A share in percent; a dash for None."""
    return DASH if value is None else f"{100 * value:{'+' if signed else ''}.{digits}f}"


def one_line(text: str) -> str:
    """Text on one line, words a space apart; line breaks, tabs and control characters become spaces."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def markdown_text(text: str) -> str:
    """Text in which nothing is Markdown, for a cell or within a sentence."""
    return MARKDOWN.sub(r"\\\g<0>", one_line(text))


def markdown_paragraph(text: str) -> str:
    """Text in which nothing is Markdown, for a paragraph: it becomes no list either."""
    return re.sub(r"^(\d*)([-+=.)>])", r"\1\\\2", markdown_text(text))


def latex_text(text: str) -> str:
    """Text in which nothing is LaTeX."""
    return re.sub(r"-(?=-)|[^-]", lambda match: LATEX.get(match[0], match[0]), one_line(text))


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Headings and rows as CSV, cells as `csv_cell`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([csv_cell(value) for value in row] for row in (head, *rows))
    return text.getvalue()


def csv_records(records: Iterable[Mapping[str, Any]], head: Sequence[str] | None = None) -> str:
    """A row per record as CSV; `head` names its columns (None: the first record's keys), others are left out."""
    rows = list(records)
    names = list(head if head is not None else rows[0] if rows else [])
    return csv_text(names, ([row.get(name) for name in names] for row in rows))


def csv_cell(value: Any) -> Any:
    """A value as it stands in a CSV file that a spreadsheet may open.

    Text that a spreadsheet would run as a formula gets an apostrophe in front; numbers, also as text ("-3.5"), stay.
    Lines within a cell end with a line feed.
    """
    if value is None or isinstance(value, int | float):
        return value
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def csv_value(cell: Any) -> Any:
    """What `csv_cell` made a cell from: text without the apostrophe that it put in front; all else as it is."""
    marked = isinstance(cell, str) and cell.startswith("'") and csv_cell(cell[1:]) == cell
    return cell[1:] if marked else cell


def _cells(row: Sequence[str | TableCell]) -> list[TableCell]:
    return [cell if isinstance(cell, TableCell) else TableCell(cell) for cell in row]


def _style(cell: TableCell) -> str:
    return f"{cell.style} bold".strip() if cell.best else cell.style


def _latex_cell(cell: TableCell) -> str:
    text = latex_text(cell.text)
    return (rf"\textbf{{{text}}}" if cell.best else text) + LATEX_MARKS.get(cell.mark, latex_text(cell.mark))
