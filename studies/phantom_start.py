"""Do weights that were trained on the phantom help where 1, 3 or 10 % of the patients are labeled?

First a network is trained on simulated hearts in the dataset's modalities (CT, bSSFP, LGE, T2 as far as the phantom has
them), with random convolutions; classes that the dataset lacks are background there. Then, for each share of labeled
patients, the same recipe is trained on the dataset from random weights and from the phantom's (`init_from`), plain and
with borrowed, randomized slices, and every modality's test patients are scored: Dice of each class on the scan's grid.

    unpaired import mscmrseg FOLDER data/mscmrseg.json
    unpaired split data/mscmrseg.json data/folds --folds 5 --validation 0.1 --seed 0
    python studies/phantom_start.py data/mscmrseg.json data/folds/fold0.json phantom_start --shares 0.01 0.03 0.1

A share of 0.01 is one patient of a modality wherever it has fewer than 150: at least one stays. `--set FIELD=VALUE`
changes every recipe, the phantom's too. A line per patient and class goes to OUT/results.csv; a row that is there
already is not done again. The dataset's classes have to be called as the phantom's: LV, myo, RV, LA, AA.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unpaired.data.dataset import MANIFEST, Dataset, encode_values
from unpaired.data.fewer_labels import labeled_fraction
from unpaired.data.images import read_image
from unpaired.data.manifest import read_dataset
from unpaired.data.split import read_split
from unpaired.errors import InputError
from unpaired.inference.predictor import Predictor
from unpaired.phantom.write import write_phantom
from unpaired.recipe import Recipe, override
from unpaired.recipes.random_convolutions import small_unet_borrowed, small_unet_own, small_unet_plain
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
ROWS = {"plain": small_unet_plain, "borrowed": small_unet_borrowed}
STARTS = ("random", "phantom")
ON_ONE_CORE = Hardware("cpu", workers=0)


def phantom_like(dataset: Dataset, folder: Path, size: str) -> Dataset:
    """The phantom in the dataset's modalities with its classes, in its order; what the dataset lacks is background."""
    made = folder / MANIFEST
    modalities = [name for name in dataset.modalities if name in ("ct", "bssfp", "lge", "t2")]
    if not modalities:
        raise InputError(f"the phantom simulates ct, bssfp, lge and t2; {dataset.name} has {[*dataset.modalities]}")
    if made.is_file():
        return read_dataset(made)
    return write_phantom(folder, modalities=modalities, like=dataset, size=size)


def row_recipe(row: str, start: str, phantom_run: Run, changes: list[str], seed: int) -> Recipe:
    """A row's recipe from random weights, or from the phantom's best ones."""
    recipe = override(replace(ROWS[row](), seed=seed), changes)
    return replace(recipe, init_from=str(phantom_run.folder)) if start == "phantom" else recipe


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
    """Train on the phantom once, then the rows that are not in OUT/results.csv yet; print each one's mean Dice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.01, 0.03, 0.1])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--size", default="demo", choices=("tiny", "demo", "realistic"), help="of the phantom")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="changes to all recipes")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    full = read_split(asked.split).apply(read_dataset(asked.data))
    results = asked.out / "results.csv"
    asked.out.mkdir(parents=True, exist_ok=True)
    first = override(small_unet_own(), asked.set)
    phantom = phantom_like(full, asked.out / f"phantom_{asked.size}", asked.size)
    begin = train(first, phantom, asked.out / f"on_phantom_{asked.size}", hardware=ON_ONE_CORE, show=False)
    for share in asked.shares:
        dataset = labeled_fraction(full, share, seed=asked.seed, warn=lambda line: None).apply(full)
        for row in asked.rows:
            for start in STARTS:
                about = {"row": f"{row}_{start}", "scarce": "all", "labels": str(share)}
                about |= {"split": asked.split.stem, "seed": str(asked.seed)}
                if any(all(line[key] == value for key, value in about.items()) for line in read_lines(results)):
                    continue
                began = time.monotonic()
                recipe = row_recipe(row, start, begin, asked.set, asked.seed)
                run = train(recipe, dataset, asked.out / "_".join(about.values()), hardware=ON_ONE_CORE, show=False)
                minutes = f"{(time.monotonic() - began) / 60:.1f}"
                lines = [{**about, **line, "minutes": minutes} for line in scores(run, full)]
                append(results, lines)
                means = {
                    name: np.mean([float(line["dice"]) for line in lines if line["modality"] == name])
                    for name in full.modalities
                }
                said = (f"{name} {mean:.1f}" for name, mean in means.items())
                print(*about.values(), *said, f"{minutes} min", flush=True)


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
