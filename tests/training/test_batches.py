"""Processes that cut batches: one that is killed or fails ends the training in one line; whose images norms look at."""

import os
import signal
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny

from unpaired.data.batch import Batch
from unpaired.data.dataset import Dataset
from unpaired.data.randomization import AS_IT_IS
from unpaired.data.sampling import UnpairedSteps
from unpaired.errors import InputError
from unpaired.training.batches import own_images
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


def test_norms_of_a_modality_that_borrows_look_at_its_own_scans_as_they_are() -> None:
    """Of four labeled images the second alone is its own and not randomized; the two unlabeled ones are."""
    images = torch.arange(6.0).reshape(6, 1, 1, 1)
    numbers = torch.tensor([7, AS_IT_IS, 0, 12])
    batch = Batch(images[:4], torch.zeros(4, 1, 1, dtype=torch.int64), torch.eye(2, dtype=torch.bool), images[4:])
    assert own_images(batch, numbers).flatten().tolist() == [1, 4, 5]
    assert own_images(batch, torch.tensor([7, 3, 0, 12])).flatten().tolist() == [4, 5], "no label of its own"
    assert own_images(batch._replace(unlabeled=None), numbers).flatten().tolist() == [0, 1, 2, 3]
