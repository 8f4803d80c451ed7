"""Scripts for Slurm: an array of tasks, each of which takes one shard; one that segments an archive. No torch."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unpaired.choices import require_choice, several
from unpaired.consent.modules import Trust, require_there
from unpaired.data.dataset import Side
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.data.postprocess import parse_largest_component
from unpaired.errors import InputError, known
from unpaired.files import write_text
from unpaired.inference.engine.plans import Precision
from unpaired.inference.jobs import plan
from unpaired.inference.request import Backend, How, listed_images
from unpaired.runs.hub import HubAddress, is_hub_address
from unpaired.runs.model_file import as_written, holds_runs, run_folders
from unpaired.runs.shipped import is_shipped, shipped_address

PATTERNS = {
    "time": (r"([0-9]+-)?[0-9]{1,2}(:[0-9]{2}){0,2}", "04:00:00 or 1-12:00:00"),
    "memory": (r"[1-9][0-9]*[KMGT]", "16G"),
    "partition": (r"[\w.,-]+", "gpu"),
    "job name": (r"[\w.-]+", "segment"),
}


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
    name: str = "unpaired-predict"

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


def cluster_script(
    run: str | Path,
    images: str | Path,
    out: str | Path,
    script: str | Path = "predict.sbatch",
    *,
    shards: int = 20,
    modality: str | None = None,
    split: str | None = None,
    backend: Backend = "torch",
    precision: Precision = "float32",
    overlap: float | None = None,
    largest_component: str | None = None,
    mirror: bool = False,
    turned: float | Sequence[float] = (),
    also: Sequence[str | Path] = (),
    probabilities: bool = False,
    trust: Trust = (),
    cpus: int = 4,
    memory: str = "16G",
    time: str = "04:00:00",
    gpus: int = 0,
    partition: str | None = None,
    at_once: int | None = None,
) -> Path:
    """Write a Slurm script that segments images as `predict` does, by an array of `shards` tasks; returns its path.

    From `modality` to `trust` the arguments are those of `unpaired.predict`, the others what each task gets; `at_once`
    is how many may run together. Paths become absolute, and the tasks use the Python that runs now. A task that is
    killed or started again goes on where it was: what is done is skipped. Raises InputError if `run` or one of `also`
    holds no run, if there is nothing at `images`, for a modality, split, class or overlap that every task would refuse,
    if there are no shards, for what Slurm would not understand, and where another file of the script's name is there.
    """
    for path in (run, *several(also)):
        if not holds_runs(path):
            text = "expected a run folder (written by `unpaired train`) or a model file, found none at"
            raise InputError(f"{text} {as_written(path)}; check the path")
    require_choice(backend, Backend, "backend")
    require_choice(precision, Precision, "precision")
    angles = tuple(several(turned))
    How(overlap=overlap, turned=angles)
    _require_known(run, images, out, modality, split, largest_component)
    resources = Resources(cpus, memory, time, gpus, partition, at_once)
    named = {"--modality": modality, "--split": split, "--backend": backend, "--largest-component": largest_component}
    named |= {
        "--precision": None if precision == "float32" else precision,
        "--overlap": None if overlap is None else str(overlap),
    }
    options = [word for name, value in named.items() if value is not None for word in (name, value)]
    options += [name for name, wanted in {"--mirror": mirror, "--probabilities": probabilities}.items() if wanted]
    options += ["--turned", *(f"{angle:g}" for angle in angles)] if angles else []
    options += [word for other in several(also) for word in ("--also", absolute(other))]
    options += ["--trust", *absolute_modules(trust)] if trust else []
    words = [absolute(run), absolute(images), absolute(out), *options]
    return write_array(script, ["predict", *words], resources, shards)


def _require_known(
    run: str | Path,
    images: str | Path,
    out: str | Path,
    modality: str | None,
    split: str | None,
    largest_component: str | None,
) -> None:
    """Raise InputError for names that the run or the manifest doesn't know, and for images that aren't there."""
    trained = read_dataset(run_folders(run)[0])
    if largest_component is not None:
        parse_largest_component(largest_component).class_numbers(trained.classes)
    name = None if modality is None else modality.lower()
    scans = listed_images(images)
    manifest = read_dataset(scans) if isinstance(scans, Path) and is_manifest(scans) else None
    if split is not None:
        require_choice(split, Side, "split")
    if manifest is not None:
        plan(manifest, out, name)
        return
    if isinstance(scans, Path) and not scans.exists():
        raise InputError(f"expected an image, a folder or a manifest, found nothing at {images}; check the path")
    if split is not None:
        raise InputError(f"split {split!r} needs a manifest, which says who is on which side; {images} is not one")
    if name is not None and name not in trained.modalities:
        raise InputError(f"run {as_written(run)} has no modality {name!r}; {known(list(trained.modalities))}")


def write_array(
    script: str | Path, words: Sequence[str], resources: Resources, shards: int, outside: Sequence[str] = ()
) -> Path:
    """Write a script whose tasks run the command `words`, each with its --shard; returns its path.

    Called outside of Slurm the script runs the command with the words `outside`, if there are any. Raises InputError
    if there are no shards, and where another file of the script's name is there.
    """
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


def absolute_modules(trust: Trust) -> list[str]:
    """Modules that a task is to trust, files by paths that mean the same everywhere. InputError if one isn't there."""
    require_there(trust)
    return [absolute(word) if str(word).endswith(".py") else str(word) for word in several(trust)]


def absolute(path: str | Path) -> str:
    """A path that means the same in every folder; addresses on the Hub and in the package do."""
    if is_shipped(path):
        return shipped_address(path)
    return str(HubAddress.parse(path) if is_hub_address(path) else Path(path).resolve())
