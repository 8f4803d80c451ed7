"""Draw docs/images/turned_predictions.webp: what turned predictions add, with intervals, from stored numbers.

    .venv/bin/python docs/images/turned_predictions.py

The tables are those of docs/results/turned-predictions.json in which "turned too" stands beside "as it is".
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, legend_above, plain, webp
from unpaired.files import write_bytes

OUT = Path(__file__).with_suffix(".webp")
NUMBERS = Path(__file__).parents[1] / "results" / "turned-predictions.json"
TABLES = {
    "all labels, two folds": "all labels, two folds",
    "twenty minutes, fold 0": "all labels, fold 0",
    "a tenth, fold 2": "a tenth of the labels, fold 2",
    "no label, log odds": "no LGE label, two folds",
}
COLORS = {"lge": ("LGE", LIGHT.series[0]), "bssfp": ("bSSFP", LIGHT.series[2])}


def main() -> None:
    """A line for each table and modality: the mean difference of Dice and its 95 % interval over patients."""
    tables = json.loads(NUMBERS.read_text(encoding="utf-8"))["tables"]
    figure = Figure(figsize=(7.0, 2.9), facecolor=LIGHT.paper)
    axes = figure.subplots()
    plain(axes, LIGHT, grid="x")
    entries = {}
    for line, name in enumerate(TABLES):
        (row,) = (row for row in tables[name]["rows"] if row["name"] == "turned too")
        for shift, (modality, (title, color)) in zip((-0.16, 0.16), COLORS.items(), strict=True):
            said = row["differences"][modality]
            errors = [[said["mean"] - said["low"]], [said["high"] - said["mean"]]]
            drawn = axes.errorbar(said["mean"], line + shift, xerr=errors, fmt="o", color=color, capsize=2.5)
            entries.setdefault(title, drawn)
            text = f"{said['better']} of {said['better'] + said['worse']}"
            axes.text(said["high"] + 0.04, line + shift, text, va="center", fontsize=7.5, color=LIGHT.ink)
    axes.axvline(0, color=LIGHT.ink, linewidth=0.8)
    axes.set_yticks(range(len(TABLES)), list(TABLES.values()), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("Dice gained (mean over patients, 95 % interval; patients that are better)", fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    legend_above(figure, entries, LIGHT, columns=2)
    write_bytes(OUT, webp(figure, 130))
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
