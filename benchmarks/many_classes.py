"""What does a prediction hold at its peak, with 5 and with 104 classes? From file to file, on a 512 x 512 x 300 CT.

A network of two stages and two channels with random weights, patches of 64 x 96 x 96: what is held does not depend on
its width but for weights and activations, which are little beside a window's probabilities. Noise, so that no window is
air and nothing is cropped. Each `unpaired predict` in a process of its own; the most that it held, as the system says.
Goals: 2.5 GB with 5 classes, 8 GB with 104.

    python benchmarks/many_classes.py [--classes 5 104] [--overlap 0.5]
    python benchmarks/many_classes.py --small
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method
from unpaired.runs.run import Run

CHILDREN = resource.RUSAGE_CHILDREN


def main() -> None:
    """A line for each number of classes: the peak, and the seconds of the processor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[5, 104])
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    given = parser.parse_args()
    shape, patch = ((96, 96, 40), (16, 32, 32)) if given.small else ((512, 512, 300), (64, 96, 96))
    print(f"{datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, {shape} voxels, patch {patch}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = folder / "scan.nii.gz"
        noise = np.random.default_rng(0).integers(-200, 300, shape, np.int16)
        write_image(scan, noise, np.diag([0.8, 0.8, 1.0, 1.0]))
        for count in sorted(given.classes):  # of ended processes the system tells the largest
            run = untrained_run(folder / str(count), scan, count, patch)
            before = resource.getrusage(CHILDREN)
            start = before.ru_utime + before.ru_stime
            command = [
                sys.executable,
                "-m",
                "unpaired.cli",
                "predict",
                str(run),
                str(scan),
                str(folder / f"{count}.nii.gz"),
            ]
            options = [
                "--modality",
                "ct",
                "--overlap",
                str(given.overlap),
                "--engine",
                "plain",
                "--modality-anyway",
                "--no-worker",
            ]
            wall = time.perf_counter()
            subprocess.run([*command, *options], check=True, capture_output=True)
            used = resource.getrusage(CHILDREN)
            seconds = used.ru_utime + used.ru_stime - start
            print(
                f"{count:4} classes: {used.ru_maxrss / 1e6:.2f} GB at the peak, {seconds:.0f} s of the processor, "
                f"{time.perf_counter() - wall:.0f} s",
                flush=True,
            )


def untrained_run(folder: Path, scan: Path, classes: int, patch: tuple[int, int, int]) -> Path:
    """A run folder with random weights."""
    names = ("background", *(f"organ{number}" for number in range(1, classes)))
    case = CaseEntry("scan", "scan", "ct", scan, scan, split="train")  # a run has one; it is not looked at
    dataset = Dataset("noise", names, {"ct": Modality(clip=(-200.0, 300.0))}, (case,))
    recipe = Recipe(
        UNetConfig(width=2, widest=4, blocks=(1, 1)),
        SupervisedConfig(),
        patch,
        steps=1,
        preprocessing=Preprocessing(plane="axial"),
        modalities=("ct",),
    )
    run = Run.create(folder, recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, classes).network, "best")
    return folder


if __name__ == "__main__":
    main()
