"""What to know before scans are segmented: whose norms, which label values, which sides a mirrored form exchanges."""

from collections.abc import Iterator, Sequence

from unpaired.data.dataset import Dataset
from unpaired.data.sides import mirror_warning
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Job
from unpaired.inference.record import values_of


def remarks(ensemble: Ensemble, jobs: Sequence[Job], dataset: Dataset | None = None) -> Iterator[str]:
    """What to know before these jobs are predicted, a line each."""
    yield from norm_remarks(ensemble, jobs)
    yield from value_remarks(ensemble, jobs, dataset)
    yield from mirror_remarks(ensemble)


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
