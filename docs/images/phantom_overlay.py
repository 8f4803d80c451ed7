"""Draw the README's picture: the median test case of each modality of a finished `make demo`. Simulated scans only.

    make demo
    .venv/bin/python docs/images/phantom_overlay.py demo/runs/csa

The median is by mean Dice over the classes, so the picture is neither the best nor the worst of what the run does.
"""

import io
import sys
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure
from PIL import Image

from unpaired.figures.case_view import read_case_view
from unpaired.figures.overlays import HEAD_INCHES, PAPER, draw_case
from unpaired.figures.style import png
from unpaired.runs.run import Run
from unpaired.scores.scores import Evaluation
from unpaired.scores.tables import read_evaluation

OUT = Path(__file__).with_suffix(".webp")
DPI, GAP = 90, 14
HEAD = round(HEAD_INCHES * DPI)
"""Pixels of a figure's title above, and of its legend below."""


def median_case(evaluation: Evaluation, modality: str) -> str:
    """The case in the middle of the ranking by mean Dice."""
    dice: dict[str, list[float]] = {}
    for row in evaluation.rows(modality):
        if row.dice is not None:
            dice.setdefault(row.case, []).append(row.dice)
    ranked = sorted(dice, key=lambda case: fmean(dice[case]))
    return ranked[(len(ranked) - 1) // 2]


def main(folder: Path) -> None:
    """Three slices per modality, side by side, one legend for all."""
    run = Run(folder)
    if not run.dataset.name.startswith("phantom"):
        sys.exit(f"{folder} was trained on {run.dataset.name}: only simulated scans may go into the documentation")
    evaluation = read_evaluation(run.evaluation)
    strips, legend = [], Image.new("RGB", (1, 1))
    for modality in evaluation.modalities:
        case = run.dataset.case(median_case(evaluation, modality))
        view = read_case_view(run.dataset, case, run.predictions / f"{case.id}.nii.gz")
        strip = rendered(draw_case(view, columns=3, title=f"{modality}: {case.id}"))
        strips.append(strip.crop((0, 0, strip.width, strip.height - HEAD)))
        wide = rendered(draw_case(view, columns=3 * len(evaluation.modalities)))
        legend = wide.crop((0, wide.height - HEAD, wide.width, wide.height))
    height = max(strip.height for strip in strips)
    picture = Image.new("RGB", (sum(strip.width + GAP for strip in strips) - GAP, height + HEAD), PAPER)
    for place, strip in enumerate(strips):
        picture.paste(strip, (place * (strip.width + GAP), 0))
    picture.paste(legend, (0, height))
    picture.save(OUT, quality=85, method=6)
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


def rendered(figure: Figure) -> Image.Image:
    """The figure as pixels."""
    return Image.open(io.BytesIO(png(figure, DPI))).convert("RGB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
