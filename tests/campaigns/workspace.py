"""A tiny study to campaign in: a phantom of two modalities, a network of seconds, and every command's own folder."""

import shutil
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
    """One command of the study: what it is called here, its arguments, and the folders and files that it makes."""

    name: str
    arguments: tuple[str, ...]
    makes: tuple[str, ...]


def training(run: str, recipe: str = RECIPE) -> Step:
    """Without workers, so that what is killed is the training."""
    arguments = ("train", recipe, DATA, run, "--cache", CACHE, "--workers", "0", *CPU)
    return Step("train", arguments, (run, CACHE))


STEPS = {
    "prepare": Step("prepare", ("prepare", RECIPE, DATA, CACHE, "--workers", "1"), (CACHE,)),
    "train": training(RUN),
    "predict": Step(
        "predict", ("predict", RUN, DATA, f"{RUN}/predictions", "--split", "test", "--probabilities", *CPU), (RUN,)
    ),
    "evaluate": Step("evaluate", ("evaluate", f"{RUN}/predictions", RUN), (RUN,)),
    "report": Step("report", ("report", RUN), (RUN,)),
    "compare": Step("compare", ("compare", RUN, OTHER, "--out", "comparison"), ("comparison",)),
}
"""In the order of a study. Every step needs the ones before; `compare` also needs the other run, scored."""


def others() -> tuple[tuple[str, ...], ...]:
    """The commands that make the other run, which `compare` compares with."""
    return (
        training(OTHER, "other.json").arguments,
        ("predict", OTHER, DATA, f"{OTHER}/predictions", "--split", "test", *CPU),
        ("evaluate", f"{OTHER}/predictions", OTHER),
    )


def copy(template: Path, place: Path) -> None:
    """Put a copy of a folder where another was, with its files' times, which a cache goes by."""
    if place.exists():
        shutil.rmtree(place)
    shutil.copytree(template, place)
