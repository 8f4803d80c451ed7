"""What does a further case cost? verify, inspect, prepare, predict (listing), evaluate, report and compare, by cases.

Tiny cases (20 x 18 x 3 voxels) of two modalities, so that what is measured is what a case costs beside its voxels. Two
untrained runs and predictions that lack a structure here and there, as of a poor network. Each command in a process of
its own; seconds of the processor, those of its processes included. The exponent is that of the growth over the smallest
size: 1 is linear. `predict` lists all images, reads their headers and finds nothing to do in its shard.
Goals: exponents of about 1; the report of 1,000 cases below 20 MB and 2 minutes.

    python benchmarks/archive_cost.py [--cases 10 100 1000] [--listed 10000] [--only report compare] [--repeats 1]
        [--json numbers.json]
    python benchmarks/archive_cost.py --small
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from side_by_side import print_versions
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.manifest import write_dataset
from unpaired.data.preprocess import Preprocessing
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, build_method, dumps
from unpaired.runs.run import Run
from unpaired.scores.files import SCORES
from unpaired.scores.places import evaluation_folder

SHAPE = (20, 18, 3)
RUNS = ("run", "other")
COMMANDS = {
    "verify": ("verify", "data", "--workers", "1"),
    "inspect": ("inspect", "data", "--page", "inspected.html", "--workers", "1"),
    "prepare": ("prepare", "recipe.json", "data", "prepared", "--workers", "1"),
    "predict (listing)": ("predict", "run", "data", "listed", "--device", "cpu", "--no-worker"),
    "evaluate": ("evaluate", "run/predictions", "run", "--workers", "1"),
    "report": ("report", "run"),
    "compare": ("compare", "run", "other", "--out", "comparison"),
}
UNTIMED = {"compare": ("evaluate", "other/predictions", "other", "--workers", "1")}
"""What has to be done before a command."""
NEEDS_SCORES = ("report", "compare")
PAGES = {"inspect": "inspected.html", "report": "run/report.html", "compare": "comparison"}


def main() -> None:
    """Parse the command line; a line per command and size, then the exponents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--listed", type=int, default=10000, help="cases that are listed alone; 0 leaves it out")
    parser.add_argument("--only", nargs="+", choices=[*COMMANDS], default=[*COMMANDS])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--small", action="store_true", help="a smoke run: 8, 12 and 16 cases")
    given = parser.parse_args()
    if given.small:
        given.cases, given.listed = [8, 12, 16], 32
    sizes = sorted(given.cases)
    print_versions()
    numbers: dict[str, dict[int, dict[str, float]]] = {name: {} for name in given.only}
    with tempfile.TemporaryDirectory() as folder:
        for count in [*sizes, *([given.listed] if given.listed else [])]:
            place = Path(folder) / str(count)
            write_cases(place, count)
            listed_alone = count not in sizes
            for name in ["predict (listing)"] if listed_alone else given.only:
                row = numbers.setdefault(name, {})[count] = measured(name, place, count, given.repeats)
                page = f", {row['mb']:.1f} MB" if "mb" in row else ""
                print(f"{name:18} {count:6} cases {row['seconds']:8.1f} s{page}", flush=True)
    for name, of in numbers.items():
        print(f"{name:18} {growth({count: row['seconds'] for count, row in of.items()})}")
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


def measured(name: str, place: Path, count: int, repeats: int) -> dict[str, float]:
    """The median seconds of a command, and the megabytes of its pages."""
    before = [COMMANDS["evaluate"]] if name in NEEDS_SCORES else []
    for command in (*before, *([UNTIMED[name]] if name in UNTIMED else [])):
        if not (evaluation_folder(place / command[1]) / SCORES).is_file():
            seconds_of(command, place)
    shard = ("--shard", f"{count + 1}/{count + 1}") if name.startswith("predict") else ()
    seconds = [seconds_of((*COMMANDS[name], *shard), place) for _ in range(repeats)]
    row = {"seconds": statistics.median(seconds)}
    if name in PAGES:
        page = place / PAGES[name]
        files = [page] if page.is_file() else [*page.rglob("*.html")]
        row["mb"] = sum(file.stat().st_size for file in files) / 1e6
    return row


def seconds_of(command: tuple[str, ...], place: Path) -> float:
    """Seconds of the processor of a command and its processes. Raises SystemExit with what it said if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "unpaired.cli", *command], cwd=place, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def growth(seconds: dict[int, float]) -> str:
    """What a further case costs, and the exponent of the growth over the smallest size."""
    counts = sorted(seconds)
    if len(counts) < 3:
        return "too few sizes for an exponent"
    first, middle, last = counts[0], counts[-2], counts[-1]
    some, all_ = seconds[middle] - seconds[first], seconds[last] - seconds[first]
    each = 1000 * (seconds[last] - seconds[middle]) / (last - middle)
    if some <= 0 or all_ <= 0:
        return f"{each:.1f} ms a further case; no growth to tell an exponent by"
    exponent = math.log(all_ / some) / math.log((last - first) / (middle - first))
    return f"{each:.1f} ms a further case, exponent {exponent:.2f}"


def write_cases(place: Path, count: int) -> None:
    """Noise with two balls in it, two runs that know all cases, and label maps that lack a ball in every eighth."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij"))
    affine = np.diag([2.0, 2.0, 6.0, 1.0])
    cases = []
    for number in range(count):
        center = np.array(SHAPE)[:, None, None, None] / 2 + rng.uniform(-2, 2, (3, 1, 1, 1))
        distance = np.linalg.norm((grid - center) * np.array([1, 1, 3])[:, None, None, None], axis=0)
        labels = np.where(distance < 3, 1, np.where(distance < 6, 2, 0)).astype(np.uint8)
        name = f"c{number:05}"
        files = place / "data" / f"{name}.nii.gz", place / "data" / f"{name}_label.nii.gz"
        write_image(files[0], (rng.normal(0, 20, SHAPE) + labels * 60).astype(np.int16), affine)
        write_image(files[1], labels, affine)
        for run_number, run in enumerate(RUNS):
            predicted = np.roll(labels, 1 + run_number, axis=0)
            if number % 8 == run_number:
                predicted[predicted == 1] = 0
            write_image(place / run / "predictions" / f"{name}.nii.gz", predicted, affine)
        side = "train" if number < 2 else "validation" if number < 4 else "test"
        cases.append(CaseEntry(name, f"p{number:05}", ("ct", "mr")[number % 2], *files, split=side))
    modalities = {"ct": Modality("zscore"), "mr": Modality("zscore")}
    dataset = Dataset("tiny", ("background", "inner", "outer"), modalities, tuple(cases))
    write_dataset(dataset, place / "data")
    recipe = Recipe(
        UNetConfig(width=2, widest=4, blocks=(1, 1)),
        SupervisedConfig(),
        (16, 16),
        steps=1,
        preprocessing=Preprocessing(plane="axial"),
        modalities=("ct", "mr"),
    )
    (place / "recipe.json").write_text(dumps(recipe), encoding="utf-8")
    for name in RUNS:
        kept = place / name / "predictions"
        aside = kept.rename(place / f"{name}-predictions")
        kept.parent.rmdir()
        run = Run.create(place / name, recipe, dataset)
        run.save_weights(build_method(recipe, run.modalities, 3).network, "best")
        aside.rename(kept)


if __name__ == "__main__":
    main()
