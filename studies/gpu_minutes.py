"""CSA's six rows at full size in at most ten minutes of a GPU: does every row train, how fast, in how much memory?

    python studies/gpu_minutes.py gpu_minutes --minutes 9                        a phantom, simulated on the spot
    python studies/gpu_minutes.py gpu_minutes --data mscmrseg.json --split fold0.json --minutes 9
    python studies/gpu_minutes.py try --size small --device cpu --minutes 2     the same on a processor

`unpaired study csa_table1 --size full`, row by row, each for an equal part of what is left after the data are there: a
step is timed, as many steps as fit are trained (with the whole schedule), the test scans are segmented and scored.
OUT/gpu_minutes.json is there from the beginning and written anew after each row, so that what was done counts when the
machine is taken away; a row that fails, or that there is no time for, is in it with its reason. These are minutes, not
results: what the numbers say is that the full size runs, what a step costs, and that losses fall.
"""

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from unpaired import __version__
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.data.split import read_split
from unpaired.errors import InputError
from unpaired.experiments.find import find_study
from unpaired.experiments.results import StudyResults
from unpaired.experiments.run import study
from unpaired.experiments.splits import OwnSides
from unpaired.experiments.study import Study
from unpaired.files import write_json
from unpaired.phantom.write import write_phantom
from unpaired.runs.folder import RunFolder
from unpaired.runs.log_rows import read_rows
from unpaired.scores.tables import read_evaluation

NUMBERS = "gpu_minutes.json"
PATIENTS = {"train": 8, "validation": 1, "test": 2}
TRAINING = 0.7
"""The part of a row's time in which it trains: the rest is for starting, timing a step, predicting and scoring."""


def scans(given: argparse.Namespace) -> Dataset:
    """The dataset with its sides: a manifest's, or a phantom's of the sequences that CSA's Table 1 has."""
    if given.data is not None:
        dataset = read_dataset(given.data)
        return dataset if given.split is None else read_split(given.split).apply(dataset)
    folder = given.out / "phantom"
    if is_manifest(folder):
        return read_dataset(folder)
    size = "realistic" if given.size == "full" else "demo"
    modalities = ("bssfp", "lge")
    return write_phantom(folder, modalities=modalities, patients=PATIENTS, size=size, workers=given.workers)


def row_numbers(plan: Study, dataset: Dataset, given: argparse.Namespace, name: str, minutes: float) -> dict[str, Any]:
    """Run a row and say what came of it."""
    options: dict[str, Any] = {
        "rows": [name],
        "minutes": minutes,
        "device": given.device,
        "worker": False,
        "say": print,
    }
    timed = study(plan, dataset, given.out, estimate=True, **options).estimate
    made = study(plan, dataset, given.out, **options)
    numbers: dict[str, Any] = {"name": name, "failures": dict(made.failures)}
    if timed is not None and (speed := timed.rows[0].speed) is not None:
        numbers |= {"seconds_per_step": speed.seconds, "gigabytes": speed.gigabytes}
    return numbers | trained_numbers(made, given.out, name, dataset)


def trained_numbers(made: StudyResults, out: Path, name: str, dataset: Dataset) -> dict[str, Any]:
    """Steps, seconds, the first and the last loss, mean Dice by modality, of a row that is done."""
    status = next(row for row in made.rows if row.name == name)
    if not status.done:
        return {}
    folder = sorted((out / "runs").glob(f"*/{name.lower()}/seed0*/recipe.json"))[-1].parent
    log = read_rows(RunFolder(folder).log_file)
    evaluation = read_evaluation(RunFolder(folder).evaluation)
    return {
        "steps": status.steps[0],
        "training_seconds": round(status.training_seconds, 1),
        "first_loss": float(log[0]["loss"]),
        "last_loss": float(log[-1]["loss"]),
        "dice": {modality: evaluation.mean("dice", modality).value for modality in dataset.modalities},
    }


def about(given: argparse.Namespace, minutes: float) -> dict[str, Any]:
    """Where and with what."""
    import torch

    gpu = torch.cuda.get_device_name() if given.device == "cuda" else None
    what = {"size": given.size, "device": given.device, "gpu": gpu, "platform": platform.platform()}
    versions = {"unpaired": __version__, "torch": torch.__version__}
    when = time.strftime("%Y-%m-%d")
    return {"schema": 1, "date": when, **what, **versions, "minutes_in_all": given.minutes, "minutes_a_row": minutes}


def main() -> None:
    """All rows in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="a manifest; without: a phantom")
    parser.add_argument("--split", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0, help="in all, from now on")
    parser.add_argument("--size", choices=("small", "full"), default="full")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=8, help="processes that simulate the phantom")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    plan = replace(find_study("csa_table1", given.size), splits=OwnSides(), papers=())
    dataset = scans(given)
    share = (end - time.monotonic()) / len(plan.rows)
    minutes = round(TRAINING * share / 60, 3)
    document = {**about(given, minutes), "data": str(dataset), "rows": []}
    write_json(given.out / NUMBERS, document)
    for row in plan.rows:
        if end - time.monotonic() < share / 2:
            numbers: dict[str, Any] = {"name": row.name, "failures": {row.name: "no time was left"}}
        else:
            try:
                numbers = row_numbers(plan, dataset, given, row.name, minutes)
            except InputError as error:
                numbers = {"name": row.name, "failures": {row.name: str(error)}}
        document["rows"].append(numbers)
        write_json(given.out / NUMBERS, document)
        print({name: value for name, value in numbers.items() if value}, flush=True)


if __name__ == "__main__":
    main()
