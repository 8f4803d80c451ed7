"""Draw docs/images/organ_sizes.webp: where what is too much of an organ lies, by norms, from stored numbers.

    .venv/bin/python docs/images/organ_sizes.py

The table is "sizes, two folds" of docs/results/organ-sizes.json, which `studies/organ_sizes.py --store` writes.
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, legend_above, plain, webp
from unpaired.files import write_bytes

OUT = Path(__file__).with_suffix(".webp")
NUMBERS = Path(__file__).parents[1] / "results" / "organ-sizes.json"
SHARES = {"beyond %": "in slices without it", "too much %": "beside it", "missing %": "missing"}
COLORS = (LIGHT.series[2], LIGHT.series[0], LIGHT.faint)
NAMES = {"bssfp": "bSSFP", "lge": "LGE"}


def main() -> None:
    """A panel for each modality; for each class a bar per row, what is missing below zero."""
    table = json.loads(NUMBERS.read_text(encoding="utf-8"))["plain"]["sizes, two folds"]
    lines = [dict(zip(table["head"], row, strict=True)) for row in table["rows"]]
    rows = list(dict.fromkeys(line["row"] for line in lines))
    figure = Figure(figsize=(7.6, 3.6), facecolor=LIGHT.paper)
    bars = {}
    panels = figure.subplots(1, len(NAMES), sharey=True)
    for axes, (modality, title) in zip(panels, NAMES.items(), strict=True):
        plain(axes, LIGHT, grid="y")
        of = [line for line in lines if line["modality"] == modality]
        classes = list(dict.fromkeys(line["class"] for line in of))
        for line in of:
            place = classes.index(line["class"]) + (rows.index(line["row"]) - (len(rows) - 1) / 2) * 0.38
            top = 0.0
            for (name, said), color in zip(SHARES.items(), COLORS, strict=True):
                height = float(line[name])
                down = name == "missing %"
                bar = axes.bar(place, -height if down else height, 0.34, 0 if down else top, color=color)
                bars.setdefault(said, bar)
                top += 0 if down else height
            axes.text(place, top + 0.6, f"{float(line['volume']):.2f}", ha="center", fontsize=7.5, color=LIGHT.ink)
        axes.axhline(0, color=LIGHT.ink, linewidth=0.8)
        axes.set_xticks(range(len(classes)), classes, fontsize=9)
        axes.set_title(title, fontsize=10, color=LIGHT.ink)
    panels[0].set_ylabel("% of the reference's voxels", fontsize=9, color=LIGHT.ink)
    figure.supxlabel(f"left bar: {rows[0]}; right bar: {rows[1]}; above: volume over the reference's", fontsize=8.5)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    legend_above(figure, bars, LIGHT, columns=3)
    write_bytes(OUT, webp(figure, 130))
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
