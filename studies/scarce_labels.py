"""One modality has few labels, or none: what do its scans gain, row by row, on patients kept aside?

For each fold the labels of one modality are taken away in training and validation (but for `--labels` training
patients), a network is trained, and every modality's test patients are scored: Dice of each class, on the scan's grid.

    unpaired import mscmrseg FOLDER data/mscmrseg.json
    unpaired split data/mscmrseg.json data/folds --folds 5 --validation 0.1 --seed 0
    python studies/scarce_labels.py data/mscmrseg.json data/folds/fold0.json scarce --scarce lge --rows plain own

Rows: `plain` trains on the labeled modality alone; `own` too, with random convolutions on 70 % of its samples; both
segment the scarce modality as if it were the other. `few` trains both modalities (needs `--labels`), `borrowed` too,
and there the scarce modality borrows labeled samples with random intensities; `taught` learns from its unlabeled scans
besides (weak to strong), and `scarce` is what to begin with: `taught` with altered tissue and norms that all share.
`all` keeps every label: the upper bound.
`--set FIELD=VALUE` changes a row's recipe, and `--name` says what it is called then. A line per patient and class goes
to OUT/results.csv; a row that is there already is not done again.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unpaired.data.dataset import Dataset, encode_values, without_labels
from unpaired.data.images import read_image
from unpaired.data.manifest import read_dataset
from unpaired.data.split import read_split
from unpaired.inference.predictor import Predictor
from unpaired.recipe import Recipe, override
from unpaired.recipes import random_convolutions
from unpaired.runs.run import Run
from unpaired.scores.overlap import count_overlap, dice
from unpaired.training.loop import Hardware, train

FIELDS: tuple[str, ...] = (
    "row",
    "scarce",
    "labels",
    "split",
    "seed",
    "modality",
    "patient",
    "class",
    "dice",
    "minutes",
)
ROWS = {
    "plain": random_convolutions.small_unet_plain,
    "own": random_convolutions.small_unet_own,
    "few": random_convolutions.small_unet_plain,
    "borrowed": random_convolutions.small_unet_borrowed,
    "taught": random_convolutions.small_unet_borrowed_weak_to_strong,
    "scarce": random_convolutions.small_unet_scarce,
    "all": random_convolutions.small_unet_plain,
}
OF_ONE_MODALITY = ("plain", "own")


def scarce(dataset: Dataset, modality: str, labels: int, seed: int) -> Dataset:
    """The dataset whose `modality` has labels in so many training patients alone (drawn by `seed`), and in test."""
    training = sorted({case.patient for case in dataset.of(modality, "train", labeled=True)})
    kept = set(np.random.default_rng(seed).permutation(training)[:labels])
    taken = [c for c in dataset.of(modality) if c.split != "test" and not (c.split == "train" and c.patient in kept)]
    return without_labels(dataset, {case.id for case in taken})


def row_recipe(row: str, dataset: Dataset, modality: str, changes: list[str], seed: int) -> Recipe:
    """The recipe of a row, for the labeled modality alone or for both."""
    recipe = replace(ROWS[row](), seed=seed)
    if row in OF_ONE_MODALITY:
        others = tuple(name for name in dataset.modalities if name != modality)
        recipe = replace(recipe, modalities=others, batch_size=recipe.batch_size * 2)
    return override(recipe, changes)


def scores(run: Run, dataset: Dataset) -> Iterator[dict[str, str]]:
    """The Dice of each class of each test case; a modality that the run doesn't know is segmented as its first one."""
    predictor = Predictor(run, device="cpu")
    for case in dataset.of(split="test", labeled=True):
        assert case.label is not None
        known = case.modality if case.modality in run.modalities else run.modalities[0]
        predicted = predictor.segment(read_image(case.image), known)
        values = np.asarray(read_image(case.label).array)
        reference = np.zeros(values.shape, np.uint8)
        for value, members in encode_values(dataset, case).items():
            reference[values == value] = members[0]
        overlap = count_overlap(predicted, reference, dataset.label_sets())
        for number, name in enumerate(dataset.classes[1:], start=1):
            score = dice(int(overlap.both[number]), int(overlap.predicted[number]), int(overlap.reference[number]))
            if score is not None:
                yield {"modality": case.modality, "patient": case.patient, "class": name, "dice": f"{100 * score:.2f}"}


def main() -> None:
    """Do the rows that are not in OUT/results.csv yet, and print each one's mean Dice by modality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scarce", required=True, help="the modality whose labels are taken away")
    parser.add_argument("--labels", type=int, default=0, help="training patients of it who keep theirs")
    parser.add_argument("--rows", nargs="+", default=["plain", "own", "borrowed"], choices=list(ROWS))
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="changes to the rows' recipes")
    parser.add_argument("--name", default="", help="what is added to the rows' names")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    full = read_split(asked.split).apply(read_dataset(asked.data))
    results = asked.out / "results.csv"
    asked.out.mkdir(parents=True, exist_ok=True)
    for row in asked.rows:
        labels = len(full.of(asked.scarce, "train")) if row == "all" else asked.labels
        about = {"row": row + asked.name, "scarce": asked.scarce, "labels": str(labels)}
        about |= {"split": asked.split.stem, "seed": str(asked.seed)}
        if any(all(line[key] == value for key, value in about.items()) for line in read_lines(results)):
            continue
        dataset = full if row == "all" else scarce(full, asked.scarce, labels, asked.seed)
        recipe = row_recipe(row, full, asked.scarce, asked.set, asked.seed)
        began = time.monotonic()
        folder = asked.out / "_".join(about.values())
        run = train(recipe, dataset, folder, hardware=Hardware("cpu", workers=0), show=False)
        minutes = f"{(time.monotonic() - began) / 60:.1f}"
        lines = [{**about, **line, "minutes": minutes} for line in scores(run, full)]
        append(results, lines)
        means = {
            name: np.mean([float(line["dice"]) for line in lines if line["modality"] == name])
            for name in full.modalities
        }
        print(*about.values(), *(f"{name} {mean:.1f}" for name, mean in means.items()), f"{minutes} min", flush=True)


def read_lines(file: Path) -> list[dict[str, str]]:
    """The lines of a CSV file; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def append(file: Path, lines: list[dict[str, str]]) -> None:
    """Add lines to a CSV file, below its head."""
    fresh = not file.is_file()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        if fresh:
            writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
