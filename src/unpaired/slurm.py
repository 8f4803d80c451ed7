"""Scripts for Slurm: an array of tasks, each of which runs the same command with its own --shard."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unpaired.errors import InputError
from unpaired.files import write_text

PATTERNS = {
    "time": (r"([0-9]+-)?[0-9]{1,2}(:[0-9]{2}){0,2}", "04:00:00 or 1-12:00:00"),
    "memory": (r"[1-9][0-9]*[KMGT]", "16G"),
    "partition": (r"[\w.,-]+", "gpu"),
    "job name": (r"[\w.-]+", "segment"),
}
MOST_TASKS = 4_000_000
"""The largest number that a task of an array may have (slurm.conf: MaxArraySize is 4,000,001 at most)."""


@dataclass(frozen=True)
class Resources:
    """What each task of the array gets. Raises InputError for what Slurm would not understand.

    `at_once` is how many tasks may run together; None leaves that to Slurm.
    """

    cpus: int = 4
    memory: str = "16G"
    time: str = "04:00:00"
    gpus: int = 0
    partition: str | None = None
    at_once: int | None = None
    name: str = "unpaired"

    def __post_init__(self) -> None:
        words = (("time", self.time), ("memory", self.memory), ("partition", self.partition), ("job name", self.name))
        for what, word in words:
            pattern, example = PATTERNS[what]
            if word is not None and not re.fullmatch(pattern, word):
                raise InputError(f"{what} {word!r}: expected something like {example}")
        if self.cpus < 1 or self.gpus < 0 or (self.at_once is not None and self.at_once < 1):
            raise InputError(
                f"expected at least 1 core, 0 GPUs and 1 task at once, got {self.cpus}, {self.gpus} and {self.at_once}"
            )

    def directives(self, shards: int) -> list[str]:
        """The #SBATCH lines' options."""
        array = f"1-{shards}" + ("" if self.at_once is None else f"%{self.at_once}")
        options = [f"job-name={self.name}", f"array={array}", f"cpus-per-task={self.cpus}", f"mem={self.memory}"]
        options += [f"time={self.time}", "output=%x-%A_%a.txt", "requeue"]
        options += [f"gpus-per-task={self.gpus}", "ntasks=1"] if self.gpus else []
        return options + ([f"partition={self.partition}"] if self.partition else [])


def write_array(
    script: str | Path, words: Sequence[str], resources: Resources, shards: int, outside: Sequence[str] = ()
) -> Path:
    """Write a script whose tasks run the command `words`, each with its --shard; returns its path.

    Called outside of Slurm the script runs the command with the words `outside`, if there are any. Raises InputError
    if there are no shards, or more than Slurm can count, and where another file of the script's name is there.
    """
    if shards > MOST_TASKS:
        raise InputError(f"expected at most {MOST_TASKS:,} shards, as Slurm counts no more tasks, got {shards:,}")
    if shards < 1:
        raise InputError(f"expected at least 1 shard, got {shards}; name how many tasks there are to be, such as 20")
    text, path = _script(words, resources, shards, outside), Path(script)
    if path.exists() and not (path.is_file() and path.read_bytes() == text.encode()):
        raise InputError(f"{path} is there already, and differs; name another file, or delete it")
    write_text(path, text)
    return path


def _script(words: Sequence[str], resources: Resources, shards: int, outside: Sequence[str]) -> str:
    command = shlex.join([sys.executable, "-m", "unpaired.cli", *words])
    last = [
        "# Called outside of Slurm, when all tasks have ended: what they did is put together.",
        f'if [ -z "${{SLURM_ARRAY_TASK_ID:-}}" ]; then exec {command} {shlex.join(outside)}; fi',
    ]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH --{option}" for option in resources.directives(shards)),
        "",
        f"# One task of {shards}; submit the same script again to go on: what is done is skipped.",
        "set -eu",
        *(last if outside else []),
        f"export OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-{resources.cpus}}}",
        f'exec {command} --shard "$SLURM_ARRAY_TASK_ID/{shards}"',
    ]
    return "\n".join(lines) + "\n"
