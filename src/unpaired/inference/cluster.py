"""A script for Slurm that segments an archive: an array of tasks, each of which predicts one shard. No torch."""

from collections.abc import Sequence
from pathlib import Path

from unpaired.choices import require_choice, several
from unpaired.consent.modules import Trust, absolute_modules
from unpaired.data.dataset import Side
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.data.postprocess import parse_largest_component
from unpaired.errors import InputError, known
from unpaired.inference.engine.plans import Precision
from unpaired.inference.jobs import plan
from unpaired.inference.request import Backend, How, listed_images
from unpaired.runs.model_file import absolute, as_written, holds_runs, run_folders
from unpaired.slurm import Resources, write_array


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
    resources = Resources(cpus, memory, time, gpus, partition, at_once, "unpaired-predict")
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
