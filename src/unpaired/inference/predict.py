"""From an image to a label map on the image's own grid: one case, or many files with the model loaded once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from unpaired.data.dataset import Dataset
from unpaired.data.images import (
    IMAGE_SUFFIXES,
    NIFTI,
    Image,
    image_files,
    image_suffix,
    read_image,
    write_image,
)
from unpaired.data.preprocess import apply, restore_probabilities
from unpaired.errors import InputError, UnwritableError, nearest
from unpaired.inference.postprocess import Postprocessing, postprocess
from unpaired.inference.windows import segment_volume
from unpaired.methods.method import Method
from unpaired.recipe import Recipe
from unpaired.run import Run


def choose_device(name: str = "auto") -> torch.device:
    """The device by name; "auto" takes a CUDA GPU, else Apple's, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {name!r} can't be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
    return device


def segment_prepared(
    method: Method, recipe: Recipe, volume: np.ndarray, modality: str, device: torch.device | str
) -> torch.Tensor:
    """Class probabilities (class, depth, height, width) of a prepared volume, by the recipe's windows."""
    return segment_volume(
        lambda images: method.predict(images, modality),
        volume,
        patch_size=recipe.patch_size,
        context_slices=recipe.context_slices,
        overlap=recipe.window_overlap,
        device=device,
    )


class Predictor:
    """A trained run, loaded once: images in, label maps out.

    `weights` is "best" (by validation Dice) or "last". `postprocessing` replaces the recipe's. Only the network is
    used, none of the method's training parts.
    """

    def __init__(
        self,
        run: Run | str | Path,
        weights: str = "best",
        device: str = "auto",
        postprocessing: Postprocessing | None = None,
    ) -> None:
        self.run = run if isinstance(run, Run) else Run.open(run)
        self.postprocessing = self.run.recipe.postprocessing if postprocessing is None else postprocessing
        self.postprocessing.class_numbers(self.run.dataset.classes)  # refuse a misspelled class at once
        self.device = choose_device(device)
        self.method = self.run.load_method(weights).to(self.device)

    def probabilities(self, image: Image, modality: str):
        """Class probabilities on the prepared grid, and the geometry that leads back to the image's."""
        self.check_modality(modality)
        volume, geometry = apply(image, self.run.recipe.preprocessing, self.run.dataset.modalities[modality])
        return segment_prepared(self.method, self.run.recipe, volume, modality, self.device).numpy(), geometry

    def segment(self, image: Image | np.ndarray, modality: str) -> np.ndarray:
        """The label map of an image, on the image's own grid and axes, as class numbers (uint8).

        A bare array is taken as (x, y, z) with 1 mm voxels; give an `Image` with its affine wherever there is one.
        """
        if isinstance(image, np.ndarray):
            image = Image(image if image.ndim == 3 else image[..., None], np.eye(4))
        labels = restore_probabilities(*self.probabilities(image, modality))
        return postprocess(labels, self.postprocessing, self.run.dataset.classes)

    def source_values(self, labels: np.ndarray, modality: str) -> np.ndarray:
        """Class numbers as the values that the training files of this modality use (500 for LV, say)."""
        values = np.array(self.run.dataset.source_values(modality))
        kind = next(k for k in (np.uint8, np.int16, np.int32, np.int64) if _holds(k, values))
        return values.astype(kind)[labels]

    def check_modality(self, modality: str) -> None:
        """Raise InputError if the run's network doesn't know the modality."""
        if modality not in self.run.modalities:
            hint = nearest(modality, list(self.run.modalities))
            raise InputError(f"run {self.run.folder} has no modality {modality!r}; {hint}")


@dataclass(frozen=True)
class Job:
    """One image to segment and the file that its label map goes to."""

    name: str
    image: Path
    modality: str
    output: Path


@dataclass(frozen=True)
class Outcome:
    """What `predict_files` did, by case name; `failures` are (name, one line)."""

    written: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def plan(
    images: Path | str | Dataset, output: Path | str, modality: str | None = None, split: str | None = None
) -> list[Job]:
    """What is to be segmented: one file, every image of a folder, or the cases of a dataset (of one side, if named).

    Files and folders need a modality; a dataset knows its own (a modality given then chooses among its cases).
    Outputs are named `<case id or file name>.nii.gz`. Raises InputError if there is nothing to segment, or if an image
    would be overwritten by a label map.
    """
    jobs = _jobs(images, Path(output), modality, split)
    inputs = {job.image.resolve() for job in jobs}
    for job in jobs:
        if job.output.resolve() in inputs:
            raise InputError(f"the label map of {job.name} would overwrite the image {job.output}; name another folder")
    return jobs


def _jobs(images: Path | str | Dataset, output: Path, modality: str | None, split: str | None) -> list[Job]:
    if isinstance(images, Dataset):
        cases = images.of(modality, split)
        if not cases:
            raise InputError(
                f"dataset {images.name} has no case with modality {modality or 'any'} and split {split or 'any'}"
            )
        return [Job(case.id, case.image, case.modality, output / f"{case.id}.nii.gz") for case in cases]
    images = Path(images)
    if not images.exists():
        raise InputError(f"found no image, folder or manifest at {images}")
    if modality is None:
        raise InputError(f"which modality is {images}? Name it with --modality (a manifest would say so itself)")
    if split is not None:
        raise InputError(f"split {split!r} needs a manifest, which says which case is on which side; {images} is none")
    if images.is_dir():
        files = image_files(images)
        if not files:
            raise InputError(f"expected images ({', '.join(IMAGE_SUFFIXES)}) in {images}, found none; check the folder")
        return list(_distinct(_file_job(file, modality, output) for file in files))
    suffix = image_suffix(output)
    if suffix in NIFTI:
        return [replace(_file_job(images, modality, output.parent), output=output)]
    if suffix is not None:
        raise InputError(f"label maps are written as NIfTI; name {output} .nii.gz or .nii, or name a folder")
    return [_file_job(images, modality, output)]


def predict_files(
    predictor: Predictor,
    jobs: Sequence[Job],
    *,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Segment every job; outputs that exist are skipped unless `overwrite`, one bad case never stops the others.

    Raises InputError before anything is written if a job's modality is unknown to the run, and `UnwritableError` when
    the disk is full.
    """
    for modality in {job.modality for job in jobs}:
        predictor.check_modality(modality)
    outcome = Outcome()
    for job in jobs:
        if job.output.exists() and not overwrite:
            outcome.skipped.append(job.name)
            report(f"{job.name}: there already, skipped")
            continue
        try:
            image = read_image(job.image)
            labels = predictor.source_values(predictor.segment(image, job.modality), job.modality)
            write_image(job.output, labels, image.affine)
        except UnwritableError:  # the next label map couldn't be written either
            raise
        except InputError as error:
            outcome.failures.append((job.name, str(error)))
            report(f"{job.name}: failed: {error}")
            continue
        outcome.written.append(job.name)
        report(f"{job.name}: {job.output}")
    return outcome


def _holds(kind: type[np.integer], values: np.ndarray) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= values.min() and values.max() <= limits.max)


def _file_job(file: Path, modality: str, output: Path) -> Job:
    suffix = image_suffix(file) or ""
    name = file.name[: len(file.name) - len(suffix)]
    return Job(name, file, modality, output / f"{name}.nii.gz")


def _distinct(jobs: Iterator[Job]) -> Iterator[Job]:
    seen: dict[Path, Path] = {}
    for job in jobs:
        if job.output in seen:
            raise InputError(f"{job.image} and {seen[job.output]} would both be written to {job.output}; rename one")
        seen[job.output] = job.image
        yield job
