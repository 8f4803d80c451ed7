"""Processes that cut batches: one that is killed or fails ends the training in one line."""

import os
import signal
from pathlib import Path

import pytest
from tiny_runs import tiny

from unpaired.data.dataset import Dataset
from unpaired.data.sampling import UnpairedSteps
from unpaired.errors import InputError
from unpaired.training.loop import Hardware, train


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_worker_ends_in_one_line(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: UnpairedSteps, step: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(UnpairedSteps, "__getitem__", killed)
    with pytest.raises(InputError, match=r"process that cuts batches was killed.*the same command") as caught:
        train(tiny(), phantom, tmp_path / "k", hardware=Hardware("cpu", workers=1), cache=cache, show=False)
    assert "\n" not in str(caught.value)


def test_a_worker_that_fails_ends_in_one_line(
    phantom: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: UnpairedSteps, step: int) -> None:
        raise FileNotFoundError(2, "No such file or directory", "volume.npy")

    monkeypatch.setattr(UnpairedSteps, "__getitem__", failing)
    with pytest.raises(InputError, match=r"failed: FileNotFoundError.*volume\.npy") as caught:
        train(tiny(), phantom, tmp_path / "k", hardware=Hardware("cpu", workers=1), cache=cache, show=False)
    assert "\n" not in str(caught.value)
