"""A tiny study to campaign in: a phantom of two modalities, a network of seconds, and every command's own folder."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Recipe, dumps
from unpaired.recipes.phantom import msbn

RECIPE, DATA, CACHE = "recipe.json", "data", "prepared"
RUN, OTHER = "run", "other"
CPU = ("--device", "cpu")


def tiny_recipe(**changes: object) -> Recipe:
    """A few thousand weights, saved and validated every second step."""
    recipe = replace(
        msbn(),
        network=UNetConfig(width=2, widest=4, blocks=(1, 1)),
        patch_size=(32, 32),
        batch_size=2,
        steps=6,
        validate_every=2,
        save_every=2,
        window_overlap=0.0,
    )
    return replace(recipe, **changes)


def write_study(place: Path, patients: dict[str, int] | None = None) -> None:
    """`data/` with its manifest, and `recipe.json`."""
    from unpaired.phantom.write import write_phantom

    place.mkdir(parents=True, exist_ok=True)
    write_phantom(
        place / DATA,
        modalities=("ct", "lge"),
        size="tiny",
        patients=patients or {"train": 1, "validation": 1, "test": 2},
        spacing_mm=6.0,
    )
    (place / RECIPE).write_text(dumps(tiny_recipe()), encoding="utf-8")
    (place / "other.json").write_text(dumps(tiny_recipe(seed=1)), encoding="utf-8")


@dataclass(frozen=True)
class Step:
    """One command of the study: what it is called here, its arguments, and how often it takes its turn."""

    name: str
    arguments: tuple[str, ...]
    turns: int = 5


def training(run: str, recipe: str = RECIPE) -> Step:
    """Without workers, so that what is killed is the training."""
    arguments = ("train", recipe, DATA, run, "--cache", CACHE, "--workers", "0", *CPU)
    return Step("train", arguments)


PREDICT = ("predict", RUN, DATA, f"{RUN}/predictions", "--split", "test", "--probabilities", *CPU)
SMALL_PAGE = ("--viewer-mb", "1")
STEPS = {
    step.name: step
    for step in (
        Step("prepare", ("prepare", RECIPE, DATA, CACHE, "--workers", "1")),
        training(RUN),
        Step("predict", PREDICT, 2),
        Step("predict in one process", (*PREDICT, "--no-worker")),
        Step("evaluate", ("evaluate", f"{RUN}/predictions", RUN)),
        Step("report", ("report", RUN, *SMALL_PAGE), 1),
        Step("compare, tables", ("compare", RUN, OTHER, "--out", "comparison", "--no-report")),
        Step("compare", ("compare", RUN, OTHER, "--out", "comparison", *SMALL_PAGE), 1),
    )
}
"""In the order of a study. Every step needs the ones before; `compare` also needs the other run, scored. What takes
seconds of drawing, or of starting, takes its turn less often."""
ALTERNATIVES = {"predict in one process": "predict", "compare": "compare, tables"}
"""Steps that do what another one did: they begin where that one began."""


def others() -> tuple[tuple[str, ...], ...]:
    """The commands that make the other run, which `compare` compares with."""
    return (
        training(OTHER, "other.json").arguments,
        ("predict", OTHER, DATA, f"{OTHER}/predictions", "--split", "test", *CPU),
        ("evaluate", f"{OTHER}/predictions", OTHER),
    )


@dataclass(frozen=True)
class Stage:
    """A step, the study as it is before it, and what undisturbed work makes of that: files, seconds."""

    step: Step
    before: Path
    after: dict[str, str]
    seconds: float


def in_turn(stages: Sequence[Stage]) -> list[Stage]:
    """A round in which every step has its turns, mixed."""
    most = max(stage.step.turns for stage in stages)
    return [stage for turn in range(most) for stage in stages if turn < stage.step.turns]


def copy(template: Path, place: Path) -> None:
    """Put a copy of a folder where another was, with its files' times, which a cache goes by."""
    if place.exists():
        shutil.rmtree(place)
    shutil.copytree(template, place)


def stages(folder: Path, place: Path) -> list[Stage]:
    """Every step done once, undisturbed, in `place`, where all that follows has to be done: paths are written down.

    Raises AssertionError if a command fails.
    """
    from campaigns.commands import snapshot

    found: dict[str, Stage] = {}
    write_study(place)
    for name, step in STEPS.items():
        if name == "compare, tables":
            for arguments in others():
                _done(arguments, place, folder)
        before = folder / f"before {name}"
        if name in ALTERNATIVES:
            copy(found[ALTERNATIVES[name]].before, place)
        copy(place, before)
        seconds = _done(step.arguments, place, folder)
        found[name] = Stage(step, before, snapshot(place), seconds)
    return list(found.values())


def _done(arguments: tuple[str, ...], place: Path, folder: Path) -> float:
    """Seconds by the clock."""
    from campaigns.commands import run

    began = time.monotonic()
    ended = run(arguments, place, folder / "said")
    assert ended.code == 0, f"{arguments}: {ended.error}"
    return time.monotonic() - began
