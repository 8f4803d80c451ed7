"""Draw docs/images/few_labels.webp: Dice by the number of labeled patients of a scarce modality, from stored numbers.

    .venv/bin/python docs/images/few_labels.py LGE bSSFP "by labels" "by labels, nnU-Net"

The tables are of docs/results/scarce-labels.json, which `studies/results_pages.py --add` fills from the studies
`few_labels` and `few_labels_against_nnunet`. Left panel: the scarce modality; right: the other one, all of whose labels
are used.
"""

import json
import re
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, legend_above, plain, webp
from unpaired.files import write_bytes

OUT = Path(__file__).with_suffix(".webp")
NUMBERS = Path(__file__).parents[1] / "results" / "scarce-labels.json"
LINES = {
    "a network of its own": ("alone", "s", LIGHT.ink),
    "nnU-Net for both": ("nnU-Net", "^", LIGHT.series[2]),
    "one network for both": ("few", "o", LIGHT.series[0]),
    "+ random convolutions, borrowed slices": ("borrowed", "D", LIGHT.series[1]),
    "+ simulated scans of the scarce modality": ("simulated", "P", LIGHT.series[3]),
}
AT_ZERO = {
    "plain": "few",
    "borrowed": "borrowed",
    "nnU-Net, no label": "nnU-Net",
    "bSSFP and simulated LGE": "simulated",
}
UNLABELED = "simulated hearts alone, unpaired://phantom_heart"
"""The row that has seen no scan of a patient: a dashed line."""
AT_ALL = {"all": "few"}


def points(rows: list[dict[str, object]], scarce: str, group: str) -> dict[str, dict[str, float]]:
    """{line: {"0", "1", ..., "all": mean Dice}} of one modality, written in large letters or small."""
    lines: dict[str, dict[str, float]] = {name: {} for name, _, _ in LINES.values()}
    for row in rows:
        line, labels = place(str(row["name"]), scarce)
        dice = row["dice"]
        assert isinstance(dice, dict)
        of = {str(name).lower(): value for name, value in dice.items()}
        if line is not None and group.lower() in of:
            lines[line][labels] = float(of[group.lower()]["mean"])
    return lines


def place(name: str, scarce: str) -> tuple[str | None, str]:
    """(line, labels) of a row of the study: ("few", "4") of "few, 4 labels"; (None, "") of a row that is not drawn."""
    if name in AT_ZERO:
        return AT_ZERO[name], "0"
    if name in AT_ALL:
        return AT_ALL[name], "all"
    match = re.fullmatch(rf"({re.escape(scarce.lower())} alone|few|borrowed|nnU-Net), (\d+|all)( labels?)?", name)
    return (match[1].split()[-1], match[2]) if match else (None, "")


def panel(
    axes: Axes, lines: dict[str, dict[str, float]], unlabeled: float | None, ticks: list[str], title: str
) -> None:
    """One line for each way of training with its values, and a dashed one for a network of simulated scans alone."""
    for name, marker, color in LINES.values():
        drawn = [(ticks.index(labels), dice) for labels, dice in lines[name].items()]
        drawn.sort()
        axes.plot(*zip(*drawn, strict=True) if drawn else ([], []), marker=marker, color=color, markersize=5)
        for tick, dice in drawn:
            others = [of[ticks[tick]] for of in lines.values() if ticks[tick] in of]
            top, bottom = dice == max(others), dice == min(others)
            if not (top or bottom) and min(abs(dice - other) for other in others if other != dice) < 1.5:
                continue  # between others there is no room for its number
            offset = (0, 7) if top else (0, -15) if bottom else (14, -10)
            axes.annotate(
                f"{dice:.0f}", (tick, dice), offset, textcoords="offset points", ha="center", color=color, fontsize=9
            )
    if unlabeled is not None:
        axes.axhline(unlabeled, color=LIGHT.series[3], linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            f"no scan of a patient: {unlabeled:.0f}", (0.22, unlabeled), (0, -12), textcoords="offset points",
            ha="left", color=LIGHT.series[3], fontsize=8,
        )  # fmt: skip
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_ylim(40, 95)
    axes.set_title(title, loc="left", color=LIGHT.ink, fontsize=10)
    plain(axes, LIGHT, 9)


def main(scarce: str, other: str, *names: str) -> None:
    """Write the picture of the tables of these names beside this file."""
    tables = json.loads(NUMBERS.read_text(encoding="utf-8"))["tables"]
    rows = [row for name in names for row in tables[name]["rows"]]
    places = [place(row["name"], scarce) for row in rows]
    counts = sorted({int(labels) for line, labels in places if line and labels.isdecimal()})
    ticks = [*map(str, counts), "all"]
    alone = {
        group.lower(): float(value["mean"])
        for row in rows
        if row["name"] == UNLABELED
        for group, value in row["dice"].items()
    }
    figure = Figure(figsize=(8.4, 3.8), facecolor=LIGHT.paper, layout="constrained")
    left, right = figure.subplots(1, 2)
    panel(left, points(rows, scarce, scarce), alone.get(scarce.lower()), ticks, f"Dice on {scarce} (%)")
    rest = points(rows, scarce, other) | {"alone": {}}
    panel(right, rest, alone.get(other.lower()), ticks, f"Dice on {other}, all labeled (%)")
    left.set_xlabel(f"{scarce} patients with labels", color=LIGHT.ink, fontsize=9)
    right.set_xlabel(f"{scarce} patients with labels", color=LIGHT.ink, fontsize=9)
    legend_above(figure, dict(zip(LINES, left.lines, strict=False)), LIGHT, 3)
    write_bytes(OUT, webp(figure, 110))
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
