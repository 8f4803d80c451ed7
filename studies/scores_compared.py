"""The same predictions scored by us, by MONAI and by a script as papers use it: one Markdown table.

The script is the per-case function of TransUNet and Swin-Unet: distances in voxels, both directions pooled, a missed
structure has HD95 0, an invented one Dice 1 and HD95 0. MONAI gets the spacing and averages as its metric classes do.
No prediction is changed, unless `--erase` asks for a missed structure: it is taken out of copies, for all three.

    python studies/scores_compared.py PREDICTIONS REFERENCES --classes "1:LV,2:myo" [--erase VALUE CASE ...]
    python studies/scores_compared.py runs/csa/predictions runs/csa [--erase VALUE CASE ...]
"""

import argparse
import datetime
import importlib.metadata
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from unpaired.data.dataset import Dataset
from unpaired.data.images import read_label_map, write_image
from unpaired.data.label_values import parse_classes, prediction_values
from unpaired.data.manifest import read_dataset
from unpaired.scores.evaluate import evaluate_dataset, evaluate_folders
from unpaired.scores.pairs import label_files, one_file
from unpaired.scores.scores import Evaluation

HEADINGS = (
    *("modality", "class", "Dice", "HD95 mm", "ASSD mm", "missed", "false positive"),
    *("MONAI Dice", "MONAI HD95 mm", "MONAI ASSD mm", "script Dice", "script HD95 voxels"),
)


@dataclass(frozen=True)
class Pair:
    """One case as all three see it: two label maps of class numbers, and what lies around them."""

    name: str
    modality: str
    prediction: np.ndarray
    reference: np.ndarray
    spacing_mm: tuple[float, float, float]


def surface_distances_in_voxels(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """As medpy: from each border voxel of `mask` to the nearest border voxel of `other`, connectivity 1."""
    border, target = mask ^ binary_erosion(mask), other ^ binary_erosion(other)
    return distance_transform_edt(~target)[border]


def paper_style(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """(Dice, HD95) of two masks, as the published per-case function has it."""
    if prediction.sum() > 0 and reference.sum() > 0:
        dice = 2 * (prediction & reference).sum() / (prediction.sum() + reference.sum())
        both = [
            surface_distances_in_voxels(prediction, reference),
            surface_distances_in_voxels(reference, prediction),
        ]
        return float(dice), float(np.percentile(np.hstack(both), 95))
    if prediction.sum() > 0:
        return 1.0, 0.0
    return 0.0, 0.0


def monai_means(pairs: list[Pair], classes: int) -> list[tuple[float, float, float]]:
    """(Dice, HD95, ASSD) of each foreground class over `pairs`, as MONAI's metrics aggregate them by themselves."""
    import torch
    from monai.metrics.hausdorff_distance import HausdorffDistanceMetric
    from monai.metrics.meandice import DiceMetric
    from monai.metrics.surface_distance import SurfaceDistanceMetric

    dice = DiceMetric(include_background=False, reduction="mean_batch")
    hd95 = HausdorffDistanceMetric(include_background=False, percentile=95, reduction="mean_batch")
    assd = SurfaceDistanceMetric(include_background=False, symmetric=True, reduction="mean_batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that a mask is empty; so does the table
        for pair in pairs:
            both = (pair.prediction, pair.reference)
            one_hot = [torch.from_numpy(np.stack([one == n for n in range(classes)])[None]) for one in both]
            dice(*one_hot)
            hd95(*one_hot, spacing=pair.spacing_mm)
            assd(*one_hot, spacing=pair.spacing_mm)
    means = [metric.aggregate().tolist() for metric in (dice, hd95, assd)]  # type: ignore[union-attr]
    return list(zip(*means, strict=True))


def pairs_of(dataset: Dataset, predictions: Path, split: str | None) -> Iterator[Pair]:
    """The labeled cases of a side with their predictions."""
    files = label_files(predictions, "predictions")
    for case in dataset.of(split=split, labeled=True):
        assert case.label is not None
        reference = read_label_map(case.label)
        prediction = read_label_map(one_file(files, case.id, predictions, "prediction", "predict it"))
        numbers = prediction_values(dataset, case)
        both = [np.vectorize(numbers.get, otypes=[np.uint8])(image.array) for image in (prediction, reference)]
        yield Pair(case.id, case.modality, both[0], both[1], reference.spacing_mm)


def pairs_of_folders(predictions: Path, references: Path, classes: dict[int, str]) -> Iterator[Pair]:
    """The label maps of equal names in two folders; values that aren't named are background."""
    ours, theirs = label_files(predictions, "predictions"), label_files(references, "references")
    for name in sorted(set(ours) & set(theirs)):
        images = read_label_map(ours[name][0]), read_label_map(theirs[name][0])
        both = []
        for image in images:
            numbers = np.zeros(image.array.shape, np.uint8)
            for number, value in enumerate((value for value in classes if value), start=1):
                numbers[image.array == value] = number
            both.append(numbers)
        yield Pair(name, "all", both[0], both[1], images[1].spacing_mm)


def copy_erased(predictions: Path, out: Path, value: int, cases: list[str]) -> None:
    """A folder of the same predictions, without the voxels of `value` in those of `cases`."""
    for name, files in label_files(predictions, "predictions").items():
        image = read_label_map(files[0])
        array = np.where(image.array == value, 0, image.array) if name in cases else image.array
        if name in cases and (array == image.array).all():
            raise SystemExit(f"{name} has no voxel of value {value} to erase")
        write_image(out / f"{name}.nii.gz", array.astype(image.array.dtype), image.affine)


def rows(evaluation: Evaluation, pairs: list[Pair], names: tuple[str, ...]) -> Iterator[list[str]]:
    """A row per modality and class."""
    for modality in evaluation.modalities:
        cases = [pair for pair in pairs if pair.modality == modality]
        monai = monai_means(cases, len(names) + 1)
        for number, name in enumerate(names, start=1):
            ours = [evaluation.mean(score, modality, name) for score in ("dice", "hd95", "assd")]
            numbers = [f"{one.value:.3f}" if one.value is not None else "–" for one in ours]
            counts = [str(ours[0].n_missed), str(ours[0].n_false_positive)]
            script = np.mean([paper_style(pair.prediction == number, pair.reference == number) for pair in cases], 0)
            others = [f"{value:.3f}" for value in (*monai[number - 1], *script)]
            yield [modality, name, *numbers, *counts, *others]


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("references", type=Path, help="a folder of label maps, a manifest, or a run folder")
    parser.add_argument("--classes", help='for a folder of label maps: "1:LV,2:myo"')
    parser.add_argument("--split", default="test", help="of a manifest or run")
    parser.add_argument("--erase", nargs="+", metavar="VALUE CASE", help="take a label out of these cases' predictions")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        predictions = arguments.predictions
        if arguments.erase:
            copy_erased(predictions, Path(folder), int(arguments.erase[0]), arguments.erase[1:])
            predictions = Path(folder)
        if arguments.classes:
            classes = parse_classes(arguments.classes)
            evaluation = evaluate_folders(predictions, arguments.references, classes)
            pairs = list(pairs_of_folders(predictions, arguments.references, classes))
            names = tuple(name for value, name in classes.items() if value)
        else:
            dataset = read_dataset(arguments.references)
            evaluation = evaluate_dataset(dataset, predictions, split=arguments.split)
            pairs = list(pairs_of(dataset, predictions, arguments.split))
            names = dataset.classes[1:]
        table = list(rows(evaluation, pairs, names))
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("unpaired", "monai", "torch", "scipy")
    )
    print(f"{datetime.date.today()}  {platform.platform()}  Python {platform.python_version()}, {versions}")
    print("python studies/scores_compared.py " + " ".join(sys.argv[1:]) + "\n")
    print("| " + " | ".join(HEADINGS) + " |\n|---|---|" + "---:|" * (len(HEADINGS) - 2))
    for row in table:
        print("| " + " | ".join(row) + " |")
    for failure in evaluation.failures:
        print(f"\nfailed: {failure.case}: {failure.message}")


if __name__ == "__main__":
    main()
