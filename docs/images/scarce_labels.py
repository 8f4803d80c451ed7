"""Draw docs/images/scarce_labels.webp: Dice of patients kept aside, as `studies/scarce_labels.py` wrote it. No scans.

    .venv/bin/python docs/images/scarce_labels.py scarce/results.csv lge plain own_2000 scarce_annealed

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
    "own_2000": "+ random convolutions",
    "scarce_annealed": "small_unet_scarce, cut short",
    "all": "all labels of both",
}


def patients(lines: list[dict[str, str]], row: str, scarce: str, modality: str) -> list[float]:
    """Each test patient's mean Dice over classes, in one row of the study."""
    wanted = [of for of in lines if (of["row"], of["scarce"], of["modality"]) == (row, scarce, modality)]
    names = dict.fromkeys(of["patient"] for of in wanted)
    return [float(np.mean([float(of["dice"]) for of in wanted if of["patient"] == name])) for name in names]


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
        panel(axes, {row: patients(lines, row, scarce, name) for row in rows}, f"{title} (Dice, %)")
        axes.tick_params(labelleft=number == 1)
    write_bytes(OUT, webp(figure, 110))
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
