"""The training log on a disk that fills up."""

import errno
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard import SummaryWriter

from unpaired.data.dataset import Dataset
from unpaired.errors import UnwritableError
from unpaired.methods.method import Objective
from unpaired.recipes import find_recipe
from unpaired.runs.run import Run
from unpaired.training.log import TrainingLog, writer_errors_once

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_while_tensorboard_writes_is_one_line(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(tmp_path / "run", find_recipe("phantom/msbn"), phantom)
    log = TrainingLog(run, enabled=True)
    optimizer = Mock(param_groups=[{"lr": 0.1}])
    monkeypatch.setattr(SummaryWriter, "flush", Mock(side_effect=FULL))
    with pytest.raises(UnwritableError, match=r"can't write .*tensorboard: No space left on device; free some space"):
        log.flush()
    monkeypatch.setattr(SummaryWriter, "add_scalar", Mock(side_effect=FULL))
    with pytest.raises(UnwritableError, match="tensorboard"):
        log.add(10, Objective(torch.tensor(1.0), {}), optimizer)
    with pytest.raises(UnwritableError, match="tensorboard"):
        log.add_validation(10, {("ct", "LV"): 0.5})


def test_only_tensorboards_thread_is_kept_from_printing(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda failure: printed.append(type(failure.thread).__name__))

    class Ours(threading.Thread):
        def run(self) -> None:
            raise FULL

    class _AsyncWriterThread(Ours):
        """Named like TensorBoard's."""

    assert event_file_writer._AsyncWriterThread.__name__ == _AsyncWriterThread.__name__
    with writer_errors_once():
        for kind in (Ours, _AsyncWriterThread):
            thread = kind()
            thread.start()
            thread.join()
    assert printed == ["Ours"]
    assert threading.excepthook.__name__ == "<lambda>"
