"""Times a step of a recipe, in a process of its own: one that takes too much memory ends itself alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.errors import InputError
from unpaired.experiments.processes import Answer, Places, in_process, in_processes
from unpaired.experiments.speeds import Speed
from unpaired.experiments.tasks import StoredRecipe, TimeStep
from unpaired.recipe import Recipe

LOG = "timing.log"
"""In the study's folder: what the processes say that time steps."""


@dataclass(frozen=True)
class Stopwatch:
    """Where and how steps are timed, on a device of some type ("cpu"); `worker` False does it in this process."""

    device: str
    device_type: str
    places: Places
    worker: bool
    out: Path
    say: Callable[[str], None]

    def __call__(self, row: str, recipe: Recipe, modalities: tuple[str, ...], classes: int) -> Speed:
        """The cost of a step. Raises InputError where it can't be computed here."""
        self.say(f"timing a step of {row}")
        task = TimeStep(StoredRecipe.of(recipe), modalities, classes, self.device)
        answer = self._timed(task)
        if answer.failure is not None:
            raise InputError(f"a step can't be timed: {answer.failure}")
        if answer.result is None:
            raise KeyboardInterrupt
        return Speed(answer.result["seconds"], answer.result["gigabytes"], self.device_type)

    def _timed(self, task: TimeStep) -> Answer:
        if not self.worker:
            return in_process(task)
        answers: list[Answer] = []
        alone = replace(self.places, jobs=1)
        in_processes(
            [[(task, self.out / LOG)]], alone, lambda *_: "begin", lambda _, __, answer: answers.append(answer)
        )
        return answers[0]


def untimed(row: str, recipe: Recipe, modalities: tuple[str, ...], classes: int) -> Speed:
    """In a stopwatch's place where nothing is to be run. Raises InputError."""
    raise InputError("no call has timed a step of it yet, so its steps in these minutes aren't known")
