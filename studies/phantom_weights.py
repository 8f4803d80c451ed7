"""Make the weights that come with the package: a network of the heart that has seen simulated scans alone.

    python studies/phantom_weights.py phantom_weights src/unpaired/weights/phantom_heart.unpaired

Simulates CT, bSSFP and LGE of 87 patients (`unpaired phantom`), trains `random_convolutions/small_unet_simulated` on
them, halves the weights' precision, which changes no label of the test scans that it is tried on, and packs the run.
`--data` and `--run` take what is there already. What it is worth on real scans: docs/results/scarce-labels.md.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import unpaired
from unpaired.data.images import read_image
from unpaired.runs.run import Run

ABOUT = (
    "A start for hearts with few labels, and a segmentation of hearts in CT, bSSFP and LGE without any. It has seen "
    "simulated patients alone: not for clinical use, and to be judged on scans of your own."
)
CHANGES = ("precision=bf16-mixed", "memory_format=channels_last", "steps=2000", "validate_every=500")


def halved(run: Run, folder: Path) -> Run:
    """A copy of a run with weights of half the precision."""
    for name in ("recipe.json", "dataset.json", "split.json", "versions.json", "fingerprint.json"):
        shutil.copy(run.folder / name, folder / name)
    weights = {name: value.half() for name, value in load_file(run.weights("best")).items()}
    save_file(weights, folder / run.weights("best").name)
    return Run(folder)


def changed_voxels(run: Run, other: Run) -> float:
    """The share of voxels of the test cases that another class has in the other run's predictions."""
    first, second = (unpaired.Predictor(each, device="cpu") for each in (run, other))
    differing = total = 0
    for case in run.dataset.of(split="test"):
        image = read_image(case.image)
        maps = [predictor.segment(image, case.modality) for predictor in (first, second)]
        differing, total = differing + int(np.sum(maps[0] != maps[1])), total + maps[0].size
    return differing / total


def main() -> None:
    """Simulate, train, halve, pack; print what the halving changed and how large the file is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the phantom and the run")
    parser.add_argument("out", type=Path, help="the model file to write")
    parser.add_argument("--data", type=Path, help="the phantom, where it is there already")
    parser.add_argument("--run", type=Path, help="the finished run, where it is there already")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.run is None:
        data = asked.data or asked.work / "phantom"
        if asked.data is None and not (data / "dataset.json").is_file():
            unpaired.write_phantom(data)
        recipe = "random_convolutions/small_unet_simulated"
        asked.run = unpaired.train(recipe, data, asked.work / "run", changes=CHANGES).folder
    run = Run(asked.run)
    with tempfile.TemporaryDirectory() as folder:
        half = halved(run, Path(folder))
        print(f"{changed_voxels(run, half):.2e} of the test scans' voxels change their class in half precision")
        unpaired.pack(half.folder, out=asked.out, licence="Apache-2.0", about=ABOUT)
    print(f"{asked.out}: {asked.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
