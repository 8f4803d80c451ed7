"""What training says: lines in a log file, at validations and by the clock; a bar on a terminal; nothing when quiet."""

import io
import signal

import pytest
from rich.console import Console

from unpaired.errors import Stopped
from unpaired.training import progress
from unpaired.training.progress import TrainingProgress, case_progress, stop_on_signal, tell

SCORES = {("ct", "LV"): 0.8, ("ct", "RV"): 0.9, ("lge", "LV"): 0.5}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_lines_in_a_log_file(clock: Clock) -> None:
    stream = io.StringIO()
    with TrainingProgress(1000, 100, Console(file=stream, width=80)) as shown:
        clock.now += 30
        assert not shown.update(110, {"loss": 1.5})
        clock.now += 30
        assert shown.update(120, {"loss": 1.25, "term/dice/ct": 0.75})
        clock.now += 1
        assert not shown.update(130, {"loss": 1.0})
        shown.validated(140, SCORES)
        assert shown.update(150, {"loss": 1.0})
        assert shown.update(1000, {"loss": 0.5})
    lines = stream.getvalue().splitlines()
    assert lines == [
        "step 100/1000 · saved before, going on",
        "step 120/1000 · loss 1.25 dice/ct 0.75 · 0:44:00 left",  # 20 steps a minute, 880 to go
        "step 150/1000 · loss 1 · Dice ct 0.850 lge 0.500 · 0:17:17 left",
        "step 1000/1000 · loss 0.5 · Dice ct 0.850 lge 0.500 · 0:00:00 left",
    ]


def test_a_stop_that_nobody_looked_at_ends_the_call_when_the_steps_are_done() -> None:
    """Ctrl-C in the last step: the next round, fold or prediction of the same call must not begin."""
    done: list[str] = []

    def train(*signals: signal.Signals) -> None:
        with stop_on_signal():
            for number in signals:
                signal.raise_signal(number)
            done.append("the step")

    with pytest.raises(Stopped, match="after the last step, which is saved"):
        train(signal.SIGTERM)
    train()
    assert done == ["the step", "the step"]


def test_a_bar_on_a_terminal(clock: Clock) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=120, force_terminal=True, _environ={"TERM": "xterm-256color"})
    with TrainingProgress(1000, 0, console) as shown:
        shown.validated(50, {("[bold]", "LV"): 0.25})
        clock.now += 100
        shown.update(100, {"loss": 1.5})
    text = stream.getvalue()
    assert "100/1000" in text
    assert "loss 1.500 Dice [bold] 0.250" in text
    assert "0:15:00 left" in text
    assert "step 100" not in text


def test_what_a_person_should_look_at_is_told_once(clock: Clock) -> None:
    stream = io.StringIO()
    with TrainingProgress(1000, 0, Console(file=stream, width=80)) as shown:
        for step, dice in ((100, 0.3), (200, 0.004), (300, 0.0), (400, 0.001), (500, 0.0)):
            shown.validated(step, {("ct", "LV"): 0.8, ("ct", "RV"): dice})
        clock.now += 50
        shown.update(10, {"loss": 1.0}, waited=40)  # too early to tell
        clock.now += 50
        shown.update(20, {"loss": 1.0}, waited=20)  # a fifth is no matter
        shown.update(30, {"loss": 1.0}, waited=40)
        shown.update(40, {"loss": 1.0}, waited=60)
    notes = [line for line in stream.getvalue().splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert notes[0].startswith("note: ct: RV is not found (Dice 0.004 in the validations of steps 200 to 400)")
    assert notes[1].startswith("note: 40% of the time goes into waiting for batches; cut them in more processes")


def test_a_run_that_is_finished_says_so(clock: Clock) -> None:
    stream = io.StringIO()
    with TrainingProgress(1000, 1000, Console(file=stream, width=80)):
        pass
    assert stream.getvalue() == "step 1000/1000 · saved before, all steps are done\n"


def test_cases_are_counted_in_a_log_file_once_a_minute(clock: Clock) -> None:
    stream = io.StringIO()
    with case_progress("preparing", Console(file=stream, width=20)) as moved:
        for done in range(1, 101):
            clock.now += 30
            moved(done, 100, f"p{done}")
    lines = stream.getvalue().splitlines()
    assert lines == [f"preparing: {done} of 100 cases" for done in range(2, 100, 2)]


def test_cases_are_a_bar_on_a_terminal(clock: Clock) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=120, force_terminal=True, _environ={"TERM": "xterm-256color"})
    with case_progress("preparing", console) as moved:
        moved(25, 100, "p1")
    assert "25%" in stream.getvalue()


def test_names_are_shown_as_they_are(clock: Clock) -> None:
    """Rich would take what stands in brackets for a style, and refuse one that closes nothing."""
    stream = io.StringIO()
    tell(Console(file=stream, width=20), "warning: [bold]p1[/left]: no lesion [core] in it")
    assert stream.getvalue() == "warning: [bold]p1[/left]: no lesion [core] in it\n"


def test_nothing_when_quiet(clock: Clock) -> None:
    stream = io.StringIO()
    console = Console(file=stream, quiet=True)
    with TrainingProgress(10, 5, console) as shown:
        shown.update(10, {"loss": 1.0})
    with case_progress("reading", console) as moved:
        clock.now += 100
        moved(1, 10, "p1")
    assert stream.getvalue() == ""
