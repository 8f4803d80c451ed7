"""How large do organs come out, and where is what is too much? Of the predictions of test cases, by modality and class.

"volume" is that of the prediction over the reference's. The rest are shares of the reference's voxels of that class:
"beyond" is drawn in slices whose reference has none of it, "too much" in the others, "missing" is what the prediction
lacks. Means over cases. Slices lie along the axis of the largest spacing.

    python studies/organ_sizes.py RUN [RUN ...]      runs with predictions, or rows of a study; in one table
    python studies/organ_sizes.py plain=RUN,RUN "batch norm=RUN,RUN"      several folds as one row
    python studies/organ_sizes.py ... --store TABLE --budget "800 steps"  a table of docs/results/organ-sizes.md
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from results_pages import PlainTable, store
from unpaired import read_dataset
from unpaired.data.images import read_label_map
from unpaired.data.label_values import prediction_values, translate
from unpaired.errors import InputError
from unpaired.tables import Table

HEAD = ("row", "modality", "class", "volume", "beyond %", "too much %", "missing %")
ALIGN = "lllrrrr"


@dataclass(frozen=True)
class Size:
    """Of one class in one case, over its reference's voxels."""

    volume: float
    beyond: float
    too_much: float
    missing: float


def size_of(predicted: np.ndarray, truth: np.ndarray) -> Size:
    """Of two masks whose first axis is that of the slices; `truth` is not empty."""
    total = truth.sum()
    wrong = predicted & ~truth
    shown = truth.any(axis=(1, 2))
    shares = predicted.sum(), wrong[~shown].sum(), wrong[shown].sum(), (truth & ~predicted).sum()
    return Size(*(float(count / total) for count in shares))


def sizes(folder: Path) -> Iterator[tuple[str, str, Size]]:
    """(modality, class, its size) of each case that has a reference and a prediction in the folder of a run or row."""
    dataset = read_dataset(folder)
    for case in dataset.cases:
        path = folder / "predictions" / f"{case.id}.nii.gz"
        if case.label is None or not path.is_file():
            continue
        reference, prediction = read_label_map(case.label), read_label_map(path)
        if prediction.array.shape != reference.array.shape:
            raise InputError(
                f"{path}: has {prediction.array.shape} voxels, its reference {case.label} {reference.array.shape}; "
                "predict on the grid of the scan"
            )
        values = prediction_values(dataset, case)
        axis = int(np.argmax(reference.spacing_mm))
        truth = np.moveaxis(translate(reference.array, values, case.label), axis, 0)
        predicted = np.moveaxis(translate(prediction.array, values, path), axis, 0)
        for number, name in enumerate(dataset.classes[1:], start=1):
            if (truth == number).any():
                yield case.modality, name, size_of(predicted == number, truth == number)


def rows_of(given: list[str]) -> dict[str, list[Path]]:
    """{name: folders} of NAME=RUN,RUN or RUN."""
    named = (text.rpartition("=") for text in given)
    return {name or runs: [Path(run) for run in runs.split(",")] for name, _, runs in named}


def measure(rows: dict[str, list[Path]]) -> Iterator[tuple[str, ...]]:
    """A line of the table for each row, modality and class. Raises InputError for a row without predictions."""
    for row, folders in rows.items():
        measured = defaultdict[tuple[str, str], list[Size]](list)
        for folder in folders:
            for modality, name, size in sizes(folder):
                measured[modality, name].append(size)
        if not measured:
            raise InputError(f"{', '.join(map(str, folders))}: no predictions of labeled cases; run unpaired predict")
        for (modality, name), of in sorted(measured.items()):
            mean = np.mean([[each.volume, each.beyond, each.too_much, each.missing] for each in of], axis=0)
            yield row, modality, name, f"{mean[0]:.2f}", *(f"{100 * share:.1f}" for share in mean[1:])


def main() -> None:
    """Print a table; exit code 2 and one line for what holds no predictions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="[NAME=]RUN[,RUN]")
    parser.add_argument("--store", metavar="TABLE")
    parser.add_argument("--budget", default="", help="of the runs, for the table that is stored")
    given = parser.parse_args()
    try:
        lines = list(measure(rows_of(given.runs)))
    except InputError as error:
        print(f"organ_sizes: {error}", file=sys.stderr)
        sys.exit(2)
    print(Table(HEAD, lines, ALIGN).markdown(), end="")
    if given.store:
        table = PlainTable(given.budget, HEAD, tuple(lines), ALIGN)
        store("organ-sizes", given.store, table, "studies/organ_sizes.py")


if __name__ == "__main__":
    main()
