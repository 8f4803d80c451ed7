"""Scoring a case with few and with many classes: what does a class cost, and how much of it is finding where they lie?

The same anatomy, cut into as many structures as there are classes, against itself moved by a voxel. Ours is
`evaluate_case` (all scores, distances of surfaces included) on what `read_label_map` reads; nnU-Net's is its
`compute_metrics` (overlap only) with its own reader, whose Dice is compared first. Runs in turn, processor seconds of
one thread. Goal: a class of 104 costs no more than one of 64.

    python benchmarks/evaluate_classes.py [--classes 5 64 104] [--shape 100 512 512] [--repeats 3] [--json numbers.json]
    python benchmarks/evaluate_classes.py --small

For nnU-Net's (nnunetv2) see `prediction.py`; where it is missing it is left out.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from side_by_side import in_turns, print_versions
from unpaired.data.images import read_label_map, write_image
from unpaired.scores.boxes import class_boxes, in_memory_order
from unpaired.scores.case_scores import evaluate_case

SPACING = (0.8, 0.8, 2.5)
COARSE = 4


def structures(classes: int, shape: tuple[int, ...]) -> np.ndarray:
    """A body (35 % of the volume) cut into as many structures as there are foreground classes."""
    generator = np.random.default_rng(0)
    coarse = tuple(size // COARSE for size in shape)
    middles = tuple(generator.integers(size // 6, size - size // 6, classes - 1) for size in coarse)
    numbers = np.zeros(coarse, np.uint8)
    numbers[middles] = np.arange(1, classes)
    apart, nearest = distance_transform_edt(numbers == 0, return_indices=True)
    labels = numbers[tuple(nearest)] * (apart < np.quantile(apart, 0.35)).astype(np.uint8)
    for axis in range(labels.ndim):
        labels = labels.repeat(COARSE, axis)
    return labels


def measured(classes: int, shape: tuple[int, ...], folder: Path, repeats: int) -> dict[str, float]:
    """Median seconds of scoring a case from its files, of the search for boxes in it, and of nnU-Net's scoring."""
    names = [str(number) for number in range(classes)]
    reference = structures(classes, shape).T
    files = folder / "reference.nii.gz", folder / "prediction.nii.gz"
    write_image(files[0], reference, np.diag([*SPACING, 1.0]))
    write_image(files[1], np.roll(reference, 1, 0), np.diag([*SPACING, 1.0]))
    true, predicted = (label_map(file) for file in files)
    ordered = in_memory_order(predicted, true, SPACING)
    runs: dict[str, Callable[[], object]] = {
        "case": lambda: evaluate_case(predicted, true, SPACING, names),
        "boxes": lambda: class_boxes(*ordered[:2], classes),
        "from files": lambda: evaluate_case(label_map(files[1]), label_map(files[0]), SPACING, names),
    }
    if find_spec("nnunetv2"):
        from nnunetv2.evaluation.evaluate_predictions import compute_metrics
        from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

        def nnunets() -> dict[int, dict[str, float]]:
            return compute_metrics(str(files[0]), str(files[1]), SimpleITKIO(), list(range(1, classes)))["metrics"]

        theirs = nnunets()
        for number, score in enumerate(evaluate_case(predicted, true, SPACING, names), start=1):
            np.testing.assert_allclose(np.nan if score.dice is None else score.dice, theirs[number]["Dice"])
        runs["nnU-Net"] = nnunets
    return {name: statistics.median(seconds) for name, seconds in in_turns(runs, repeats).items()}


def label_map(file: Path) -> np.ndarray:
    """The numbers that a file holds."""
    return np.asarray(read_label_map(file).array)


def main() -> None:
    """A row for each number of classes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=(5, 64, 104))
    parser.add_argument("--shape", type=int, nargs=3, default=(100, 512, 512))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    given = parser.parse_args()
    shape, repeats = ((40, 96, 96), 1) if given.small else (tuple(given.shape), given.repeats)
    print_versions("numpy", "scipy")
    print(f"label maps of {shape}")
    numbers: dict[int, dict[str, float]] = {}
    for classes in given.classes:
        with tempfile.TemporaryDirectory() as folder:
            row = numbers[classes] = measured(classes, shape, Path(folder), repeats)
        peer = f", nnU-Net {row['nnU-Net'] / row['from files']:.1f} times that" if "nnU-Net" in row else ""
        print(
            f"{classes:4} classes: {1e3 * row['case']:6.0f} ms, {1e3 * row['case'] / (classes - 1):5.2f} ms a class, "
            f"boxes {row['boxes'] / row['case']:4.0%}; from files {1e3 * row['from files']:6.0f} ms{peer}"
        )
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
