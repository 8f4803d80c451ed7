"""Draw docs/images/scarce_labels.webp: Dice of patients kept aside, from what `unpaired study scarce_labels` wrote.

    .venv/bin/python docs/images/scarce_labels.py scarce/differences.csv lge plain own scarce

One panel for each modality, one line for each row of the study: every patient's mean over classes, and their mean.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, plain, webp
from unpaired.files import write_bytes

OUT = Path(__file__).with_suffix(".webp")
SAID = {
    "plain": "labels of the other modality alone",
    "own": "+ random convolutions",
    "scarce": "small_unet_scarce",
    "all": "all labels of both",
}


def patients(lines: list[dict[str, str]], row: str, modality: str) -> list[float]:
    """Each test patient's mean Dice % over classes, in one row; the baseline's stand beside the others'."""
    wanted = [of for of in lines if (of["score"], of["class"], of["modality"]) == ("dice", "mean", modality)]
    own = [of["value"] for of in wanted if of["method"] == row]
    first = [of for of in wanted if of["method"] == wanted[0]["method"]]
    return [100 * float(value) for value in own or [of["baseline_value"] for of in first] if value]


def panel(axes: Axes, values: dict[str, list[float]], title: str) -> None:
    """Dots of patients over a bar of their mean."""
    color = LIGHT.series[0]
    for place, of_row in enumerate(values.values()):
        axes.barh(place, np.mean(of_row), height=0.55, color=color, alpha=0.25)
        axes.plot(of_row, [place] * len(of_row), "o", color=color, markersize=4)
        axes.text(101, place, f"{np.mean(of_row):.1f}", va="center", color=LIGHT.ink, fontsize=9)
    axes.set_yticks(range(len(values)), [SAID.get(row, row) for row in values])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_title(title, loc="left", color=LIGHT.ink, fontsize=10)
    plain(axes, LIGHT, 9, "x")


def main(results: str, scarce: str, *rows: str) -> None:
    """Write the picture beside this file."""
    with Path(results).open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    modalities = sorted({of["modality"] for of in lines}, key=lambda name: name != scarce)
    figure = Figure(figsize=(8.4, 0.5 + 0.5 * len(rows)), facecolor=LIGHT.paper, layout="constrained")
    for number, name in enumerate(modalities, start=1):
        axes = figure.add_subplot(1, len(modalities), number)
        title = f"{name}: no label in training" if name == scarce else f"{name}: all labels"
        panel(axes, {row: patients(lines, row, name) for row in rows}, f"{title} (Dice, %)")
        axes.tick_params(labelleft=number == 1)
    write_bytes(OUT, webp(figure, 110))
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
