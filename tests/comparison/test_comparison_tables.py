"""Tables for papers: what they print, that names from anywhere can't break them, that files hold what was computed."""

import csv
import io
import json
import re

import pytest
from rich.console import Console

from unpaired.comparison.cells import best_methods, cell_text, mark, number, p_text
from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender
from unpaired.comparison.files import FILES, to_json, write_comparison
from unpaired.comparison.records import Cell, Column
from unpaired.comparison.tables import latex, markdown, terminal
from unpaired.scores.scores import Evaluation, Score

LV, RV, MEAN = Column("ct", "LV"), Column("ct", "RV"), Column("ct", "mean")


def method(name, gain, missed=(), patients=8):
    rows = []
    for k in range(patients):
        for place, class_name in enumerate(("LV", "RV")):
            base = 0.5 + 0.02 * k + 0.1 * place
            if (f"p{k}", class_name) in missed:
                rows.append(Score(f"p{k}", f"p{k}", "ct", class_name, "missed", 0.0, hd95=300.0, reference_ml=5.0))
            else:
                dice = base + gain * (1 + 0.1 * k)
                scored = Score(
                    f"p{k}", f"p{k}", "ct", class_name, "scored", dice, hd95=20 - 10 * dice, reference_ml=5.0
                )
                rows.append(scored)
    return Contender(name, (Evaluation(rows, []),))


@pytest.fixture(scope="module")
def comparison():
    methods = [method("base", 0.0), method("better", 0.1), method("worse_&|", -0.1, {("p0", "RV"), ("p3", "RV")})]
    return compare(methods, ["dice", "hd95"])


def rows_of(text, heading):
    """The cells of the first Markdown table below a heading."""
    lines = text.split(heading)[1].strip().splitlines()
    table = [line for line in lines[: lines.index("")] if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def printed(comparison):
    console = Console(file=io.StringIO(), width=140)
    console.print(terminal(comparison))
    return console.file.getvalue()


# ---- cells


@pytest.mark.parametrize(
    ("score", "value", "signed", "text"),
    [
        ("dice", 0.91554, False, "91.55"),
        ("dice", -0.0961, True, "-9.61"),
        ("hd95", 3.0, True, "+3.00"),
        ("hd95", -0.001, True, "0.00"),
        ("nsd@2", 1.0, False, "100.00"),
        ("volume_difference_ml", 12.345, False, "12.35"),
        ("relative_volume_difference", 0.1, False, "10.00"),
        ("dice", None, False, "–"),
    ],
)
def test_numbers(score, value, signed, text):
    assert number(score, value, signed) == text


def test_a_cell_without_spread_or_number():
    assert cell_text("hd95", Cell(3.0, None, 1, 1, 1, 0, 0)) == "3.00"
    assert cell_text("hd95", Cell(None, None, 1, 1, 0, 1, 0)) == "–"


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "–"), (1.0, "1.00"), (0.25, "0.25"), (0.03125, "0.031"), (0.00390625, "0.0039"), (1e-6, "<0.0001")],
)
def test_p_values(p, text):
    assert p_text(p) == text


def test_marks_say_which_way(comparison):
    for score in comparison.scores:
        assert mark(comparison.differences[score, MEAN, "better"]) == "*"
        assert mark(comparison.differences[score, MEAN, "worse_&|"]) == "†"
        assert best_methods(comparison, score, MEAN) == ["better"]
    assert mark(comparison.differences.get(("dice", MEAN, "base"))) == ""


def test_insignificant_differences_and_equal_digits():
    few = compare([method("a", 0.0, patients=4), method("b", 0.1, patients=4), method("c", 0.1, patients=4)], ["dice"])
    assert mark(few.differences["dice", MEAN, "b"]) == ""
    assert best_methods(few, "dice", MEAN) == ["b", "c"]


# ---- Markdown


def test_markdown_has_a_row_per_method_with_counts(comparison):
    rows = rows_of(markdown(comparison), "## Dice %, higher is better")
    assert rows[0] == ["method", "ct LV", "ct RV", "ct mean", "missed", "invented"]
    assert [row[0] for row in rows[2:]] == ["base", "better", "worse\\_&\\|"]
    assert [row[4:] for row in rows[2:]] == [["0 of 16", "0"], ["0 of 16", "0"], ["2 of 16", "0"]]
    mean, std = comparison.cells["dice", LV, "better"].mean, comparison.cells["dice", LV, "better"].std
    assert rows[3][1] == f"**{100 * mean:.2f} ± {100 * std:.2f}**\\*"
    assert rows[4][3].endswith("†")
    assert not rows[2][1].startswith("**")


def test_markdown_lists_the_tests_of_the_mean_columns(comparison):
    rows = rows_of(markdown(comparison), "## Against base")
    assert len(rows) == 2 + 2 * 2  # two scores, two methods
    found = comparison.differences["dice", MEAN, "better"]
    assert rows[2][:5] == ["Dice %", "ct", "mean", "better", "8"]
    assert rows[2][7:] == ["8 / 0", "+1.00", "0.0078", f"{found.p_holm:.2g}\\*"]
    assert found.p == 2 / 2**8
    assert found.p_holm == 4 / 2**8


def test_rows_say_how_many_seeds_they_have():
    seeds = Contender("ours", (method("x", 0.1).seeds[0], method("x", 0.12).seeds[0]))
    one = compare([method("base", 0.0), seeds], ["dice"])
    assert [row[0] for row in rows_of(markdown(one), "## Dice %, higher is better")[2:]] == ["base", "ours (2 seeds)"]
    assert "ours (2 seeds) & " in latex(one)
    assert "ours (2 seeds)" in printed(one)


def test_markdown_warns_before_the_numbers(comparison):
    text = markdown(comparison)
    assert text.index("missed: RV 2x") < text.index("## Dice")
    assert "image diagonal" in text


def test_the_terminal_says_the_same(comparison):
    text = printed(comparison)
    for name in comparison.names:
        assert cell_text("hd95", comparison.cells["hd95", RV, name]) in text
    assert "worse_&|" in text
    assert "2 of 16" in text
    assert "note: " in text


def test_markup_in_names_is_printed_as_it_is():
    methods = [method("[red]a", 0.0), method("<b>", 0.1)]
    text = printed(compare(methods, ["dice"]))
    assert "[red]a" in text
    assert "\\<b>" in markdown(compare(methods, ["dice"]))


# ---- LaTeX


def test_latex_rows_fit_their_columns(comparison):
    tables = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", latex(comparison), re.S)
    assert len(tables) == 2
    for columns, body in tables:
        assert columns == "l" + "r" * 3 + "rr"
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) == 2 + 3
        for row in rows:
            spanned = sum(int(count) - 1 for count in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + spanned == len(columns) - 1, row
        assert [rule in body for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule(lr){2-4}")] == [
            True
        ] * 4


def test_latex_escapes_what_has_a_meaning(comparison):
    text = latex(comparison)
    assert r"worse\_\&\textbar{}" in text
    assert r"\textbf{" in text
    assert r"$^{\dagger}$" in text
    assert r"Dice \%" in text
    left = re.sub(r"\\(?:[&%$#_{}]|[a-zA-Z]+(?:\{\})?)|\$\^\{\*\}\$|\$\\(?:pm|dagger)\$|\$\^\{\\dagger\}\$", "", text)
    body = "".join(line for line in left.splitlines() if not line.startswith("%"))
    assert not re.search(r"[%#_^~|†±–“”]", body), re.findall(r".{20}[%#_^~|†±–“”].{20}", body)
    assert text.isascii()
    odd = latex(compare([method("a\\b{c}~^<#$", 0.0), method("b", 0.1)], ["dice"]))
    assert r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\textless{}\#\$" in odd


def test_letters_beyond_ascii_stay():
    assert "Müller" in latex(compare([method("Müller", 0.0), method("b", 0.1)], ["dice"]))


# ---- files


def test_files_hold_what_was_computed(comparison, tmp_path):
    write_comparison(comparison, tmp_path / "new")
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == sorted(FILES)
    with (tmp_path / "new" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 3
    row = next(r for r in rows if (r["score"], r["class"], r["method"]) == ("hd95", "mean", "better"))
    found = comparison.differences["hd95", MEAN, "better"]
    for name, value in (("mean", comparison.cells["hd95", MEAN, "better"].mean), ("p_holm", found.p_holm)):
        assert float(row[name]) == value
    assert (row["n_missed"], row["std_over"], row["best"], row["p_exact"]) == ("0", "patients", "True", "True")
    baseline = next(r for r in rows if r["method"] == "base")
    assert baseline["difference"] == ""


def test_differences_of_every_patient_can_be_tested_again(comparison, tmp_path):
    write_comparison(comparison, tmp_path)
    with (tmp_path / "differences.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    mine = [r for r in rows if (r["score"], r["class"], r["method"]) == ("dice", "mean", "better")]
    assert len(mine) == 8
    mean = sum(float(r["difference"]) for r in mine) / 8
    assert mean == pytest.approx(comparison.differences["dice", MEAN, "better"].mean)
    assert all(float(r["value"]) - float(r["baseline_value"]) == pytest.approx(float(r["difference"])) for r in mine)


def test_json_is_strict_and_whole(comparison, tmp_path):
    write_comparison(comparison, tmp_path)
    text = (tmp_path / "comparison.json").read_text(encoding="utf-8")
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert document == json.loads(json.dumps(to_json(comparison)))
    assert document["baseline"] == "base"
    assert [one["name"] for one in document["methods"]] == comparison.names
    assert len(document["columns"]) == 18
    assert document["worst_cases"][0]["case"] in ("p0", "p3")
    assert document["warnings"]
