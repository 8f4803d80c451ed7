"""A request opened: the jobs that it names and who does them, networks loaded, and what to know before they work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.choices import counted
from unpaired.data.dataset import Dataset
from unpaired.data.manifest import is_manifest, read_dataset
from unpaired.data.simulated import left_out
from unpaired.inference.dicom_jobs import dicom_jobs, is_dicom
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.folds import judged_by_folds
from unpaired.inference.jobs import Event, Job, Remark, plan
from unpaired.inference.known_cases import seen_in_training, with_sides_of
from unpaired.inference.modality_guess import with_modalities
from unpaired.inference.predictor import Predictor
from unpaired.inference.remarks import remarks
from unpaired.inference.request import How, Request
from unpaired.inference.shards import jobs_of_shard
from unpaired.runs.postprocessing import left_out_of_several, postprocessing_of
from unpaired.runs.run import Run

Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Group:
    """Jobs of a request that the same runs do together, and the dataset that lists them, if one does."""

    runs: tuple[Run, ...]
    jobs: list[Job]
    dataset: Dataset | None


def opened_request(request: Request, tell: Tell) -> list[Group]:
    """Open a request's runs, without networks, and list its jobs, those of its shard, by the runs that do them.

    Raises InputError for what fits no case.
    """
    members = [Run.open_all(path, request.trust) for path in request.runs]
    runs = [run for together in members for run in together]
    images = request.images
    dataset = images if isinstance(images, Dataset) else None
    if isinstance(images, Path) and is_manifest(images):
        dataset = read_dataset(images)
    judged = None
    if dataset is not None and request.split is not None and any(len(together) > 1 for together in members):
        judged = judged_by_folds(runs, dataset, request.split, lambda line: tell(Remark(f"note: {line}")))
        dataset = judged.dataset
    elif dataset is not None:
        dataset = with_sides_of(runs[0], dataset)
    jobs = _jobs(runs[0], request, dataset, tell)
    if request.shard is not None:
        jobs = jobs_of_shard(jobs, request.shard)
        tell(Remark(f"note: shard {request.shard.number}/{request.shard.count} has {counted(len(jobs), 'case')}"))
    if dataset is None and request.modality is None and all(job.dicom is None for job in jobs):
        jobs = with_modalities(runs[0], jobs, lambda line: tell(Remark(f"note: {line}")))
    groups = judged.groups(jobs) if judged is not None else {tuple(runs): jobs} if jobs else {}
    return [Group(together, theirs, dataset) for together, theirs in groups.items()]


def loaded_ensemble(request: Request, runs: Sequence[Run], tell: Tell) -> Ensemble:
    """The networks of some runs, loaded, as a request wants them."""
    return _ensemble(runs, _with_postprocessing(request, runs, tell), tell)


def tell_remarks(ensemble: Ensemble, jobs: Sequence[Job], dataset: Dataset | None, tell: Tell) -> None:
    """What to know before the jobs are predicted."""
    for remark in remarks(ensemble, jobs, dataset):
        tell(Remark(f"note: {remark}"))
    for folder, names in seen_in_training(ensemble, jobs) if len(ensemble.predictors) > 1 else ():
        listed = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        tell(Remark(f"warning: {folder} was trained on {listed}: agreement and scores flatter there"))


def _jobs(run: Run, request: Request, dataset: Dataset | None, tell: Tell) -> list[Job]:
    images = dataset or request.images
    if not isinstance(images, Dataset) and is_dicom(images):

        def note(line: str) -> None:
            tell(Remark(f"note: {line}"))

        return dicom_jobs(run, images, request.out, request.modality, request.dicom, note)
    modality = request.modality or (None if isinstance(images, Dataset) else run.modalities[0])  # to be decided yet
    jobs = plan(images, request.out, modality, request.split)
    if isinstance(images, Dataset) and (said := left_out(images, modality, request.split)):
        tell(Remark(f"note: cases of {images.name}: {said}"))
    return jobs


def _with_postprocessing(request: Request, runs: Sequence[Run], tell: Tell) -> How:
    """How the runs predict: several from one folder with what was found for them together, others by the recipe of the
    first; a single run looks for what was found itself."""
    if len(runs) == 1 or request.how.postprocessing is not None:
        return request.how
    if len(request.runs) == 1:
        chosen, said = postprocessing_of(runs, request.how.weights)
    else:
        chosen, said = runs[0].recipe.postprocessing, left_out_of_several(runs)
    if said:
        tell(Remark(f"note: {said}"))
    return replace(request.how, postprocessing=chosen)


def _ensemble(runs: Sequence[Run], how: How, tell: Tell) -> Ensemble:
    return Ensemble(
        [
            Predictor(
                run,
                how.weights,
                how.device,
                postprocessing=how.postprocessing,
                backend=how.backend,
                precision=how.precision,
                engine=how.engine,
                overlap=how.overlap,
                mirror=how.mirror,
                mirror_anyway=how.mirror_anyway,
                turned=how.turned,
                modality_anyway=how.modality_anyway,
                norms_of=how.norms_of,
                adaptive_norms=how.adaptive_norms,
                report=lambda line: tell(Remark(f"note: {line}")),
            )
            for run in runs
        ]
    )
