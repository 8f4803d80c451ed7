"""A request carried out: in this process, one job after the other, or by Ray's, as the request says."""

from collections.abc import Collection
from pathlib import Path

from unpaired.inference.on_ray import predict_on_ray, require_ray
from unpaired.inference.opened import Group, Tell, loaded_ensemble, opened_request, tell_remarks
from unpaired.inference.predict_files import predict_jobs
from unpaired.inference.request import Request


def predict_requested(request: Request, tell: Tell, finished: Collection[Path] = ()) -> None:
    """Do what is asked for and tell of it; jobs whose output is `finished` are left as they are.

    Raises InputError for what fits no case, as `unpaired.predict` says.
    """
    if request.ray is not None:
        require_ray()
        predict_on_ray(request, opened_request(request, tell), request.ray, tell, finished)
        return
    for group in opened_request(request, tell):
        _predict_together(request, group, tell, finished)


def _predict_together(request: Request, group: Group, tell: Tell, finished: Collection[Path]) -> None:
    """Load the networks of some runs, and let them do their jobs."""
    ensemble = loaded_ensemble(request, group.runs, tell)
    tell_remarks(ensemble, group.jobs, group.dataset, tell)
    predict_jobs(
        ensemble,
        group.jobs,
        tell,
        probabilities=request.probabilities,
        overwrite=request.overwrite,
        finished=finished,
    )
