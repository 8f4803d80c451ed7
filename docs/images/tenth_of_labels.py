"""Draw docs/images/tenth_of_labels.webp: what each method adds to a tenth of the labels, from stored numbers.

    .venv/bin/python docs/images/tenth_of_labels.py

The tables are those of docs/results/semi-supervised.json whose names begin with "every method, ", which
`studies/results_pages.py --add` fills from `unpaired compare`.
"""

import json
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, plain, webp
from unpaired.files import write_bytes

OUT = Path(__file__).with_suffix(".webp")
NUMBERS = Path(__file__).parents[1] / "results" / "semi-supervised.json"
NAMES = {"bssfp": "bSSFP", "lge": "LGE"}
PREFIX = "every method, "


def draw(axes: Axes, modality: str, tables: list[dict[str, object]]) -> list[str]:
    """A point and its 95 % interval for each row but the baseline, a gap between tables; the rows' names, from top."""
    names = list[str]()
    for color, table in zip(LIGHT.series, tables, strict=False):
        rows = table["rows"]
        assert isinstance(rows, list)
        for row in rows:
            difference = row["differences"].get(modality)
            if difference is None or row["name"] in names:
                continue
            place = len(names)
            axes.plot([difference["low"], difference["high"]], [place, place], color=color, linewidth=1.4)
            axes.plot(difference["mean"], place, "o", color=color, markersize=5)
            names.append(row["name"])
        names.append("")
    return names[:-1]


def main() -> None:
    """A panel for each modality, rows in the tables' order, best at the end of each."""
    stored = json.loads(NUMBERS.read_text(encoding="utf-8"))["tables"]
    tables = [table for name, table in stored.items() if name.startswith(PREFIX)]
    figure = Figure(figsize=(8.0, 6.4), facecolor=LIGHT.paper, layout="constrained")
    panels = figure.subplots(1, len(NAMES), sharex=True, sharey=True)
    for axes, (modality, title) in zip(panels, NAMES.items(), strict=True):
        plain(axes, LIGHT, labelsize=8.5, grid="x")
        names = draw(axes, modality, tables)
        axes.axvline(0, color=LIGHT.ink, linewidth=0.8)
        axes.set_title(f"{title}, {tables[0]['groups'][modality]} scans", fontsize=10, color=LIGHT.ink)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel("Dice more than from the labels alone (MSBN), mean and 95 % interval", fontsize=9, color=LIGHT.ink)
    write_bytes(OUT, webp(figure, 130))
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
