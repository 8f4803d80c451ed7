"""A thousand tiny cases through every command: that it works, what a case costs, how large pages become.

    PYTHONPATH=tests python -m campaigns.thousand_cases --seed 0 --count 1000

A hundredth, a tenth and all of `count` cases are verified, split, prepared, predicted by two tiny networks, scored,
reported and compared. Wrong is what fails, and a case that costs three times as much among all as among a tenth.
"""

import sys
from pathlib import Path

import numpy as np

from campaigns.commands import run, warm_up
from campaigns.tally import Tally, run_alone
from campaigns.workspace import CPU, tiny_recipe
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.data.manifest import write_dataset
from unpaired.recipe import dumps

SHAPE = (20, 18, 3)
CLASSES = ("background", "inner", "outer")
WORTH_MEASURING = 2.0
"""Seconds of a processor; less says nothing."""
TIMES_AS_MUCH = 3.0
PAGE_LIMIT_MB = 60.0
COMMANDS = (
    ("verify", ("verify", "data", "--workers", "1")),
    ("split", ("split", "data", "split.json")),
    ("prepare", ("prepare", "recipe.json", "data", "prepared", "--workers", "1")),
    ("train", ("train", "recipe.json", "data", "run", "--cache", "prepared", "--workers", "0", *CPU)),
    ("train the other", ("train", "other.json", "data", "other", "--cache", "prepared", "--workers", "0", *CPU)),
    ("predict", ("predict", "run", "data", "run/predictions", "--split", "test", *CPU)),
    ("predict, done", ("predict", "run", "data", "run/predictions", "--split", "test", *CPU)),
    ("predict the other", ("predict", "other", "data", "other/predictions", "--split", "test", *CPU)),
    ("evaluate", ("evaluate", "run/predictions", "run", "--workers", "1")),
    ("evaluate the other", ("evaluate", "other/predictions", "other", "--workers", "1")),
    ("report", ("report", "run")),
    ("compare", ("compare", "run", "other", "--out", "comparison")),
)


def campaign(seed: int, count: int, folder: Path, tally: Tally) -> None:
    """Three sizes, each ten times the one before."""
    warm_up()
    sizes = [max(count // 100, 10), max(count // 10, 20), count]
    seconds: dict[str, list[float]] = {name: [] for name, _ in COMMANDS}
    pages: list[str] = []
    for size in sizes:
        place = folder / str(size)
        write_cases(place, size, seed)
        for name, arguments in COMMANDS:
            ended = run(arguments, place, folder / "said", memory=None)
            problem = ended.problem((0,))
            seconds[name].append(ended.seconds)
            if problem is None:
                tally.add(f"{name}, {size} cases", "worked")
            else:
                tally.fault(f"{name}, {size} cases", problem)
        for page in (place / "run" / "report.html", place / "comparison" / "comparison.html"):
            megabytes = page.stat().st_size / 1e6 if page.is_file() else 0.0
            pages.append(f"{page.name}, {size} cases: {megabytes:.1f} MB")
            if megabytes > PAGE_LIMIT_MB:
                tally.fault(page.name, f"{megabytes:.0f} MB for {size} cases")
    _linear(sizes, seconds, tally)
    tally.notes += pages


def _linear(sizes: list[int], seconds: dict[str, list[float]], tally: Tally) -> None:
    """What each further case costs, in milliseconds of a processor."""
    for name, (few, some, all_) in seconds.items():
        small = max(some - few, 0.0) / (sizes[1] - sizes[0])
        large = max(all_ - some, 0.0) / (sizes[2] - sizes[1])
        listed = ", ".join(f"{size}: {taken:.1f} s" for size, taken in zip(sizes, (few, some, all_), strict=True))
        tally.notes.append(f"{name}: {listed}; a further case {1000 * small:.1f} ms, then {1000 * large:.1f} ms")
        if all_ - some > WORTH_MEASURING and large > TIMES_AS_MUCH * max(small, 0.001):
            tally.fault(f"{name}, linear", tally.notes[-1])


def write_cases(place: Path, count: int, seed: int) -> None:
    """Noise with two balls in it: each case is another patient's; four train, two validate, all others test."""
    rng = np.random.default_rng(seed)
    cases = []
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij"))
    for number in range(count):
        modality = ("ct", "mr")[number % 2]
        center = np.array(SHAPE)[:, None, None, None] / 2 + rng.uniform(-2, 2, (3, 1, 1, 1))
        distance = np.linalg.norm((grid - center) * np.array([1, 1, 3])[:, None, None, None], axis=0)
        labels = np.where(distance < 3, 1, np.where(distance < 6, 2, 0)).astype(np.uint8)
        scale = 400 if modality == "ct" else 1
        image = (rng.normal(0, 20, SHAPE) + labels * 60 - (500 if modality == "ct" else -200) / scale).astype(np.int16)
        affine = np.diag([2.0, 2.0, 6.0, 1.0])
        files = place / "data" / f"c{number:04}.nii.gz", place / "data" / f"c{number:04}_label.nii.gz"
        write_image(files[0], image, affine)
        write_image(files[1], labels, affine)
        side = "train" if number < 4 else "validation" if number < 6 else "test"
        cases.append(CaseEntry(f"c{number:04}", f"p{number:04}", modality, *files, split=side))
    modalities = {"ct": Modality("zscore"), "mr": Modality("zscore")}
    write_dataset(Dataset("thousand", CLASSES, modalities, tuple(cases)), place / "data")
    for name, seed_ in (("recipe", 0), ("other", 1)):
        recipe = tiny_recipe(steps=2, patch_size=(16, 16), seed=seed_)
        (place / f"{name}.json").write_text(dumps(recipe), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_alone(campaign, 1000, __doc__))
