"""Do bfloat16 and channels_last train as float32 does? Losses and validation Dice of several seeds, side by side.

A recipe is trained on a manifest's cases once for each way and seed, with the same seeds for all ways, so that each
pair begins with the same weights and sees the same batches. Printed: the mean validation Dice of the last validation by
way and seed, the differences to float32 of the same seed, and how far seeds of float32 lie apart, which is the noise
that a difference has to be seen against. The figure shows the losses (a running mean), a line a seed. Runs that are
finished are not trained again, so the command goes on where it was.

    python studies/loss_curves.py RECIPE DATA OUT [--split split.json] [--steps 1500] [--seeds 0 1 2]
        [--ways float32 bf16 bf16-channels_last] [--set FIELD=VALUE ...]

For instance: `python studies/loss_curves.py random_convolutions/small_unet_plain hearts.json out`.
Writes OUT/loss_curves.png, OUT/loss_curves.json, and a run folder for each way and seed.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from unpaired.figures.style import LIGHT, plain
from unpaired.files import write_json
from unpaired.runs.run import Run
from unpaired.training.train import train

WAYS = {
    "float32": (),
    "float32-channels_last": ("memory_format=channels_last",),
    "bf16": ("precision=bf16-mixed",),
    "bf16-channels_last": ("precision=bf16-mixed", "memory_format=channels_last"),
}
BASE = "float32"
POINTS = 60
"""A loss is drawn as the means of so many stretches of the training."""


def main() -> None:
    """Train what isn't there yet, print the table, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=["float32", "bf16", "bf16-channels_last"])
    parser.add_argument("--set", nargs="+", default=[], dest="changes", metavar="FIELD=VALUE")
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    runs = {
        way: [
            train(
                given.recipe,
                given.data,
                given.out / f"{way}-{seed}",
                split=given.split,
                changes=[f"steps={given.steps}", f"seed={seed}", *WAYS[way], *given.changes],
                cache=given.out / "prepared",
                device="cpu",
                workers=given.workers,
                show=False,
            )
            for seed in given.seeds
        ]
        for way in dict.fromkeys([BASE, *given.ways])
    }
    dice = {way: [last_dice(run) for run in of_way] for way, of_way in runs.items()}
    for line in table(dice, given.seeds):
        print(line)
    draw(runs).savefig(given.out / "loss_curves.png", dpi=150)
    losses = {way: [stretches(run) for run in of_way] for way, of_way in runs.items()}
    write_json(given.out / "loss_curves.json", {"seeds": given.seeds, "dice": dice, "loss": losses})


def last_dice(run: Run) -> float:
    """The mean Dice in percent of the last validation, over modalities and classes."""
    rows = run.rows("validation")
    last = max(int(row["step"]) for row in rows)
    return 100 * statistics.fmean(float(row["dice"]) for row in rows if int(row["step"]) == last and row["dice"])


def stretches(run: Run) -> list[float]:
    """The mean loss of each stretch of the training."""
    losses = [float(row["loss"]) for row in run.rows("log")]
    return [float(part.mean()) for part in np.array_split(np.array(losses), min(POINTS, len(losses)))]


def table(dice: dict[str, list[float]], seeds: list[int]) -> list[str]:
    """Dice by way and seed, and what each way differs from float32 by."""
    base = dice[BASE]
    spread = statistics.stdev(base) if len(base) > 1 else float("nan")
    lines = [f"validation Dice (%) of seeds {', '.join(map(str, seeds))}; seeds of {BASE} spread by {spread:.2f}"]
    for way, values in dice.items():
        differences = [value - other for value, other in zip(values, base, strict=True)]
        lines.append(
            f"{way:22} {'  '.join(f'{value:6.2f}' for value in values)}   mean {statistics.fmean(values):6.2f}   "
            f"minus {BASE}: {', '.join(f'{value:+.2f}' for value in differences)}, mean "
            f"{statistics.fmean(differences):+.2f}"
        )
    return lines


def draw(runs: dict[str, list[Run]]) -> Figure:
    """A line for each run, ways by color."""
    figure = Figure(figsize=(6.4, 3.8), facecolor=LIGHT.paper, layout="constrained")
    axes = figure.add_subplot(facecolor=LIGHT.paper)
    for place, (way, of_way) in enumerate(runs.items()):
        for number, run in enumerate(of_way):
            points, steps = stretches(run), len(run.rows("log"))
            label = way if number == 0 else None
            color = LIGHT.series[place % len(LIGHT.series)]
            axes.plot(np.linspace(0, steps, len(points)), points, color=color, linewidth=1, alpha=0.8, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    plain(axes, LIGHT, 9, "y")
    axes.legend(frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
