"""What a person sees while a run trains, and how they stop it."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


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
def stop_on_signal() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM while the block runs; does nothing outside the main thread, where Python can't."""
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


@contextmanager
def progress_bar(
    total: int, start: int, show: bool, console: Console
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A bar with loss, steps and time left; yields a function to call with (steps done, numbers to show)."""
    columns = (
        TextColumn("[bold]train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not show) as progress:
        task = progress.add_task("train", total=total, completed=start, numbers="")

        def update(done: int, numbers: Mapping[str, float]) -> None:
            text = " ".join(f"{name} {value:.3f}" for name, value in numbers.items())
            progress.update(task, completed=done, numbers=text)

        yield update
