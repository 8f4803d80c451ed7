"""Many files to label maps, with the networks loaded once: what is done already, what is done now, what failed."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset, with_splits
from unpaired.data.images import image_bytes
from unpaired.data.prediction_record import Written, difference_from_record, read_record, write_record
from unpaired.data.probability_maps import write_probabilities
from unpaired.data.sides import mirror_warning
from unpaired.errors import InputError
from unpaired.failures import attempt
from unpaired.files import clear_leftovers, remove, require_writable, resolved, write_bytes
from unpaired.inference.dicom_jobs import read_scan, source_of
from unpaired.inference.dicom_objects import objects_are_there, objects_difference, remove_objects, write_objects
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Agreement, Begun, CaseResult, Event, Job, Outcome
from unpaired.inference.predictor import Predictor
from unpaired.inference.preparation import PREPARATION, preparation_difference
from unpaired.inference.record import make_record, probabilities_path, recorded_uncertainty, settings_of, values_of
from unpaired.runs.folder import UNCERTAINTY, UNCERTAINTY_TABLE
from unpaired.runs.run import Run
from unpaired.scores.trust.uncertainty import measure_uncertainty, write_uncertainty


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

    A label map that was made of another image (by content) or in another way, that isn't the file that its record
    tells of, or that was made by nobody knows whom because it has no record, is a failure of its case, never taken for
    done and never overwritten unasked. So is a scan of a modality that a run doesn't know, or one that contradicts it.
    Raises InputError before anything is written if no job's modality is known, and `UnwritableError` when the disk is
    full.
    """
    ensemble = predictor if isinstance(predictor, Ensemble) else Ensemble([predictor])
    outcome = Outcome()

    def tell(event: Event) -> None:
        for line in event.lines() if isinstance(event, CaseResult) else ():
            report(line)

    predict_jobs(ensemble, jobs, outcome.telling(tell), probabilities=probabilities, overwrite=overwrite)
    return outcome


def predict_jobs(
    ensemble: Ensemble,
    jobs: Sequence[Job],
    tell: Callable[[Event], None],
    *,
    probabilities: bool,
    overwrite: bool,
    finished: Collection[Path] = (),
) -> None:
    """Do what `predict_files` does, told event by event; jobs whose output is `finished` are left as they are."""
    require_known(ensemble, jobs)
    clear_outputs(jobs)
    for job in jobs:
        if job.output not in finished:
            tell(Begun(job.name, job.output))
            tell(predict_job(job, ensemble, probabilities=probabilities, overwrite=overwrite))
    tell_agreement(jobs, ensemble.size > 1, tell)


def require_known(ensemble: Ensemble, jobs: Sequence[Job]) -> None:
    """Raise InputError if there are jobs, and the networks know the modality of none."""
    if jobs and not any(ensemble.knows(job.modality) for job in jobs):
        ensemble.check_modality(jobs[0].modality)


def clear_outputs(jobs: Sequence[Job]) -> None:
    """Delete what processes of this machine that were killed have left where the jobs' files go."""
    for folder in {job.output.parent for job in jobs} | {probabilities_path(job.output).parent for job in jobs}:
        clear_leftovers(folder)


def tell_agreement(jobs: Sequence[Job], averaged: bool, tell: Callable[[Event], None]) -> None:
    """Write the tables of how far predictions agree, in every folder of the jobs, by the records that lie there now.

    They are told of where predictions were `averaged`. Elsewhere older tables alone are brought up to date, silently.
    """
    for folder in dict.fromkeys(job.output.parent for job in jobs):
        if not averaged and not (folder / UNCERTAINTY).is_file():
            continue
        if _write_agreement(folder) and averaged:
            tell(Agreement(folder / UNCERTAINTY_TABLE))


def _write_agreement(folder: Path) -> bool:
    """Whether a folder holds records of averaged predictions; if so they are tabled, else no older table is left."""
    cases = list(recorded_uncertainty(folder))
    if cases:
        write_uncertainty(cases, folder)
    else:
        for name in (UNCERTAINTY, UNCERTAINTY_TABLE):
            remove(folder / name)
    return bool(cases)


def predict_job(job: Job, ensemble: Ensemble, *, probabilities: bool, overwrite: bool) -> CaseResult:
    """What became of one job, as `predict_files` does it. Raises `UnwritableError` when the disk is full."""
    notes, failure = attempt(partial(_predict_unless_done, job, ensemble, probabilities, overwrite))
    if failure is not None:
        return CaseResult(job.name, job.output, "failed", failure)
    if notes is None:
        return CaseResult(job.name, job.output, "skipped")
    return CaseResult(job.name, job.output, "written", notes=notes)


def with_sides_of(run: Run, dataset: Dataset) -> Dataset:
    """The dataset with the sides that a run was trained with; cases that the run doesn't know keep their own.

    A case is the run's if id, patient and modality are and if its image is: at the same place, or, where the run's
    image still lies elsewhere, of the same content. Another study may well have a case of that name.
    """
    return with_splits(dataset, sides_in(run, dataset))


def sides_in(run: Run, dataset: Dataset) -> dict[str, str]:
    """{case id: side} of the dataset's cases that a run was trained with, or that it keeps for testing."""
    known = {case.id: case for case in run.dataset.cases if case.split is not None}
    return {
        case.id: known[case.id].split or ""
        for case in dataset.cases
        if case.id in known and _is_same_scan(case, known[case.id])
    }


def _is_same_scan(case: CaseEntry, known: CaseEntry) -> bool:
    if (case.patient, case.modality) != (known.patient, known.modality):
        return False
    if resolved(case.image) == resolved(known.image) or not (case.image.is_file() and known.image.is_file()):
        return True
    return content_hash(case.image) == content_hash(known.image)


def value_remarks(ensemble: Ensemble, jobs: Sequence[Job], dataset: Dataset | None = None) -> Iterator[str]:
    """A line for every modality whose label maps carry other numbers than a person may expect, and what they are.

    That is where the run's own label maps contradict each other, and where `dataset`, which lists the images, uses
    other numbers than the run's.
    """
    for modality in filter(ensemble.knows, dict.fromkeys(job.modality for job in jobs)):
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
    yield from norm_remarks(ensemble, jobs)
    yield from value_remarks(ensemble, jobs, dataset)
    yield from mirror_remarks(ensemble)


def norm_remarks(ensemble: Ensemble, jobs: Sequence[Job]) -> Iterator[str]:
    """A line for every modality that a run was not trained on and segments as another one."""
    for modality in dict.fromkeys(job.modality for job in jobs):
        for predictor in ensemble.predictors:
            if modality not in predictor.run.modalities and predictor.norms.of is not None:
                yield (
                    f"{predictor.run.called} was not trained on {modality}: its scans are segmented as "
                    f"{predictor.norms.of}; check on scans with labels what that is worth"
                )


def mirror_remarks(ensemble: Ensemble) -> Iterator[str]:
    """A line for every run whose mirrored forms exchange the left and the right one of paired organs."""
    for predictor in ensemble.predictors:
        run = predictor.run
        plane, swaps = run.recipe.preprocessing.plane, run.recipe.augmentation.mirror_swaps
        if said := mirror_warning(run.dataset.classes, plane, predictor.mirrored, swaps):
            yield f"{run.called}: {said}"


def seen_in_training(ensemble: Ensemble, jobs: Sequence[Job]) -> list[tuple[Path, list[str]]]:
    """For each run that was trained or validated on some of the jobs' images (by path): its folder, the jobs' names.

    An unlabeled scan is one of them where the run's recipe takes such scans.
    """
    familiar: list[tuple[Path, list[str]]] = []
    for predictor in ensemble.predictors:
        run = predictor.run
        cases = run.dataset.of(split="train", labeled=None if run.recipe.unlabeled_batch_size else True)
        cases += run.dataset.of(split="validation", labeled=True)
        seen = {resolved(case.image) for case in cases}
        names = [job.name for job in jobs if resolved(job.image) in seen]
        familiar += [(predictor.run.folder, names)] if names else []
    return familiar


def _predict_unless_done(job: Job, ensemble: Ensemble, probabilities: bool, overwrite: bool) -> tuple[str, ...] | None:
    """What is to be told of the image, after the job's files were written; None if they were there already."""
    ensemble.check_modality(job.modality)
    if not overwrite and _is_done(job, ensemble, probabilities):
        return None
    return _predict(job, ensemble, probabilities)


def _predict(job: Job, ensemble: Ensemble, probabilities: bool) -> tuple[str, ...]:
    """Segment one image and write all there is about it; the label map comes last, so where it is, the rest is too.

    Returns what the image's header left open (`Image.notes`) and what is unusual about it.
    """
    require_writable(job.output)
    source = source_of(job)  # before it is read: what comes later shows as another
    image = read_scan(job)
    segmentation = ensemble.segment_case(image, job.modality, keep_probabilities=probabilities)
    uncertainty = None
    if segmentation.members:
        voxel_ml = float(np.prod(image.spacing_mm)) / 1000
        uncertainty = measure_uncertainty(
            segmentation.label_map, segmentation.members, voxel_ml, ensemble.classes, job.name, job.modality
        )
    remove(job.output)  # an old one must not stand beside a new record if we are stopped in between
    remove_objects(job.output)
    remove(probabilities_path(job.output))  # nor old probabilities beside a new label map, ever
    if probabilities:
        write_probabilities(
            probabilities_path(job.output),
            segmentation.probabilities(),
            image.array.shape,
            image.affine,
            ensemble.classes,
        )
    write_objects(job, ensemble, segmentation.label_map, image)
    content = image_bytes(job.output, ensemble.source_values(segmentation.label_map, job.modality), image.affine)
    record = make_record(ensemble, job.name, job.modality, source, uncertainty, Written.of(content))
    write_record(record, job.output)
    write_bytes(job.output, content)
    return (*image.notes, *ensemble.remarks(image, job.modality))


def _is_done(job: Job, ensemble: Ensemble, probabilities: bool) -> bool:
    """Whether a job's files are there. InputError if its label map is there but made of other things."""
    if not job.output.exists():
        return False
    difference = _difference(job, ensemble)
    if difference is not None:
        raise InputError(f"{job.output} {difference}; --overwrite redoes it, or name another folder")
    if (different := objects_difference(job)) is not None:
        raise InputError(f"{different}; --overwrite redoes it, or name another folder")
    return objects_are_there(job) and (not probabilities or probabilities_path(job.output).is_file())


def _difference(job: Job, ensemble: Ensemble) -> str | None:
    """What sets the label map that is there apart from the one that would be made now; None if nothing does."""
    record = read_record(job.output)
    if record is None:
        return "is there without a record of how it was made"
    if record.image is None:
        return "was made by a version that did not note of which image"
    if (changed := difference_from_record(record, job.output)) is not None:
        return f"was corrected, cut short or replaced since it was predicted ({changed})"
    source = source_of(job)
    if record.image.sha256 != source.sha256:
        return f"was made of another image ({record.image.file} as it was then), not of {source.file}"
    made = {**record.settings, "modality": record.modality, "label values": dict(record.values)}
    wanted = {
        "modality": job.modality,
        **settings_of(ensemble, job.modality),
        "label values": values_of(ensemble, job.modality),
    }
    for name, value in wanted.items():
        if name == PREPARATION:
            if (other := preparation_difference(made.get(name), ensemble.predictors, job.modality)) is not None:
                return f"was made in another way ({name} {other})"
        elif made.get(name) != value:
            return f"was made in another way ({name} {made.get(name)} there, {value} here)"
    return None
