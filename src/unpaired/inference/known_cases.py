"""Which scans a run knows from its training: they keep its sides, and are no test of it."""

from collections.abc import Sequence
from pathlib import Path

from unpaired.data.content import content_hash
from unpaired.data.dataset import CaseEntry, Dataset, with_splits
from unpaired.files import resolved
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Job
from unpaired.runs.run import Run


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
