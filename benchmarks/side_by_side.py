"""How the benchmarks measure: runs in turn, so that a busy machine is as unkind to each, and the memory of a step."""

import datetime
import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def print_versions(*packages: str) -> None:
    """Date, machine, threads, and the versions of what is compared."""
    print(f"{datetime.date.today()}  {platform.platform()}  {platform.processor() or platform.machine()}")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("unpaired", "torch", *packages))
    print(f"Python {platform.python_version()}, {versions}, {torch.get_num_threads()} threads")


def in_turns(
    runs: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | str = "cpu"
) -> dict[str, list[float]]:
    """Seconds of each run, `repeats` of them: a round to warm up, then rounds in which each runs once.

    Processor time on a CPU; on a GPU wall time until it has done all it was given.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = clock(torch.device(device))
            run()
            if repeat:
                seconds[name].append(clock(torch.device(device)) - start)
    return seconds


def medians(
    runs: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """The median of each run's seconds (see `in_turns`)."""
    return {name: statistics.median(values) for name, values in in_turns(runs, repeats, device).items()}


def clock(device: torch.device) -> float:
    """Seconds of processor time, or of the GPU once it has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def kept_for_backward(run: Callable[[], object], module: nn.Module) -> int:
    """Bytes of the tensors that a run keeps for the backward, each storage once; the module's weights aren't counted.

    On a CPU this stands for memory, which a process there never hands back in a way that could be read.
    """
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    del result
    return sum(kept.values())
