"""The processes of one run: how they start (Fabric), and what only the first of them does."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from unpaired.errors import InputError
from unpaired.inference.devices import has_bfloat16

T = TypeVar("T")
DEVICES = ("auto", "cpu", "cuda", "mps")
PATIENCE = timedelta(days=1)
"""How long processes wait for the first, which alone prepares scans and validates; torch's half an hour is too short
for thousands of scans."""


def build_fabric(device: str, devices: int, nodes: int, precision: str) -> Fabric:
    """Fabric for `devices` processes on each of `nodes` nodes (DDP if that is more than one), not launched yet.

    Raises InputError for a device or precision that can't be had here.
    """
    if device not in DEVICES:
        raise InputError(f"device {device!r}: expected auto, cpu, cuda or mps")
    strategy = DDPStrategy(timeout=PATIENCE) if devices * nodes > 1 else "auto"
    try:
        return Fabric(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            strategy=strategy,
            precision=precision,  # type: ignore[arg-type]
        )
    except (RuntimeError, ValueError, ImportError) as error:
        raise InputError(f"can't train with {devices} x {device} at {precision}: {error}") from error


def emulated(precision: str, device: str) -> str | None:
    """What to say of a precision that a processor ("cpu") or GPU ("cuda") has no instructions for; None: it has."""
    if precision != "bf16-mixed" or device not in ("cpu", "cuda") or has_bfloat16(device):
        return None
    return (
        f"precision bf16-mixed: this {device} has no bfloat16 and emulates it, which can take many times as long as "
        "float32; --set precision=32-true"
    )


def is_first_process() -> bool:
    """Whether this process is the one that speaks to people: the only one, or the first of a run's."""
    group = torch.distributed
    return not (group.is_available() and group.is_initialized()) or group.get_rank() == 0


def by_the_first(fabric: Fabric, task: Callable[[], T]) -> T | None:
    """What `task` returns in process 0, after which the others go on with None.

    Where it raises InputError every process ends: process 0 with that line, the others without a word. (Left waiting,
    they would end in a traceback each, or not before the connection's timeout.)
    """
    if fabric.world_size == 1:
        return task()
    result, refused = None, None
    if fabric.is_global_zero:
        try:
            result = task()
        except InputError as error:
            refused = error
    if fabric.broadcast(refused is not None):
        raise refused or SystemExit(2)
    return result
