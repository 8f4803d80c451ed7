"""A script for Slurm that segments an archive: an array of tasks, each of which predicts one shard. No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from unpaired.choices import require_choice, several
from unpaired.consent.modules import Trust, absolute_modules
from unpaired.data.dataset import Side
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.data.postprocess import Postprocessing, asked_postprocessing
from unpaired.errors import InputError, known
from unpaired.inference.engine.plans import EngineName, Precision
from unpaired.inference.jobs import plan
from unpaired.inference.request import (
    Backend,
    DicomWishes,
    How,
    Norms,
    ObjectKind,
    Request,
    SegKind,
    Weights,
    request_of,
)
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
    weights: Weights = "best",
    device: str = "auto",
    backend: Backend = "torch",
    precision: Precision = "float32",
    engine: EngineName = "auto",
    overlap: float | None = None,
    largest_component: str | None = None,
    smoothing_mm: float | None = None,
    background_log_odds: float | None = None,
    mirror: bool = False,
    turned: float | Sequence[float] = (),
    mirror_anyway: bool = False,
    modality_anyway: bool = False,
    norms_of: str | None = None,
    norms: Norms = "trained",
    also: Sequence[str | Path] = (),
    probabilities: bool = False,
    series: str | Sequence[str] = (),
    modality_from: str | None = None,
    objects: ObjectKind | Sequence[ObjectKind] = ("seg",),
    dicom_seg: SegKind = "binary",
    deidentify: bool = False,
    trust: Trust = (),
    cpus: int = 4,
    memory: str = "16G",
    time: str = "04:00:00",
    gpus: int = 0,
    partition: str | None = None,
    at_once: int | None = None,
) -> Path:
    """Write a Slurm script that segments images as `predict` does, by an array of `shards` tasks; returns its path.

    From `modality` to `trust` the arguments are those of the command `unpaired predict`, which each task runs, the
    others what each task gets; `at_once` is how many may run together. Paths become absolute, and the tasks use the
    Python that runs now. A task that is killed or started again goes on where it was: what is done is skipped. Raises
    InputError if `run` or one of `also` holds no run, if there is nothing at `images`, for a modality, split, class,
    number or word that every task would refuse, if there are no shards, for what Slurm would not understand, and where
    another file of the script's name is there.
    """
    require_choice(norms, Norms, "norms")
    how = How(
        weights,
        device,
        backend,
        asked_postprocessing(largest_component, smoothing_mm, background_log_odds),
        mirror,
        mirror_anyway,
        modality_anyway,
        norms_of,
        norms == "adaptive",
        precision,
        engine,
        overlap,
        tuple(several(turned)),
    )
    dicom = DicomWishes(tuple(several(series)), modality_from, tuple(several(objects)), dicom_seg, deidentify)
    request = request_of(
        (run, *several(also)),
        images,
        out,
        modality=modality,
        split=split,
        how=how,
        probabilities=probabilities,
        trust=several(trust),
        dicom=dicom,
    )
    _require_known(request)
    resources = Resources(cpus, memory, time, gpus, partition, at_once, "unpaired-predict")
    words = [absolute(run), absolute(images), absolute(out), *words_of(request)]
    return write_array(script, ["predict", *words], resources, shards)


def _require_known(request: Request) -> None:
    """Raise InputError for runs and images that aren't there, and for names that the run or the manifest lacks."""
    for path in request.runs:
        if not holds_runs(path):
            text = "expected a run folder (written by `unpaired train`) or a model file, found none at"
            raise InputError(f"{text} {as_written(path)}; check the path")
    run, images, modality, split = request.runs[0], request.images, request.modality, request.split
    norms_of = request.how.norms_of
    trained = read_dataset(run_folders(run)[0])
    if request.how.postprocessing is not None:
        request.how.postprocessing.class_numbers(trained.classes)
    names = list(trained.modalities)
    if norms_of is not None and norms_of not in names:
        raise InputError(f"norms of {norms_of!r}: run {as_written(run)} has no such modality; {known(names)}")
    if split is not None:
        require_choice(split, Side, "split")
    if isinstance(images, Path) and is_manifest(images):
        plan(read_dataset(images), request.out, modality)
        return
    if isinstance(images, Path) and not images.exists():
        raise InputError(f"expected an image, a folder or a manifest, found nothing at {images}; check the path")
    if split is not None:
        raise InputError(f"split {split!r} needs a manifest, which says who is on which side; {images} is not one")
    if modality is not None and norms_of is None and modality not in names:
        raise InputError(f"run {as_written(run)} has no modality {modality!r}; {known(names)}")


def words_of(request: Request) -> list[str]:
    """The options of `unpaired predict` that ask for the same as a request: all but its images, `out`, shard and Ray.

    What is so without an option is left out. Raises InputError if a module that is trusted isn't there.
    """
    wishes: dict[str, Any] = {"modality": request.modality, "split": request.split}
    wishes |= _unusual(request.how, How()) | _unusual(request.dicom, DicomWishes())
    asked: Postprocessing | None = wishes.pop("postprocessing", None)
    if asked is not None:
        largest = asked.largest_component
        wishes |= _unusual(asked, Postprocessing())
        wishes["largest_component"] = largest if isinstance(largest, str) else ",".join(largest) or "none"
    if wishes.pop("adaptive_norms", False):
        wishes["norms"] = "adaptive"
    wishes |= {"probabilities": request.probabilities, "overwrite": request.overwrite}
    also = [word for run in request.runs[1:] for word in ("--also", absolute(run))]
    trust = ["--trust", *absolute_modules(request.trust)] if request.trust else []
    return [*(word for name, value in wishes.items() for word in _option(name, value)), *also, *trust]


def _unusual(asked: How | DicomWishes | Postprocessing, usual: How | DicomWishes | Postprocessing) -> dict[str, Any]:
    """{name: value} of the fields that are not as usual."""
    values = {field.name: getattr(asked, field.name) for field in fields(asked)}
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def _option(name: str, value: Any) -> Iterator[str]:
    """An option's words; none where its value is None or False."""
    if value is not None and value is not False:
        values = [] if value is True else several(value)
        yield f"--{name.replace('_', '-')}"
        yield from (f"{each:.12g}" if isinstance(each, float) else str(each) for each in values)
