"""How much Dice does a run lose where scans lie turned in their plane? Test cases, turned by so many degrees.

Image and reference are turned together about the middle of each slice (the axis of the largest spacing stays), the
image linearly, the reference by the nearest voxel; what comes in from outside repeats the border. Dice is the mean over
the classes that the turned reference shows, then over cases, patients counting alike.

    python studies/turned_scans.py RUN [RUN ...] --degrees -45 0 45 --modalities bssfp
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import rotate

from unpaired import Predictor, Run
from unpaired.data.dataset import CaseEntry
from unpaired.data.images import read_image, read_label_map
from unpaired.data.label_values import prediction_values, translate
from unpaired.errors import InputError

DEGREES = (-60.0, -45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0, 60.0)


def dice_when_turned(run: Run, predictor: Predictor, case: CaseEntry, degrees: float) -> float:
    """The mean Dice of one labeled case over the classes that its turned reference shows."""
    assert case.label is not None
    image, reference = read_image(case.image), read_label_map(case.label)
    first, second = sorted({0, 1, 2} - {int(np.argmax(image.spacing_mm))})
    labels = translate(reference.array, prediction_values(run.dataset, case), case.label)
    turned = rotate(image.array.astype(np.float32), degrees, (first, second), reshape=False, order=1, mode="nearest")
    truth = rotate(labels, degrees, (first, second), reshape=False, order=0, mode="nearest")
    predicted = predictor.segment(replace(image, array=turned), modality=case.modality)
    shown = [number for number in range(1, len(run.dataset.classes)) if (truth == number).any()]
    return float(
        np.mean(
            [
                2
                * ((predicted == number) & (truth == number)).sum()
                / ((predicted == number).sum() + (truth == number).sum())
                for number in shown
            ]
        )
    )


def measure(run: Run, modalities: Sequence[str], degrees: Sequence[float]) -> dict[tuple[str, float], float]:
    """{(modality, degrees): mean Dice in percent over the patients of the run's labeled test cases}."""
    predictor = Predictor(run)
    patients: dict[tuple[str, float], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case in run.dataset.of(split="test", labeled=True):
        for angle in degrees if case.modality in modalities else ():
            patients[case.modality, angle][case.patient].append(dice_when_turned(run, predictor, case, angle))
    return {key: 100 * float(np.mean([np.mean(of) for of in dice.values()])) for key, dice in patients.items()}


def main() -> None:
    """Print a table, a row a run and modality; exit code 2 and one line for what is no run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--degrees", nargs="+", type=float, default=DEGREES)
    parser.add_argument("--modalities", nargs="+", help="default: all that a run knows")
    given = parser.parse_args()
    print("| run | modality |" + "".join(f" {angle:g} |" for angle in given.degrees))
    print("|---|---|" + "---:|" * len(given.degrees))
    try:
        for folder in given.runs:
            run = Run(folder)
            dice = measure(run, given.modalities or run.modalities, given.degrees)
            for modality in dict.fromkeys(modality for modality, _ in dice):
                cells = "".join(f" {dice[modality, angle]:.1f} |" for angle in given.degrees)
                print(f"| {folder} | {modality} |{cells}", flush=True)
    except InputError as error:
        print(f"turned_scans: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
