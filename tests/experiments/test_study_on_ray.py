"""A study on Ray: what each cell gets, what becomes of a task, and, where it is asked for, two rows on a real one."""

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_study import hearts, tiny_study

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.experiments.on_ray import OnRay, RayTask, share_of
from unpaired.experiments.processes import TOLD, Answer, Places, in_processes
from unpaired.experiments.run import study
from unpaired.inference.on_ray import Node, Share


class RayError(Exception):
    """As `ray.exceptions` has it."""


class TaskCancelledError(RayError):
    """As `ray.exceptions` has it."""


class Ray:
    """A cluster of this process: a task is done when it is asked for; `said` is what `get` raises."""

    exceptions = SimpleNamespace(RayError=RayError, TaskCancelledError=TaskCancelledError)

    def __init__(self, said: Exception | None = None) -> None:
        self.said, self.asked = said, list[dict[str, Any]]()

    def remote(self, function: Any) -> Any:
        def options(**wishes: Any) -> Any:
            self.asked.append(wishes)
            return SimpleNamespace(remote=function)

        return SimpleNamespace(options=options)

    def wait(self, calls: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return calls, []

    def get(self, call: Any) -> Any:
        if self.said is not None:
            raise self.said
        return call


@pytest.mark.parametrize(
    ("nodes", "jobs", "threads", "gpu", "share"),
    [
        ([Node(16, 0)], None, None, False, Share(4, 4)),
        ([Node(16, 0), Node(6, 0)], None, 4, False, Share(5, 4)),
        ([Node(16, 0)], 3, 4, False, Share(3, 4)),
        ([Node(16, 2), Node(64, 0)], None, 4, True, Share(2, 8, 1.0)),
        ([Node(16, 2)], None, 4, False, Share(4, 4)),
    ],
)
def test_each_task_gets_a_share(
    nodes: list[Node], jobs: int | None, threads: int | None, gpu: bool, share: Share
) -> None:
    assert share_of(nodes, jobs, threads, gpu) == share


@pytest.mark.parametrize(
    ("jobs", "threads", "says"),
    [
        (0, None, "jobs must be 1 or more, got 0"),
        (None, 0, "threads must be 1 or more, got 0"),
        (None, 8, "8 threads fit on none of Ray's machines, the largest has 4"),
    ],
)
def test_what_fits_no_machine_is_one_line(jobs: int | None, threads: int | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        share_of([Node(2, 0), Node(4, 0)], jobs, threads, False)


def test_a_task_is_a_process_with_the_cores_that_ray_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that the command was typed in."""
    monkeypatch.chdir(tmp_path.parent)
    ray, answers = Ray(), list[Answer]()
    places = Places(1, 3, (), OnRay(ray, Share(1, 3, 0.5), tmp_path))
    assert not places.are_here
    log = Path("logs") / "task.log"
    in_processes(
        [[(partial(dict, seconds=1.5), log)]], places, lambda *_: "begin", lambda _, __, said: answers.append(said)
    )
    assert answers == [Answer({"seconds": 1.5})]
    assert (tmp_path / log).is_file()
    assert ray.asked == [{"num_cpus": 3, "num_gpus": 0.5, "max_retries": 0}]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (TaskCancelledError("told to stop"), Answer()),
        (RayError("the node\nwas lost"), Answer(failure="RayError: the node was lost")),
    ],
)
def test_a_machine_that_is_lost_is_a_failure_and_a_stop_is_none(said: Exception, answer: Answer) -> None:
    assert RayTask(Ray(said), "call").answer() == answer


def test_a_stop_that_this_call_did_not_ask_for_is_a_failure(tmp_path: Path) -> None:
    """Somebody canceled the task, or sent its process SIGTERM: a cell would be missing without a word."""
    places = Places(start=lambda *_: RayTask(Ray(TaskCancelledError("told to stop")), "call"))
    answers: list[Answer] = []
    chain = [(partial(dict, seconds=1.5), tmp_path / "log")] * 2
    in_processes([chain], places, lambda *_: "begin", lambda _, __, said: answers.append(said))
    assert answers == [Answer(failure=TOLD)]


def test_ray_needs_processes(phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Ray's tasks are processes of their own"):
        study(tiny_study(), hearts(phantom), tmp_path, on="ray", worker=False)
    monkeypatch.setattr("unpaired.inference.backends.packages.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--on ray needs the package ray, .*: pip install 'unpaired\[ray\]'"):
        study(tiny_study(), hearts(phantom), tmp_path, on="ray")


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("UNPAIRED_TEST_RAY") or find_spec("ray") is None,
    reason="Ray takes long to start: set UNPAIRED_TEST_RAY",
)
def test_two_rows_on_a_real_ray(phantom: Dataset, tmp_path: Path) -> None:
    made = study(tiny_study(), hearts(phantom), tmp_path, on="ray", jobs=2, device="cpu", viewer_mb=0)
    assert not made.failures
    assert [row.done for row in made.rows] == [1, 1]
    assert made.compared is not None
