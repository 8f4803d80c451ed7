"""Ray's actors: how they share a cluster, and, where it is asked for, two of them of which one is killed."""

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from small_network import SMALL
from unpaired.data.dataset import Dataset
from unpaired.data.images import write_image
from unpaired.errors import InputError
from unpaired.inference import on_ray
from unpaired.inference.on_ray import Node, Share, shares
from unpaired.inference.predict import predict
from unpaired.recipe import build_method
from unpaired.recipes.phantom import msbn
from unpaired.runs.run import Run


@pytest.mark.parametrize(
    ("nodes", "actors", "jobs", "share"),
    [
        ([Node(2, 0)], None, 9, Share(1, 2)),
        ([Node(16, 0)], None, 9, Share(4, 4)),
        ([Node(6, 0), Node(6, 0)], None, 9, Share(2, 6)),
        ([Node(6, 0), Node(6, 0)], 3, 9, Share(3, 3)),
        ([Node(16, 0)], None, 2, Share(2, 8)),
        ([Node(16, 2), Node(64, 0)], None, 9, Share(2, 8, 1.0)),
        ([Node(16, 2)], 3, 9, Share(3, 4, 0.5)),
        ([Node(1, 4)], None, 9, Share(4, 1, 1.0)),
    ],
)
def test_actors_share_what_there_is(nodes: Sequence[Node], actors: int | None, jobs: int, share: Share) -> None:
    assert shares(nodes, actors, gpu=True, jobs=jobs) == share


def test_gpus_are_left_alone_where_processors_compute() -> None:
    assert shares([Node(16, 2)], None, gpu=False, jobs=9) == Share(4, 4)


@pytest.mark.parametrize(("actors", "says"), [(0, "at least 1 actor, got 0"), (5, "5 actors need as many cores, Ray")])
def test_more_actors_than_cores_are_one_line(actors: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        shares([Node(2, 0), Node(2, 0)], actors, gpu=True, jobs=9)


def test_a_number_of_actors_is_for_ray_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the number of actors is for --on ray"):
        predict(tmp_path, tmp_path, tmp_path / "out", actors=2)


def test_without_ray_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unpaired.inference.backends.packages.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--on ray needs the package ray, .*: pip install 'unpaired\[ray\]'"):
        predict(tmp_path, tmp_path, tmp_path / "out", on="ray", worker=False)


DEADLY = """
import os, signal
from pathlib import Path
from unpaired.inference.on_ray import Segments

MARK = Path({mark!r})

class Deadly(Segments):
    def segment(self, job):
        with MARK.open("a") as file:
            file.write(job.name)
        if job.name == "b" and MARK.read_text().count("b") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().segment(job)
"""
"""A module, as Ray's processes import what they run."""


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("ray") is None or not os.environ.get("UNPAIRED_TEST_RAY"),
    reason="Ray takes 10 to 60 s to start: set UNPAIRED_TEST_RAY, with the extra ray installed",
)
def test_two_actors_of_which_one_is_killed(phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, nothing done twice, and the files are those of this process."""
    recipe = replace(
        msbn(),
        network=SMALL,
        patch_size=(48, 48),
        window_overlap=0.0,
    )
    run = Run.create(tmp_path / "run", recipe, phantom)
    run.save_weights(build_method(recipe, run.modalities, len(phantom.classes)).network, "best")
    for name in "abcd":
        array = np.random.default_rng(ord(name)).normal(size=(16, 14, 1))
        write_image(tmp_path / "scans" / f"{name}.nii.gz", array, np.diag([1.5, 1.5, 8, 1]))
    mark = tmp_path / "mark"
    (tmp_path / "deadly.py").write_text(DEADLY.format(mark=str(mark)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(on_ray, "Segments", import_module("deadly").Deadly)
    lines: list[str] = []
    asked = {"modality": "ct", "device": "cpu", "worker": False}
    outcome = predict(
        run, tmp_path / "scans", tmp_path / "out", on="ray", actors=2,
        tell=lambda event: lines.extend(event.lines()), **asked,
    )  # fmt: skip
    assert (sorted(outcome.written), outcome.skipped, outcome.failures) == (list("abcd"), [], [])
    assert sorted(mark.read_text()) == ["a", "b", "b", "c", "d"]
    assert any(line.startswith("note: b: its process ended, it is done again") for line in lines)
    predict(run, tmp_path / "scans", tmp_path / "alone", **asked)
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == sorted(f"{name}{end}" for name in "abcd" for end in (".nii.gz", ".prediction.json"))
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
