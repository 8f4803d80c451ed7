"""A program in a recipe's place: a peer, or your own code, that trains and predicts for a row of a study.

It is called as `COMMAND DATA OUT --seed N --device cpu` (or cuda) and, where the study has a budget, `--minutes M`; its
threads are OMP_NUM_THREADS. DATA is a manifest with the sides and labels that the row may see; test cases have their
labels, to be scored with and nothing else. It trains on side "train", may choose by "validation", and writes
OUT/predictions/CASE.nii.gz on the scan's own grid for each test case: with the values of the modality's label files, or
with a record beside it that says what its values mean. OUT/versions.json may say what it was, for the tables:
{"program": "theirs 2.1", "trained": {"steps": 851, "seconds": 300.0}}. What it prints goes to the run's log. It may be
killed and called again in the same folder. Exit code 0: done. It leads a process group, which gets SIGINT where the
study is stopped, SIGTERM after 30 seconds more and SIGKILL after another 10, and nothing of which outlives it. So it is
where the study's process itself is killed.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from unpaired.choices import counted
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import write_dataset
from unpaired.data.split import Split, write_split
from unpaired.documents import shown
from unpaired.errors import InputError
from unpaired.experiments.calling import call
from unpaired.inference.devices import choose_device
from unpaired.runs.folder import RunFolder
from unpaired.runs.lock import only_one
from unpaired.scores.evaluate_predictions import evaluate


@dataclass(frozen=True)
class ProgramContent:
    """What `Program.content` says, as a record is read that another version wrote."""

    program: tuple[str, ...]
    seed: int = 0
    minutes: float | None = None


@dataclass(frozen=True)
class Program:
    """The words of a command, and what the study decides: the seed, and the minutes (None: the program decides)."""

    command: tuple[str, ...]
    seed: int = 0
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a command that is none: a lone text would be called letter by letter."""
        words = self.command
        if isinstance(words, str) or not words or not all(isinstance(word, str) for word in words):
            raise InputError(
                f'a program\'s command: expected its words, such as ("python", "theirs.py"), got {shown(words)}; '
                "correct it there"
            )

    def content(self, whole_folder: bool = False) -> dict[str, Any]:
        """What decides its predictions: words, files of the command by what they hold, seed and minutes; no path.

        Of a script the scripts beside it count that it names, or that those name; with `whole_folder` all of them, as
        in records of early versions.
        """
        words = [_content(word, whole_folder) for word in self.command[1:]]
        return {"program": [Path(self.command[0]).name, *words], "seed": self.seed, "minutes": self.minutes}

    def words(self, data: Path, out: Path, device: str) -> list[str]:
        """The whole command."""
        budget = [] if self.minutes is None else ["--minutes", f"{self.minutes:g}"]
        return [*self.command, str(data), str(out), "--seed", str(self.seed), "--device", device, *budget]


def _content(word: str, whole_folder: bool) -> str:
    """A word; in a file's place the hash of what it holds, of a script with others that it needs."""
    file = Path(word)
    if not file.is_file():
        return word
    beside = sorted(file.parent.glob("*.py")) if file.suffix == ".py" else [file]
    files = beside if whole_folder or file.suffix != ".py" else _named_by(file, beside)
    return f"{file.name} " + sha256(b"".join(sha256(each.read_bytes()).digest() for each in files)).hexdigest()[:16]


def _named_by(script: Path, beside: Sequence[Path]) -> list[Path]:
    """A script and those beside it whose module's name stands in its text, or in theirs: whatever it may import."""
    needed = {script.name}
    texts = {each.name: set(re.findall(rb"\w+", each.read_bytes())) for each in beside}
    while more := {each.name for each in beside if any(each.stem.encode() in texts[name] for name in needed)} - needed:
        needed |= more
    return [each for each in beside if each.name in needed]


@dataclass(frozen=True)
class RunProgram:
    """Call a program for a cell of a study, and score what it predicted."""

    name: str
    program: Program
    dataset: Dataset
    folder: Path
    device: str
    presets: tuple[str, ...]
    workers: int

    def __call__(self) -> dict[str, float]:
        """{"train" (with the prediction) | "evaluate": seconds}.

        Raises InputError where the program fails, predicts not all test cases or what can't be scored; Ctrl-C ends it.
        """
        run = RunFolder(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with only_one(self.folder.with_name(f"{self.folder.name}.lock"), "at work on this run"):
            self.folder.mkdir(exist_ok=True)
            write_dataset(self.dataset, run.dataset_file)
            write_split(Split.of(self.dataset), run.split_file)
            began = time.monotonic()
            call(self.program.words(run.dataset_file, self.folder, choose_device(self.device).type))
            predicted = time.monotonic()
            if not run.predictions.is_dir():
                raise InputError(f"{self.name}: its program ended and wrote no folder {run.predictions}")
            reference = run.dataset_file
            scored = evaluate(
                run.predictions, reference, split="test", preset=self.presets, workers=max(self.workers, 1)
            )
            if scored.failures:
                case, reason = scored.failures[0]
                raise InputError(f"{counted(len(scored.failures), 'case')} could not be scored: {case}: {reason}")
            return {"train": predicted - began, "evaluate": time.monotonic() - predicted}
