"""A comparison's tables for a LaTeX paper."""

from unpaired.comparison.cells import DASH, best_methods, cell_text, count_text, mark, row_name, title
from unpaired.comparison.comparison import Comparison
from unpaired.comparison.notes import BETTER_MARK, WORSE_MARK, notes, warnings
from unpaired.comparison.records import Column, Key

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    DASH: "--",
    "†": r"$\dagger$",
    "±": r"$\pm$",
    "“": "``",
    "”": "''",
}


def latex(comparison: Comparison) -> str:
    r"""A `table` per score for a paper; needs `\usepackage{booktabs}` alone.

    The first caption says how the numbers were made, comments on top what limits them.
    """
    text = "% \\usepackage{booktabs}\n"
    text += "".join(f"% Note: {' '.join(warning.split())}\n" for warning in warnings(comparison))
    for place, score in enumerate(comparison.scores):
        how = " ".join(notes(comparison)) if place == 0 else "Definitions and marks as in the first table."
        text += "\n" + _latex_table(comparison, score, f"{title(score)}. {how}")
    return text


def _latex_table(comparison: Comparison, score: str, caption: str) -> str:
    groups = [[column for column in comparison.columns if column.modality == name] for name in comparison.modalities]
    spans, rules, place = [], [], 2
    for group in groups:
        spans.append(rf"\multicolumn{{{len(group)}}}{{c}}{{{tex(group[0].modality)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + len(group) - 1}}}")
        place += len(group)
    heads = ["Method", *(tex(column.class_name) for column in comparison.columns), "missed", "invented"]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(comparison.columns)}rr}}",
        r"\toprule",
        " & ".join(["", *spans, "", ""]) + r" \\",
        " ".join(rules),
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for name in comparison.names:
        cells = [_latex_cell(comparison, score, column, name) for column in comparison.columns]
        lines.append(" & ".join([tex(row_name(comparison, name)), *cells, *count_text(comparison, name)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _latex_cell(comparison: Comparison, score: str, column: Column, name: str) -> str:
    key = Key(score, column, name)
    text = tex(cell_text(score, comparison.cells[key]))
    if name in best_methods(comparison, score, column):
        text = rf"\textbf{{{text}}}"
    sign = mark(comparison.differences.get(key))
    return text + {"": "", BETTER_MARK: r"$^{*}$", WORSE_MARK: r"$^{\dagger}$"}[sign]


def tex(text: str) -> str:
    """Text in which nothing is LaTeX."""
    return "".join(LATEX.get(letter, letter) for letter in text)
