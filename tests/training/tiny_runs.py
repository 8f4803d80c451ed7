"""A training of seconds, how it is cut off, and what makes two runs the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from small_network import LAYERS, SMALL
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.recipe import Recipe, dumps
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run
from unpaired.training import loop
from unpaired.training.loop import Hardware

IN_PROCESS = Hardware(device="cpu", workers=0)


def tiny(**changes) -> Recipe:
    """CSA with augmentation, which has to come back the same after a stop."""
    base = replace(
        csa(),
        network=SMALL,
        method=CSAConfig(weight=0.5, layer_pairs=(LAYERS,)),
        patch_size=(32, 32),
        window_overlap=0.0,
        batch_size=2,
        steps=6,
        validate_every=3,
        save_every=2,
    )
    return replace(base, **changes)


def rows_without_times(run: Run) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.rows("log") + run.rows("validation")]


def assert_same(a: Run, b: Run) -> None:
    for which in ("last", "best"):
        first, second = load_file(a.weights(which)), load_file(b.weights(which))
        assert set(first) == set(second)
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert rows_without_times(a) == rows_without_times(b)


@contextmanager
def power_cut_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Training inside dies at the beginning of a step (from 0), without a chance to save."""
    original = loop._training_step

    def crash(*arguments):
        if arguments[-1] == step:
            raise RuntimeError("power cut")
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_training_step", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            yield


def command(recipe: Path, data: Path, run: Path, cache: Path, *options: str) -> list[str]:
    """The words after `python`."""
    start = ["-m", "unpaired.cli", "train", f"{recipe}:stored", str(data), str(run)]
    return [*start, "--device", "cpu", "--cache", str(cache), *options]


def stored_recipe(folder: Path, recipe: Recipe) -> Path:
    """A recipe file of a user's own."""
    file = folder / "stored_recipe.py"
    file.write_text(
        "import json\nfrom unpaired.recipe import Recipe, from_json\n"
        f"def stored() -> Recipe:\n    return from_json(json.loads({dumps(recipe)!r}))\n"
    )
    return file
