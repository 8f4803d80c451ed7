"""An archive segmented by Ray: actors load the networks once and take the jobs of the same list, on any machine.

Ray starts on this machine alone, unless the variable RAY_ADDRESS names a cluster (as `ray.init` has it). All machines
see the same files at the same paths. Nothing is reported to Ray's makers, unless RAY_USAGE_STATS_ENABLED says so.
"""

import os
import signal
import threading
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError, UnwritableError
from unpaired.failures import reason_for
from unpaired.inference.backends.packages import require_packages
from unpaired.inference.dispatch import Answer, Died, Ready, Said, Wrong, dispatch
from unpaired.inference.ensemble import Ensemble
from unpaired.inference.jobs import Event, Job, Remark
from unpaired.inference.opened import Group, Tell, loaded_ensemble, tell_remarks
from unpaired.inference.predict_files import clear_outputs, predict_job, require_known, tell_agreement
from unpaired.inference.request import How, RayWishes, Request
from unpaired.inference.shards import largest_first
from unpaired.runs.run import Run

CORES_EACH = 4
"""So many cores an actor gets if nobody says how many actors there are: more pay less and less."""
STORE_BYTES = 100 * 2**20
"""Ray's memory for objects that processes share, where it is started here: jobs and answers alone go through it."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that this will change
}


def require_ray() -> None:
    """Raise InputError if Ray isn't installed."""
    require_packages("--on ray", "ray")


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class Share:
    """How many actors there are, and what each gets."""

    actors: int
    cores: int
    gpus: float = 0.0


class Segments:
    """What an actor is: the networks of some runs, loaded once, and one job after the other."""

    def __init__(self, request: Request, folders: Sequence[Path], place: Path) -> None:
        self._request, self._folders, self._place = request, folders, place
        self._ensemble: Ensemble | None = None
        self._said: list[Remark] = []

    def load(self, jobs: Sequence[Job], dataset: Dataset | None) -> tuple[Ready | Wrong, bool]:
        """Load the networks and look at all jobs; and whether predictions are averaged."""
        try:
            os.chdir(self._place)  # paths may be relative to where the command was typed
            runs = [Run.open(folder, self._request.trust) for folder in self._folders]
            self._ensemble = loaded_ensemble(self._request, runs, self._note)
            tell_remarks(self._ensemble, jobs, dataset, self._note)
            require_known(self._ensemble, jobs)
        except Exception as error:  # noqa: BLE001 (whatever it is, the process that asked says so)
            return Wrong(reason_for(error), isinstance(error, UnwritableError)), False
        return Ready(self._remarks()), self._ensemble.size > 1

    def segment(self, job: Job) -> Answer | Wrong:
        """Do one job."""
        assert self._ensemble is not None  # `load` comes first
        probabilities, overwrite = self._request.probabilities, self._request.overwrite
        try:
            result = predict_job(job, self._ensemble, probabilities=probabilities, overwrite=overwrite)
        except UnwritableError as error:
            return Wrong(str(error), unwritable=True)
        return Answer(result, self._remarks())

    def _note(self, event: Event) -> None:
        if isinstance(event, Remark):
            self._said.append(event)

    def _remarks(self) -> tuple[Remark, ...]:
        """What was said since the last time."""
        said = tuple(self._said)
        self._said.clear()
        return said


def predict_on_ray(
    request: Request, groups: Sequence[Group], wishes: RayWishes, tell: Tell, finished: Collection[Path] = ()
) -> None:
    """Do a request's jobs by Ray's actors, the largest first, and tell of each; those that are `finished` are left.

    Raises InputError for what fits no case, and if there are fewer cores than actors asked for.
    """
    tell = _remarks_once(tell)
    all_jobs = [job for group in groups for job in group.jobs]
    clear_outputs(all_jobs)
    try:
        with connected() if groups else nullcontext() as ray:
            for group in groups:
                _predict_group(ray, request, group, wishes, tell, finished)
    finally:
        clear_outputs(all_jobs)


def _predict_group(
    ray: Any, request: Request, group: Group, wishes: RayWishes, tell: Tell, finished: Collection[Path]
) -> None:
    jobs = [job for job in largest_first(group.jobs) if job.output not in finished]
    share = shares(nodes_of(ray), wishes.actors, _wants_gpu(request.how), len(jobs))
    on_gpus = f", GPUs {share.gpus:.2g}" if share.gpus else ""
    tell(Remark(f"note: Ray starts {share.actors} processes; each gets: cores {share.cores}{on_gpus}"))
    actors = Actors(ray, request, group, share)
    try:
        dispatch(jobs, actors, tell)
    finally:
        actors.end()
    tell_agreement(group.jobs, actors.averaged, tell)


class Actors:
    """Ray's actors as `dispatch.Workers`: one that is started anew may be wherever Ray has room."""

    def __init__(self, ray: Any, request: Request, group: Group, share: Share) -> None:
        self.count = share.actors
        self.averaged = False
        """Whether label maps are averaged from several predictions; known once an actor is ready."""
        self._ray = ray
        self._kind = ray.remote(Segments).options(num_cpus=share.cores, num_gpus=share.gpus)
        self._asked = [ray.put(part) for part in (request, [run.folder for run in group.runs], Path.cwd())]
        self._about = [ray.put(part) for part in (group.jobs, group.dataset)]
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, int] = {}

    def start(self, worker: int) -> None:
        """As `Workers` has it. One that seems dead may only be out of reach: it is ended."""
        if worker in self._actors:
            self._ray.kill(self._actors[worker])
        self._actors[worker] = self._kind.remote(*self._asked)
        self._calls[self._actors[worker].load.remote(*self._about)] = worker

    def end(self) -> None:
        """Stop them all; what they were given is not done."""
        for actor in self._actors.values():
            self._ray.kill(actor)

    def give(self, worker: int, job: Job) -> None:
        """As `Workers` has it."""
        self._calls[self._actors[worker].segment.remote(job)] = worker

    def wait(self) -> tuple[int, Said]:
        """As `Workers` has it."""
        (call, *_), _ = self._ray.wait(list(self._calls), num_returns=1)
        worker = self._calls.pop(call)
        try:
            said: Said | tuple[Said, bool] = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            return worker, Died(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        if isinstance(said, tuple):
            self.averaged |= said[1]
            return worker, said[0]
        return worker, said


def shares(nodes: Sequence[Node], actors: int | None, gpu: bool, jobs: int) -> Share:
    """How many actors, and what each gets, so that all fit: each on one machine, none without a job.

    Without a number, one per GPU, or one per `CORES_EACH` cores. With more actors than GPUs several share one.
    """
    if actors is not None and actors < 1:
        raise InputError(f"expected at least 1 actor, got {actors}")
    with_gpus = [node for node in nodes if node.gpus] if gpu else []
    if with_gpus:
        gpus = sum(node.gpus for node in with_gpus)
        count = min(actors or gpus, max(jobs, 1))
        on_each = ceil(count / gpus)
        cores = min(node.cores // (node.gpus * on_each) for node in with_gpus)
        return Share(count, max(1, cores), 1 / on_each)
    count = min(actors or max(1, sum(node.cores // CORES_EACH for node in nodes)), max(jobs, 1))
    for cores in range(max(node.cores for node in nodes), 0, -1):
        if sum(node.cores // cores for node in nodes) >= count:
            return Share(count, cores)
    raise InputError(f"{count} actors need as many cores, Ray has {sum(node.cores for node in nodes)}; ask for fewer")


def nodes_of(ray: Any) -> list[Node]:
    """The machines of the cluster that Ray is connected to."""
    totals = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(total.get("CPU", 0)), int(total.get("GPU", 0))) for total in totals]


def _wants_gpu(how: How) -> bool:
    return how.backend == "torch" and (how.device == "auto" or how.device.startswith("cuda"))


def _remarks_once(tell: Tell) -> Tell:
    """Each actor says alike what it chose: that is told once."""
    said: set[str] = set()

    def once(event: Event) -> None:
        if not isinstance(event, Remark) or event.text not in said:
            tell(event)
        if isinstance(event, Remark):
            said.add(event.text)

    return once


@contextmanager
def connected() -> Generator[Any]:
    """Ray, started here or connected to; left as it is if the caller has connected it already.

    Raises InputError where it can't be started or reached.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    ray: Any = import_module("ray")
    if ray.is_initialized():
        yield ray
        return
    own = {} if os.environ.get("RAY_ADDRESS") else {"address": "local", "object_store_memory": STORE_BYTES}
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with _connection_errors():
            ray.init(log_to_driver=False, include_dashboard=False if own else None, logging_level="ERROR", **own)
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)  # Ray's would leave without cleaning up
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _connection_errors() -> Generator[None]:
    try:
        yield
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"Ray can't be started or reached ({said}); see `ray status` and RAY_ADDRESS") from error
