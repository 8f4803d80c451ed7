"""The commands that plan: inspect, plan."""

import re
from pathlib import Path
from typing import Annotated, Literal

import tyro

import unpaired
from unpaired.commands.arguments import Data, Device, OptionalPath, print_lines, print_table, progress_bar
from unpaired.errors import InputError

RecipeFile = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RECIPE.py")]
Gigabytes = Annotated[str, tyro.conf.arg(metavar="8GB")]


def inspect(data: Data, /, *, page: OptionalPath = None, json: OptionalPath = None, workers: int = 2) -> int:
    """Show what a dataset is like: sizes, spacings, values and organs by modality. Exit code 1 if a scan is unreadable.

    Args:
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        page: An HTML file to write: the same with histograms and a slice of every case.
        json: A file to write for programs and for `unpaired plan`.
        workers: How many processes work at a time.
    """
    from unpaired.planning.tables import modality_table, organ_table

    with progress_bar("inspect") as progress:
        fingerprint = unpaired.inspect_dataset(data, page=page, json=json, workers=workers, progress=progress)
    print_table(modality_table(fingerprint), organ_table(fingerprint))
    print_lines(f"warning: {line}" for line in fingerprint.warnings())
    print_lines(f"wrote {path}" for path in (page, json) if path is not None)
    print_lines(f"not read: {case}: {reason}" for case, reason in fingerprint.failures)
    return 1 if fingerprint.failures else 0


def plan(
    data: Data,
    out: RecipeFile,
    /,
    *,
    hours: float = 1.0,
    memory: Gigabytes = "auto",
    device: Device = "auto",
    dimensions: Literal["auto", "2", "3"] = "auto",
    fingerprint: OptionalPath = None,
    split: OptionalPath = None,
    workers: int = 2,
) -> int:
    """Plan a training for your data: a Python file with a recipe, and the fact behind each number. Edit it, train it.

    Args:
        data: The manifest (dataset.json or a table), or the folder that holds dataset.json.
        out: The file to write, such as heart.py.
        hours: How long training may take on this machine; a step is timed.
        memory: What training may take: 8GB, 512MB, a number of gigabytes, or auto, four fifths of what is free.
        device: auto, cpu or cuda.
        dimensions: 2 for slices, 3 for volumes (auto: volumes where every modality has close slices).
        fingerprint: A file of `unpaired inspect --json`, which spares reading the scans.
        split: A split file; its test cases are not looked at.
        workers: Processes that read scans.
    """
    memory_gb = _gigabytes(memory)
    with progress_bar("plan") as progress:
        planned = unpaired.plan_training(
            data,
            out,
            hours=hours,
            memory_gb=memory_gb,
            device=device,
            dimensions=dimensions,
            fingerprint=fingerprint,
            split=split,
            workers=workers,
            progress=progress,
        )
    print_lines(planned.lines())
    sides = "" if split is None else f" --split {split}"
    print(f"wrote {out}; next: unpaired train {out}:planned {data} RUN{sides}")
    return 0


def _gigabytes(text: str) -> float | None:
    """The gigabytes of "8", "8GB", "8 GiB" or "512MB"; None of "auto"."""
    if text == "auto":
        return None
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+) *(?:([gm])(?:i?b)?)?", text.strip().lower())
    if match is None:
        raise InputError(f"--memory: expected 8GB, 512MB, a number of gigabytes or auto, got {text!r}")
    return float(match[1]) / (1000 if match[2] == "m" else 1)
