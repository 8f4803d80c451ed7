"""Many files to label maps, with the networks loaded once: what is to be done, what is done already, what failed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset, with_splits
from unpaired.data.images import IMAGE_SUFFIXES, NIFTI, image_files, image_suffix, read_image, write_image
from unpaired.data.prediction_record import Source, read_record, write_record
from unpaired.data.probability_maps import write_probabilities
from unpaired.data.sides import mirror_warning
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.files import clear_leftovers
from unpaired.inference.predictor import Ensemble, Predictor
from unpaired.inference.record import make_record, probabilities_path, recorded_uncertainty, settings_of, values_of
from unpaired.runs.run import Run
from unpaired.scores.trust.uncertainty import measure_uncertainty, write_uncertainty


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
    predictor: Predictor | Ensemble,
    jobs: Sequence[Job],
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Segment every job; outputs that exist are skipped unless `overwrite`, one bad case never stops the others.

    Beside each label map stands a record of how it was made. With `probabilities` the class probabilities are written
    too. Where several predictions are averaged (mirrored ones, several runs), the records say how far they agree, and
    `uncertainty.csv` and `uncertainty.json` in the outputs' folder say it for all its cases.

    A label map that was made of another image (by content) or in another way, or by nobody knows whom because it has
    no record, is a failure of its case, never taken for done and never overwritten unasked. Raises InputError
    before anything is written if a job's modality is unknown to a run, and `UnwritableError` when the disk is full.
    """
    ensemble = predictor if isinstance(predictor, Ensemble) else Ensemble([predictor])
    for modality in {job.modality for job in jobs}:
        ensemble.check_modality(modality)
    for folder in {job.output.parent for job in jobs}:
        clear_leftovers(folder)
    outcome = Outcome()
    for job in jobs:
        notes, failure = attempt(partial(_predict_unless_done, job, ensemble, probabilities, overwrite))
        if failure is not None:
            outcome.failures.append((job.name, failure))
            report(f"{job.name}: failed: {failure}")
        elif notes is None:
            outcome.skipped.append(job.name)
            report(f"{job.name}: there already, skipped")
        else:
            outcome.written.append(job.name)
            report(f"{job.name}: {job.output}")
            for note in notes:
                report(f"{job.name}: note: {note}")
    if ensemble.size > 1:
        for folder in dict.fromkeys(job.output.parent for job in jobs):
            if cases := list(recorded_uncertainty(folder)):
                write_uncertainty(cases, folder)
    return outcome


def with_sides_of(run: Run, dataset: Dataset) -> Dataset:
    """The dataset with the sides that a run was trained with; cases that the run doesn't know keep their own.

    A case is the run's if id, patient and modality are and if its image is: at the same place, or, where the run's
    image still lies elsewhere, of the same content. Another study may well have a case of that name.
    """
    known = {case.id: case for case in run.dataset.cases if case.split is not None}
    sides = {
        case.id: known[case.id].split or ""
        for case in dataset.cases
        if case.id in known and _is_same_scan(case, known[case.id])
    }
    return with_splits(dataset, sides)


def _is_same_scan(case: CaseEntry, known: CaseEntry) -> bool:
    if (case.patient, case.modality) != (known.patient, known.modality):
        return False
    if case.image.resolve() == known.image.resolve() or not (case.image.is_file() and known.image.is_file()):
        return True
    return content_hash(case.image) == content_hash(known.image)


def value_remarks(ensemble: Ensemble, jobs: Sequence[Job], dataset: Dataset | None = None) -> Iterator[str]:
    """A line for every modality whose label maps carry other numbers than a person may expect, and what they are.

    That is where the run's own label maps contradict each other, and where `dataset`, which lists the images, uses
    other numbers than the run's.
    """
    for modality in dict.fromkeys(job.modality for job in jobs):
        values = values_of(ensemble, modality)
        listed = ", ".join(f"{value} {name}" for name, value in values.items())
        clash = ensemble.predictors[0].run.dataset.value_clash(modality)
        if clash is not None:
            yield f"{clash}; predictions carry class numbers: {listed}"
        elif dataset is not None and modality in dataset.modalities and dataset.of(modality, labeled=True):
            theirs = dict(zip(dataset.classes, dataset.source_values(modality), strict=True))
            differing = [name for name, value in values.items() if theirs.get(name, value) != value]
            if differing:
                yield (
                    f"{modality}: predictions carry the run's label values ({listed}), not those of {dataset.name}, "
                    f"which differ for {', '.join(differing)}; evaluate reads each prediction's record"
                )


def remarks(ensemble: Ensemble, jobs: Sequence[Job], dataset: Dataset | None = None) -> Iterator[str]:
    """What to know before these jobs are predicted, a line each: `value_remarks` and `mirror_remarks`."""
    yield from value_remarks(ensemble, jobs, dataset)
    yield from mirror_remarks(ensemble)


def mirror_remarks(ensemble: Ensemble) -> Iterator[str]:
    """A line for every run whose mirrored forms exchange the left and the right one of paired organs."""
    for predictor in ensemble.predictors:
        run = predictor.run
        if said := mirror_warning(run.dataset.classes, run.recipe.preprocessing.plane, predictor.mirrored):
            yield f"{run.folder}: {said}"


def seen_in_training(ensemble: Ensemble, jobs: Sequence[Job]) -> list[tuple[Path, list[str]]]:
    """For each run that was trained or validated on some of the jobs' images (by path): its folder, the jobs' names."""
    found = []
    for predictor in ensemble.predictors:
        cases = predictor.run.dataset.cases
        seen = {case.image.resolve() for case in cases if case.split in ("train", "validation")}
        names = [job.name for job in jobs if job.image.resolve() in seen]
        found += [(predictor.run.folder, names)] if names else []
    return found


def _predict_unless_done(job: Job, ensemble: Ensemble, probabilities: bool, overwrite: bool) -> tuple[str, ...] | None:
    """What the image's header left open, after the job's files were written; None if they were there already."""
    if not overwrite and _is_done(job, ensemble, probabilities):
        return None
    return _predict(job, ensemble, probabilities)


def _predict(job: Job, ensemble: Ensemble, probabilities: bool) -> tuple[str, ...]:
    """Segment one image and write all there is about it; the label map comes last, so where it is, the rest is too.

    Returns what the image's header left open (`Image.notes`).
    """
    source = Source(str(job.image), content_hash(job.image))  # before it is read: what comes later shows as another
    image = read_image(job.image)
    found = ensemble.segment_case(image, job.modality, keep_probabilities=probabilities)
    uncertainty = None
    if found.members:
        voxel_ml = float(np.prod(image.spacing_mm)) / 1000
        uncertainty = measure_uncertainty(
            found.label_map, found.members, voxel_ml, ensemble.classes, job.name, job.modality
        )
    job.output.unlink(missing_ok=True)  # an old one must not stand beside a new record if we are stopped in between
    if probabilities:
        write_probabilities(
            probabilities_path(job.output), found.probabilities(), image.array.shape, image.affine, ensemble.classes
        )
    write_record(make_record(ensemble, job.name, job.modality, source, uncertainty), job.output)
    write_image(job.output, ensemble.source_values(found.label_map, job.modality), image.affine)
    return image.notes


def _is_done(job: Job, ensemble: Ensemble, probabilities: bool) -> bool:
    """Whether a job's files are there. InputError if its label map is there but made of other things."""
    if not job.output.exists():
        return False
    difference = _difference(job, ensemble)
    if difference is not None:
        raise InputError(f"{job.output} {difference}; --overwrite redoes it, or name another folder")
    return not probabilities or probabilities_path(job.output).is_file()


def _difference(job: Job, ensemble: Ensemble) -> str | None:
    """What sets the label map that is there apart from the one that would be made now; None if nothing does."""
    record = read_record(job.output)
    if record is None:
        return "is there without a record of how it was made"
    if record.image is None:
        return "was made by a version that did not note of which image"
    if record.image.sha256 != content_hash(job.image):
        return f"was made of another image ({record.image.file} as it was then), not of {job.image}"
    made = {**record.settings, "modality": record.modality, "label values": dict(record.values)}
    wanted = {
        "modality": job.modality,
        **settings_of(ensemble, job.modality),
        "label values": values_of(ensemble, job.modality),
    }
    for name, value in wanted.items():
        if made.get(name) != value:
            return f"was made in another way ({name} {made.get(name)} there, {value} here)"
    return None


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
