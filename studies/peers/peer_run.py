"""What the peers share: the cases that each gets, when its time is up, and the folder of predictions that it leaves.

The folder is like a run's, so that `unpaired compare NAME=OUT` takes it: dataset.json (the manifest with the sides),
versions.json, predictions/, evaluation/ (the scores of `unpaired evaluate`), and peer.json: the peer's own scores, how
many steps it took in how many seconds, and its settings. What the peer works with lies in OUT/work.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import Image, read_image, read_label_map, write_image
from unpaired.data.label_values import translate
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.data.prediction_record import Record, write_record
from unpaired.data.split import read_split
from unpaired.errors import InputError
from unpaired.files import read_json, write_json
from unpaired.inference.devices import choose_device
from unpaired.runs.folder import RunFolder
from unpaired.runs.versions import describe_versions
from unpaired.scores.evaluate_predictions import evaluate

FACTS = "peer.json"
ASKED = "asked.json"
WORK = "work"


def options(description: str | None) -> argparse.ArgumentParser:
    """What every peer is asked: cases, a folder, a budget in minutes or in steps, a seed, a device."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a manifest, with the sides unless --split names them")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", type=Path)
    parser.add_argument("--minutes", type=positive, help="of the processor for each thread; on a GPU by the clock")
    parser.add_argument("--steps", type=count, help="in place of minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    return parser


def count(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def run_as_command(main: Callable[[], None], tool: str) -> None:
    """Run a script; what a person can mend is one line, and exit code 2."""
    try:
        main()
    except InputError as error:
        problem = str(error)
    except ModuleNotFoundError as error:
        problem = f"{tool} can't be used, {error.name} isn't installed; studies/peers/README.md says how to install it"
    else:
        return
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(2)


def sided_dataset(given: argparse.Namespace) -> Dataset:
    """The dataset with its sides; OUT belongs to this question from now on.

    Raises InputError where nothing trains or is tested, for no budget or two, for a device that can't be used, and
    where OUT is another question's.
    """
    if (given.minutes is None) == (given.steps is None):
        raise InputError("expected a budget, either --minutes or --steps")
    choose_device(given.device)
    dataset = read_dataset(given.data)
    dataset = dataset if given.split is None else read_split(given.split).apply(dataset)
    for side in ("train", "test"):
        if not dataset.of(split=side, labeled=True):
            raise InputError(f"{given.data}: expected labeled cases for {side}, found none; name a split with --split")
    claim(dataset, given)
    return dataset


def claim(dataset: Dataset, given: argparse.Namespace) -> None:
    """Note in OUT what is asked for. Raises InputError if the folder was begun with something else.

    Options that aren't given don't count, so that a folder goes on when a script has got more of them.
    """
    options = {name: value for name, value in vars(given).items() if not isinstance(value, Path)}
    asked = {"options": options, "sides": {case.id: case.split for case in dataset.cases if case.split}}
    file = given.out / WORK / ASKED
    if file.is_file() and _that_count(read_json(file, "name another folder")) != _that_count(asked):
        raise InputError(f"{given.out} was begun with other options or sides; name another folder, or delete it")
    write_json(file, asked)


def _that_count(asked: Any) -> Any:
    """What was asked for without options that weren't given, as JSON has it."""
    given = {name: value for name, value in asked["options"].items() if value is not None and value is not False}
    return json.loads(json.dumps(asked | {"options": given}))


@dataclass
class Budget:
    """How far a training is: `progress` goes from 0 to 1 by seconds of the processor for each thread, or by steps.

    On a GPU seconds are the clock's. Only what happens within `running` counts.
    """

    minutes: float | None
    wanted: int | None
    clock: str
    threads: int = 1
    seconds: float = 0.0
    steps: int = 0

    @classmethod
    def of(cls, given: argparse.Namespace, share: float = 1.0) -> "Budget":
        """The budget asked for, or a share of it."""
        import torch

        minutes = None if given.minutes is None else given.minutes * share
        wanted = None if given.steps is None else max(round(given.steps * share), 1)
        if torch.device(given.device).type == "cpu":
            return cls(minutes, wanted, "processor", torch.get_num_threads())
        return cls(minutes, wanted, "wall")

    def now(self) -> float:
        """Seconds since some moment."""
        return time.process_time() / self.threads if self.clock == "processor" else time.perf_counter()

    @property
    def progress(self) -> float:
        """The part that is used up; 1 or more: stop."""
        return self.steps / self.wanted if self.wanted else self.seconds / (60 * (self.minutes or 0))

    @contextmanager
    def running(self) -> Iterator[None]:
        """A step: its seconds are added."""
        began = self.now()
        yield
        self.seconds += self.now() - began
        self.steps += 1

    def store(self, file: Path) -> None:
        """Write down how far it is."""
        write_json(file, {"seconds": self.seconds, "steps": self.steps})

    def resume(self, file: Path) -> None:
        """Go on from what was written down."""
        stored = read_json(file, "delete the folder: the peer begins anew")
        self.seconds, self.steps = float(stored["seconds"]), int(stored["steps"])


def write_scan(case: CaseEntry, file: Path) -> None:
    """A case's image as compressed NIfTI: a link to it where it is that already."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        return
    if case.image.name.endswith(".nii.gz"):
        file.symlink_to(case.image.resolve())
    else:
        write_image(file, read_image(case.image))


def write_classes(dataset: Dataset, case: CaseEntry, file: Path) -> None:
    """A case's label map with class numbers as values. Raises InputError for labels that stand for several classes."""
    assert case.label is not None
    encoding = encode_values(dataset, case)
    if any(len(members) > 1 for members in encoding.values()):
        raise InputError(f"{case.id}: its labels stand for several classes at once, which the peers can't train on")
    label = read_label_map(case.label)
    numbers = translate(label.array, {value: members[0] for value, members in encoding.items()}, case.label)
    write_image(file, Image(numbers.astype(np.uint8), label.affine))


def keep_predictions(dataset: Dataset, cases: Sequence[CaseEntry], folder: Path, out: Path, tool: str) -> None:
    """Copy label maps with class numbers to OUT/predictions, with the values of the case's own label files."""
    for case in cases:
        predicted = read_label_map(folder / f"{case.id}.nii.gz")
        values = np.array(dataset.source_values(case.modality))
        file = RunFolder(out).predictions / f"{case.id}.nii.gz"
        write_image(file, Image(values[predicted.array].astype(np.int16), read_image(case.image).affine))
        named = dict(zip(dataset.classes, map(int, values), strict=True))
        write_record(Record(case.id, case.modality, {"tool": tool}, [], named), file)


def finish(dataset: Dataset, out: Path, tool: str, facts: Mapping[str, Any]) -> None:
    """Score OUT/predictions, write what the folder says of itself, and print the mean Dice by modality.

    Raises InputError where a test case has no prediction or can't be scored.
    """
    run = RunFolder(out)
    write_dataset(dataset, run.dataset_file)
    used = facts["used"].values()
    trained = {name: sum(budget[name] for budget in used) for name in ("steps", "seconds")}
    program = {"program": f"{tool} {version_of(tool)}", "trained": trained}
    write_json(run.versions_file, {**describe_versions(None), **program})
    write_json(out / FACTS, {"schema": 1, "tool": tool, "version": version_of(tool), **facts})
    scored = evaluate(run.predictions, run.dataset_file, split="test", workers=1)
    if scored.failures:
        case, reason = scored.failures[0]
        raise InputError(f"{len(scored.failures)} cases can't be scored: {case}: {reason}")
    for modality in dataset.modalities:
        mean = scored.evaluation.mean("dice", modality).value
        print(f"{modality}: mean Dice {'-' if mean is None else f'{100 * mean:.2f}'} (unpaired)")


def version_of(tool: str) -> str:
    """The installed version of a package; empty where nothing says it."""
    try:
        return version(tool)
    except PackageNotFoundError:
        return ""


def own_means(scores: Mapping[str, Mapping[str, float]], dataset: Dataset) -> dict[str, dict[str, float]]:
    """{modality: {class: mean over cases}} of {case: {class: a peer's own Dice}}, without values that aren't finite."""
    means: dict[str, dict[str, float]] = {}
    for modality in dataset.modalities:
        of_cases = [scores[case.id] for case in dataset.of(modality, "test", labeled=True) if case.id in scores]
        for name in dataset.classes[1:]:
            values = [dice[name] for dice in of_cases if np.isfinite(dice.get(name, np.nan))]
            if values:
                means.setdefault(modality, {})[name] = round(fmean(values), 4)
    return means


def budget_facts(given: argparse.Namespace, budgets: Mapping[str, Budget]) -> dict[str, Any]:
    """What was asked for, and what was used by each training."""
    asked = {"minutes": given.minutes, "steps": given.steps, "seed": given.seed, "device": given.device}
    return {"asked": asked, "used": {name: asdict(budget) for name, budget in budgets.items()}}
