"""What a person sees while a run trains, and how they stop it."""

import math
import signal
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from statistics import fmean
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from unpaired.errors import Stopped
from unpaired.runs.progress import Place, duration, lost_classes


class StopRequest:
    """Whether somebody pressed Ctrl-C (or Slurm sent SIGTERM). Looked at between steps, so no step is torn apart."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """First signal: finish the step and save. Second: stop at once (the last saved state stays)."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """Catch SIGINT and SIGTERM while the block runs; does nothing outside the main thread, where Python can't.

    Raises `Stopped` at the block's end if one came in its last step, and nobody looked: what follows in the same call
    (the next round or fold, a prediction) is not begun.
    """
    request = StopRequest()
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, request.handle)
        except ValueError:
            break
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if request.asked:
        raise Stopped("stopped after the last step, which is saved; the same command goes on from there")


EVERY_SECONDS = 60.0
"""A line about training is written to a log file at least so often, and at every validation."""
WAITING_SHARE = 0.25
"""The share of time spent waiting for batches from which on it is worth a word."""


def tell(console: Console, text: str) -> None:
    """Print a line as it is: names of cases, classes and folders may hold brackets, and paths may be long."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def case_progress(what: str, console: Console) -> Generator[Callable[[int, int, str], None]]:
    """What is called with (cases done, cases in all, case id): a bar on a terminal, a line a minute in a log file."""
    last = time.monotonic()
    bar = Progress(console=console, transient=True, disable=console.quiet or not console.is_terminal)
    task = bar.add_task(what, total=None)

    def moved(done: int, total: int, case: str) -> None:
        nonlocal last
        bar.update(task, completed=done, total=total)
        if not console.is_terminal and time.monotonic() - last >= EVERY_SECONDS and done < total:
            last = time.monotonic()
            tell(console, f"{what}: {done} of {total} cases")

    with bar:
        yield moved


class TrainingProgress:
    """What a person sees of the steps: a bar on a terminal, lines in a log file; loss, validation Dice, time left.

    Times count from the first step of this process, so that a resumed run doesn't look faster than it is.
    """

    def __init__(self, total: int, start: int, console: Console) -> None:
        self.total, self.start, self.console = total, start, console
        self._began = self._last = time.monotonic()
        self._scores: dict[str, float] = {}
        self._dice: dict[Place, list[tuple[int, float]]] = {}
        self._told: set[str] = set()
        self._bar = Progress(
            TextColumn("[bold]train"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=console.quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total, completed=start, numbers="", left="")

    def __enter__(self) -> "TrainingProgress":
        if self.start:
            done = "all steps are done" if self.start >= self.total else "going on"
            tell(self.console, f"step {self.start}/{self.total} · saved before, {done}")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def validated(self, done: int, scores: Mapping[Place, float]) -> None:
        """Keep the newest validation: its mean Dice by modality stands in the bar and in the next line.

        A class that validations don't find any more is told of, once.
        """
        for place, value in scores.items():
            self._dice.setdefault(place, []).append((done, value))
            for notice in lost_classes({place: self._dice[place]}):
                self.note(f"lost {place}", notice)
        modalities = dict.fromkeys(modality for modality, _ in scores)
        self._scores = {
            modality: fmean(value for (name, _), value in scores.items() if name == modality) for modality in modalities
        }
        self._last = -math.inf  # so that the next update writes a line

    def update(self, done: int, terms: Mapping[str, float], waited: float = 0.0) -> bool:
        """Show `done` steps and the loss with its terms; whether a line was due, so that files are flushed with it.

        `waited` are the seconds in which no step was computed for want of a batch; too many are told of, once.
        """
        now = time.monotonic()
        share = waited / max(now - self._began, 1e-9)
        if now - self._began >= EVERY_SECONDS and share > WAITING_SHARE:
            self.note(
                "waiting",
                f"{share:.0%} of the time goes into waiting for batches; cut them in more processes (--workers), or "
                "keep prepared volumes on a faster disk (--cache)",
            )
        left = (now - self._began) / max(done - self.start, 1) * (self.total - done)
        validation = "".join(f" {modality} {value:.3f}" for modality, value in self._scores.items())
        validation = f"Dice{validation}" if validation else ""
        numbers = f"loss {terms['loss']:.3f} {validation}" if "loss" in terms else ""
        self._bar.update(self._task, completed=done, numbers=escape(numbers), left=f"{duration(left)} left")
        if now - self._last < EVERY_SECONDS and done < self.total:
            return False
        self._last = now
        if not self.console.is_terminal:
            shown = " ".join(f"{name.removeprefix('term/')} {value:.4g}" for name, value in terms.items())
            parts = (f"step {done}/{self.total}", shown, validation, f"{duration(left)} left")
            tell(self.console, " · ".join(part for part in parts if part))
        return True

    def note(self, key: str, text: str) -> None:
        """Say something that a person should look at; of each `key` once."""
        if key not in self._told:
            self._told.add(key)
            tell(self.console, f"note: {text}")
