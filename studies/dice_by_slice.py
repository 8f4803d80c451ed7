"""Where along the heart a run goes wrong: Dice of test cases in slices at the base, in the middle and at the apex.

Slices with reference labels are put in order from the end with the larger labeled area (the base of a heart) to the
other; the first and the last fifth are base and apex. A part's Dice is of all its voxels in a case, then averaged over
cases; beside it the share of all wrong voxels of the class that lie in that part.

    python studies/dice_by_slice.py RUN [RUN ...]        run folders with predictions of their test cases
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from unpaired.data.images import read_label_map
from unpaired.data.label_values import prediction_values, translate
from unpaired.errors import InputError
from unpaired.runs.run import Run

PARTS = ("base", "middle", "apex")


def parts_of(labeled: np.ndarray) -> dict[str, np.ndarray]:
    """{part: slice numbers} along axis 0 of a mask of everything labeled."""
    areas = labeled.reshape(len(labeled), -1).sum(axis=1)
    slices = np.flatnonzero(areas)
    third = max(1, len(slices) // 3)
    if areas[slices[-third:]].sum() > areas[slices[:third]].sum():
        slices = slices[::-1]
    fifth = max(1, round(len(slices) / 5))
    return {"base": slices[:fifth], "middle": slices[fifth:-fifth], "apex": slices[-fifth:]}


def measure(run: Run) -> dict[tuple[str, str, str], tuple[list[float], int]]:
    """{(modality, class, part): (Dice of each case, wrong voxels)} of the run's labeled test cases."""
    dataset = run.dataset
    dice: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    wrong: dict[tuple[str, str, str], int] = defaultdict(int)
    for case in dataset.of(split="test", labeled=True):
        assert case.label is not None
        reference = read_label_map(case.label)
        prediction = read_label_map(run.folder / "predictions" / f"{case.id}.nii.gz").array
        axis = int(np.argmax(reference.spacing_mm))
        values = prediction_values(dataset, case)
        predicted = np.moveaxis(translate(prediction, values, case.label), axis, 0)
        truth = np.moveaxis(translate(reference.array, values, case.label), axis, 0)
        for part, slices in parts_of(truth > 0).items():
            for number, name in enumerate(dataset.classes[1:], start=1):
                a, b = predicted[slices] == number, truth[slices] == number
                if a.any() or b.any():
                    dice[case.modality, name, part].append(float(2 * (a & b).sum() / (a.sum() + b.sum())))
                    wrong[case.modality, name, part] += int((a ^ b).sum())
    return {key: (found, wrong[key]) for key, found in dice.items()}


def table(measured: dict[tuple[str, str, str], tuple[list[float], int]]) -> list[str]:
    """Markdown: a row per modality and class, Dice % and share of the wrong voxels in each part."""
    lines = [
        "| modality | class | " + " | ".join(f"{part} Dice %" for part in PARTS) + " | wrong voxels there % |",
        "|---|---|" + "---:|" * (len(PARTS) + 1),
    ]
    for modality, name in dict.fromkeys((modality, name) for modality, name, _ in measured):
        cells = [measured.get((modality, name, part), ([], 0)) for part in PARTS]
        total = max(sum(count for _, count in cells), 1)
        dice = [f"{100 * np.mean(found):.1f}" if found else "" for found, _ in cells]
        shares = " / ".join(f"{100 * count / total:.0f}" for _, count in cells)
        lines.append(f"| {modality} | {name} | {' | '.join(dice)} | {shares} |")
    return lines


def main() -> None:
    """Print a table for each run; exit code 2 and one line for what is no run with predictions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    try:
        for folder in parser.parse_args().runs:
            print(f"\n{folder}\n")
            print("\n".join(table(measure(Run(folder)))))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
