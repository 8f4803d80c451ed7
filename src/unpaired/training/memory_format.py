"""Which memory format a run trains in: what its recipe says, or what is faster on the machine that it begins on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast, get_args

from lightning_fabric import Fabric

from unpaired.recipe import Recipe
from unpaired.runs.run import Run
from unpaired.training.layout import MemoryFormat
from unpaired.training.probe import time_step

WORTH = 0.95
"""Channels last is taken if a step needs less than this share of the time: less may be chance."""


def memory_format_of(run: Run, fabric: Fabric) -> MemoryFormat:
    """What a run keeps to: what its recipe says. Where that is "auto", what it has begun with, as its saved state says;
    for one that begins now the first process times a few steps of both."""
    if run.recipe.memory_format != "auto":
        return run.recipe.memory_format
    kept = (run.load_state() or {}).get("memory_format")
    if kept in get_args(MemoryFormat):
        return cast(MemoryFormat, kept)
    chosen: MemoryFormat = "contiguous"
    if fabric.is_global_zero:
        chosen = faster_format(run.recipe, run.modalities, len(run.dataset.classes), fabric.device.type)
    return cast(MemoryFormat, fabric.broadcast(chosen)) if fabric.world_size > 1 else chosen


def faster_format(recipe: Recipe, modalities: Sequence[str], classes: int, device: str) -> MemoryFormat:
    """The memory format in which a step of a recipe takes less time here; contiguous, unless it is worth it."""
    formats: tuple[MemoryFormat, ...] = get_args(MemoryFormat)
    usual, other = (
        time_step(replace(recipe, memory_format=memory_format), modalities, classes, device).seconds
        for memory_format in formats
    )
    return "channels_last" if other < WORTH * usual else "contiguous"
