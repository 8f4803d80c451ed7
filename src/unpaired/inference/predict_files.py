"""Many files to label maps, with the networks loaded once: what is done already, what is done now, what failed."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unpaired.data.images import image_bytes
from unpaired.data.prediction_record import Written, write_record
from unpaired.data.probability_maps import write_probabilities
from unpaired.failures import attempt
from unpaired.files import clear_leftovers, remove, require_writable, write_bytes
from unpaired.inference.dicom_jobs import read_scan, source_of
from unpaired.inference.dicom_objects import remove_objects, write_objects
from unpaired.inference.done import is_done
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Agreement, Begun, CaseResult, Event, Job, Outcome
from unpaired.inference.predictor import Predictor
from unpaired.inference.record import make_record, probabilities_path, recorded_uncertainty
from unpaired.runs.folder import UNCERTAINTY, UNCERTAINTY_TABLE
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


def _predict_unless_done(job: Job, ensemble: Ensemble, probabilities: bool, overwrite: bool) -> tuple[str, ...] | None:
    """What is to be told of the image, after the job's files were written; None if they were there already."""
    ensemble.check_modality(job.modality)
    if not overwrite and is_done(job, ensemble, probabilities):
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
