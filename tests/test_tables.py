"""Names from anywhere in every format, read back by another library: markdown-it, csv, rich's console, LaTeX."""

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from unpaired.tables import (
    FORMULA,
    LATEX,
    Table,
    TableCell,
    csv_cell,
    csv_records,
    csv_text,
    csv_value,
    latex_text,
    markdown_paragraph,
    markdown_text,
    one_line,
)

NAMES = [
    *("a|b", "a_b%", "=1+1", "[bold]x", "two\nlines", "a\\b", "ends\\", "**b**", "<i>&amp;", "~~x~~", "$x$", "`c`"),
    *("#1", "a--b---c", "{x}^2~", "\x1b[31mred", "+1.5", "-3.5", "@x", "\tx", "＝1", "*", "- x", "1. x", "Müller"),
]
PLAIN = Table(["run", "Dice"], [["a", "91.20"], ["b", "90.10"]], title="Dice %")


def shown(table: Table, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


class Texts(HTMLParser):
    """The texts of some elements of a page."""

    def __init__(self, *tags: str) -> None:
        super().__init__()
        self.tags, self.texts, self.inside = tags, [], False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag in self.tags:
            self.texts.append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in self.tags

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


def read_markdown(text: str, *tags: str) -> list[str]:
    """The texts of the elements that a Markdown reader makes of a document."""
    parser = Texts(*tags)
    parser.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))
    return parser.texts


# ---- the table


def test_a_table_has_as_many_cells_in_a_row_as_headings() -> None:
    with pytest.raises(ValueError, match="expected rows and groups of 2 columns"):
        Table(["a", "b"], [["1"]])
    with pytest.raises(ValueError, match="groups of 2 columns"):
        Table(["a", "b"], [], groups=[("ct", 3)])


def test_headings_have_their_groups() -> None:
    table = Table(["run", "LV", "RV", "LV"], [], "lr", groups=[("", 1), ("ct", 2), ("mr", 1)])
    assert table.heads == ["run", "ct LV", "ct RV", "mr LV"]
    assert table.left == 1
    assert Table(["a", "b"], [], "l").left == 2


# ---- Markdown


def test_markdown_by_hand() -> None:
    table = Table(
        ["run", "LV", "RV"],
        [["a_b", TableCell("1.0", best=True, mark="*"), "–"], ["c", "2.0", TableCell("3.0", mark="†")]],
        title="Dice %",
        notes=["Means.", "- no list"],
        groups=[("", 1), ("ct", 2)],
    )
    rows = ["| run | ct LV | ct RV |", "|---|---:|---:|", "| a\\_b | **1.0**\\* | – |", "| c | 2.0 | 3.0† |"]
    assert table.markdown(level=2) == "\n".join(["## Dice %", "", *rows, "", "Means.", "", "\\- no list", ""])
    assert table.markdown().startswith("| run |")


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_it_is(name: str) -> None:
    table = Table([name, "Dice"], [[name, TableCell(name, best=True)]], title=name, notes=[name])
    cells = read_markdown(table.markdown(level=2), "th", "td", "h2", "p")
    expected = one_line(name).strip()
    assert [cell.strip() for cell in cells] == [expected, expected, "Dice", expected, expected, expected]


@settings(deadline=None, max_examples=200)
@given(st.text(min_size=1))
def test_no_text_is_markdown(text: str) -> None:
    expected = one_line(text).strip()
    assert [cell.strip() for cell in read_markdown(Table([text], [[text]]).markdown(), "th", "td")] == [expected] * 2
    assert [cell.strip() for cell in read_markdown(markdown_paragraph(text), "p")] == ([expected] if expected else [])
    assert "\n" not in markdown_text(text)


# ---- the terminal


@pytest.mark.parametrize("name", NAMES)
def test_the_terminal_shows_a_name_as_it_is(name: str) -> None:
    text = shown(Table([name, "Dice"], [[name, TableCell("1", style="dim")]], title=name, notes=[name]))
    assert text.count(one_line(name).strip()) >= 4
    assert "\x1b" not in text


def test_numbers_stay_whole_and_nothing_is_lost_where_space_is_short() -> None:
    names = [f"a_method_with_a_long_name_{number}" for number in range(3)]
    heads = ["method", *("a heading of words" for _ in range(5))]
    table = Table(heads, [[name, *["91.55"] * 5] for name in names])
    for width in (120, 70, 40, 24):
        lines = shown(table, width).splitlines()
        assert max(map(len, lines)) <= width
        body = "".join("".join(lines).split("─")[-1].split())
        if width > 40:
            assert body.count("91.55") == 15
            assert body.replace("91.55", "") == "".join(names)
        else:  # not even words fit
            assert sorted(body) == sorted("".join(names) + 15 * "91.55")


def test_sections_and_groups_on_the_terminal() -> None:
    lines = shown(
        Table(["class", "LV"], [["a", "1"], ["b", "2"]], groups=[("", 1), ("ct", 1)], sections={0})
    ).splitlines()
    assert lines[1].split() == ["class", "ct", "LV"]
    assert [line.split() for line in lines[3:6]] == [["a", "1"], [], ["b", "2"]]


# ---- LaTeX


def test_latex_by_hand() -> None:
    rows = [["a_b", TableCell("1.0", best=True, mark="*"), "–"], ["c", "2.0 ± 1", TableCell("3.0", mark="†")]]
    table = Table(["run", "LV", "RV"], rows, "lr", "Dice %", ["Means."], [("", 1), ("ct", 2)], {0, 1})
    assert table.latex().splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Dice \%. Means.}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & \multicolumn{2}{c}{ct} \\",
        r"\cmidrule(lr){2-3}",
        r"run & LV & RV \\",
        r"\midrule",
        r"a\_b & \textbf{1.0}$^{*}$ & -- \\",
        r"\addlinespace",
        r"c & 2.0 $\pm$ 1 & 3.0$^{\dagger}$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    assert "caption" not in Table(["a"], []).latex()


@pytest.mark.parametrize("name", NAMES)
def test_latex_has_no_letter_with_a_meaning(name: str) -> None:
    text = latex_text(name)
    left = text
    for command in sorted({*LATEX.values()} - {"--", "---", "``", "''"}, key=len, reverse=True):
        left = left.replace(command, "")
    assert not re.search(r"[\\&%$#_{}~^<>|\[\]*`\n]|--", left), text
    assert not text.startswith(("[", "*"))  # after \\ they would be arguments


@pytest.mark.skipif(not (shutil.which("pdflatex") and shutil.which("pdftotext")), reason="there is no LaTeX here")
def test_latex_compiles_and_prints_names_as_they_are(tmp_path: Path) -> None:
    names = [name for name in NAMES if name.isascii()]
    table = Table(["run", "Dice"], [[name, name] for name in names], title="a_b", groups=[("[x", 1), ("*", 1)])
    body = f"\\begin{{document}}\n{table.latex()}\\end{{document}}\n"
    head = "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs}\n"
    (tmp_path / "table.tex").write_text(head + body, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    subprocess.run(["pdftotext", "-layout", "table.pdf"], cwd=tmp_path, check=True)
    lines = ["".join(line.split()) for line in (tmp_path / "table.txt").read_text(encoding="utf-8").splitlines()]
    for name in names:  # spaces in a PDF are guessed
        assert 2 * "".join(one_line(name).split()) in lines


# ---- CSV


@pytest.mark.parametrize("name", NAMES)
def test_csv_is_read_back_as_it_is_but_for_formulas(name: str) -> None:
    text = csv_text([name, "dice"], [[name, 0.5], [name, None]])
    head, *rows = list(csv.reader(io.StringIO(text, newline="")))
    run = name.startswith(FORMULA) and name not in ("+1.5", "-3.5")
    expected = f"'{name}" if run else name
    assert (head, rows) == ([expected, "dice"], [[expected, "0.5"], [expected, ""]])


@settings(deadline=None)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2), min_size=1))
def test_no_cell_that_a_spreadsheet_reads_is_a_formula(rows: list[list[str]]) -> None:
    stored = list(csv.reader(io.StringIO(csv_text(["a", "b"], rows), newline="")))[1:]
    for cells, read in zip(rows, stored, strict=True):
        lines = [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells]
        assert [cell.removeprefix("'") for cell in read] == [cell.removeprefix("'") for cell in lines]
        assert all(not cell.startswith(FORMULA) or float(cell) is not None for cell in read)


@pytest.mark.parametrize("number", ["-3.5", "+1", "-1e-05", "-.5", "+2.", -3.5, -7, 0.1, True, None])
def test_numbers_stay_numbers(number: object) -> None:
    assert csv_cell(number) is number or csv_cell(number) == number


@pytest.mark.parametrize("text", ["=1", "-1+2", "+1.2 to +3.4", "-", "@SUM(A1)", "\r=1", "\n=1", "-inf", "-1e5x"])
def test_what_only_begins_like_a_number_is_none(text: str) -> None:
    assert csv_cell(text) == f"'{text}".replace("\r", "\n")


def test_records_have_the_columns_asked_for() -> None:
    records = [{"run": "a", "dice": 0.1 + 0.2, "more": 1}, {"run": "b", "dice": None, "more": 2}]
    assert csv_records(records) == "run,dice,more\na,0.30000000000000004,1\nb,,2\n"
    assert csv_records(records, ["dice", "run"]) == "dice,run\n0.30000000000000004,a\n,b\n"
    assert csv_records([], ["a"]) == "a\n"
    assert Table(["run", "LV"], [["=x", TableCell("1.0", mark="*")]], groups=[("", 1), ("ct", 1)]).csv() == (
        "run,ct LV\n'=x,1.0*\n"
    )


@pytest.mark.parametrize("text", ["=1+1", "-3.5", "'quoted", "'=1+1", "@x", "plain", "", "-x", "\tx", "'-3.5"])
def test_a_cell_comes_back_as_it_was(text: str) -> None:
    assert csv_value(csv_cell(text)) == text or text.startswith("'")
    assert csv_cell(csv_value(csv_cell(text))) == csv_cell(text)
