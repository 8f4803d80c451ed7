"""The log of a run: loss and its terms by step, validation scores, to CSV and TensorBoard."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unpaired.errors import InputError
from unpaired.files import input_error_if_unwritable
from unpaired.methods.method import Objective
from unpaired.runs.progress import LOG_EVERY
from unpaired.runs.run import Run


class TrainingLog:
    """Loss and terms by step, to log.csv and TensorBoard. Numbers stay on the device until they are written."""

    def __init__(self, run: Run, enabled: bool) -> None:
        self.run, self.enabled, self._last = run, enabled, run.recipe.steps
        self.latest: dict[str, float] = {}
        self._waiting: list[dict[str, Any]] = []
        self._began = time.monotonic()
        if enabled:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run.tensorboard))

    def add(self, step: int, objective: Objective, optimizer: Any) -> None:
        if not self.enabled or (step % LOG_EVERY and step not in (1, self._last)):
            return
        terms: dict[str, Tensor] = {
            "loss": objective.loss.detach(),
            **{f"term/{name}": term.detach() for name, term in objective.terms.items()},
        }
        names = list(terms)
        values = torch.stack([terms[name].float() for name in names]).tolist()
        numbers = dict(zip(names, values, strict=True))
        if not all(value == value and abs(value) != float("inf") for value in values):
            bad = next(name for name, value in numbers.items() if value != value or abs(value) == float("inf"))
            raise InputError(
                f"training of {self.run.folder} diverged at step {step}: {bad} is {numbers[bad]}; lower "
                "optimization.learning_rate or use precision 32-true (the last saved weights are kept)"
            )
        self.latest = numbers
        rate = optimizer.param_groups[0]["lr"]
        seconds = round(time.monotonic() - self._began, 2)
        self._waiting.append(
            {"step": step, **{k: f"{v:.6g}" for k, v in numbers.items()}, "lr": rate, "seconds": seconds}
        )
        self._to_board(numbers, step)

    def add_validation(self, step: int, scores: dict[tuple[str, str], float]) -> None:
        if not self.enabled:
            return
        rows = [{"step": step, "modality": m, "class": c, "dice": f"{value:.6f}"} for (m, c), value in scores.items()]
        self.run.append_rows("validation", rows)
        self._to_board({f"validation/{modality}/{name}": value for (modality, name), value in scores.items()}, step)

    def flush(self) -> None:
        if self.enabled:
            self.run.append_rows("log", self._waiting)
            self._waiting = []
            with input_error_if_unwritable(self.run.tensorboard):
                self._board.flush()

    def _to_board(self, numbers: dict[str, float], step: int) -> None:
        """TensorBoard writes in a thread of its own; what that thread met, such as a full disk, is raised here."""
        with input_error_if_unwritable(self.run.tensorboard):
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)


@contextmanager
def writer_errors_once() -> Generator[None]:
    """Don't let TensorBoard's thread print a traceback of its own: its error is raised again by the next call to it."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if type(failure.thread).__name__ != "_AsyncWriterThread":
            before(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
