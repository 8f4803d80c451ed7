"""A study's cells as tasks of Ray: each runs where the cluster has room, in a process of its own as everywhere.

Ray starts on this machine alone, unless the variable RAY_ADDRESS names a cluster. All machines see the same files at
the same paths, and have the package. A machine that is lost is its cells' failure; the next call tries them again.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpaired.errors import InputError
from unpaired.experiments.processes import THREADS, Answer, Places, Process, waited
from unpaired.experiments.tasks import Task
from unpaired.inference.on_ray import Node, Share, connected, nodes_of, require_ray, shares

ALL = 10**6
"""More tasks than there are cells: every machine gets what it has room for."""


@contextmanager
def places_on_ray(jobs: int | None, threads: int | None, device: str) -> Generator[tuple[Places, str]]:
    """Where a cluster computes, and on which device ("cuda" or "cpu"); Ray is connected while the block runs.

    jobs: tasks at a time; None: as many as there is room for, with so many `threads`, on GPUs one each. Raises
    InputError without Ray, for more jobs than cores, and for numbers below 1.
    """
    require_ray()
    with connected() as ray:
        share = share_of(nodes_of(ray), jobs, threads, device == "auto" or device.startswith("cuda"))
        if device.startswith("cuda") and not share.gpus:
            raise InputError("Ray's machines have no GPU; leave the device out, or name --device cpu")
        yield Places(share.actors, share.cores, (), OnRay(ray, share, Path.cwd())), "cuda" if share.gpus else "cpu"


def share_of(nodes: list[Node], jobs: int | None, threads: int | None, gpu: bool) -> Share:
    """How many tasks run at a time, and what each gets. Raises InputError where that is none."""
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be 1 or more, got {value}")
    if threads is None or (gpu and any(node.gpus for node in nodes)):
        return shares(nodes, jobs, gpu, ALL)
    room = sum(node.cores // threads for node in nodes)
    if not room:
        raise InputError(
            f"{threads} threads fit on none of Ray's machines, the largest has {max(n.cores for n in nodes)}"
        )
    return Share(min(jobs or room, room), threads)


@dataclass(frozen=True)
class OnRay:
    """Starts tasks on a cluster; each gets a share of it. `place` is the folder that relative paths are of."""

    ray: Any
    share: Share
    place: Path

    def __call__(self, task: Task, log: Path, environment: Mapping[str, str]) -> "RayTask":
        """The task, at work or waiting for room. Its threads are the cores that Ray gives it."""
        remote = self.ray.remote(do).options(num_cpus=self.share.cores, num_gpus=self.share.gpus, max_retries=0)
        return RayTask(self.ray, remote.remote(task, log, {THREADS: str(self.share.cores)}, self.place))


class RayTask:
    """A task of Ray's as `processes.Running`."""

    def __init__(self, ray: Any, call: Any) -> None:
        self._ray, self._call = ray, call

    def stop(self) -> None:
        """As `Running` has it: the process on the other machine saves first."""
        self._ray.cancel(self._call)

    def answer(self) -> Answer | None:
        """As `Running` has it. A machine or a process of Ray's that died is a failure."""
        done, _ = self._ray.wait([self._call], timeout=0)
        if not done:
            return None
        try:
            return self._ray.get(self._call)
        except self._ray.exceptions.TaskCancelledError:
            return Answer()
        except self._ray.exceptions.RayError as error:
            return Answer(failure=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def do(task: Task, log: Path, environment: Mapping[str, str], place: Path) -> Answer:
    """What Ray runs on some machine: a process for the task, which saves and stops when the task is canceled."""
    os.chdir(place)
    process = Process(task, log, environment)
    try:
        return waited(process)
    except KeyboardInterrupt:
        process.stop()
        return waited(process)
