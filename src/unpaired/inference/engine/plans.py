"""How windows go through a network in torch: the ways that a machine may be fastest at, all with the same answer.

torch is imported where it computes, so that a process that only asks for a prediction starts without it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

Precision = Literal["float32", "bf16"]
EngineName = Literal["auto", "plain", "compiled"]
Layout = Literal["contiguous", "channels last"]
Kernels = Literal["torch", "onednn", "compiled"]


@dataclass(frozen=True)
class WindowPlan:
    """How windows are computed.

    `at_once` is how many go through the network together. `layout` is how images and weights lie in memory; with
    channels last instance norms are by group norm's kernel, which leaves maps so. `kernels` "onednn" takes oneDNN's
    convolutions and that kernel wherever they say the same, in place of those that torch would choose (`kernels`),
    "compiled" what `torch.compile` makes of the network, on a GPU as a CUDA graph.
    `precision` "bf16" computes in bfloat16 where torch's autocast does. `threads` is how many torch computes with;
    None: as many as it does otherwise.
    """

    at_once: int
    layout: Layout = "contiguous"
    kernels: Kernels = "torch"
    precision: Precision = "float32"
    threads: int | None = None

    def __str__(self) -> str:
        words = {"onednn": "oneDNN's kernels", "torch": "torch's kernels", "compiled": "compiled kernels"}
        said = words[self.kernels]
        threads = "" if self.threads is None else f", {self.threads} threads"
        return f"{self.at_once} at once, {said}, {self.layout}, {self.precision}{threads}"

    @contextmanager
    def its_threads(self) -> Generator[None]:
        """Within, torch computes with the plan's threads; afterwards with as many as before."""
        import torch

        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            if self.threads is not None:
                torch.set_num_threads(before)


def candidates(plain: WindowPlan, precision: Precision) -> list[WindowPlan]:
    """What may be faster than `plain` on a processor: in float32 first, then, if it may be less, in bfloat16.

    With half of torch's threads as well, which is one a core where it counts a core twice.
    """
    import torch

    batches = sorted({1, plain.at_once}, reverse=True)
    plans = [WindowPlan(count, kernels=kernels) for kernels in ("torch", "onednn") for count in batches]
    plans.append(WindowPlan(plain.at_once, "channels last"))
    if precision == "bf16":
        plans += [WindowPlan(count, precision=precision) for count in batches]
        plans.append(WindowPlan(plain.at_once, "channels last", precision=precision))
    half = torch.get_num_threads() // 2
    if half:
        likely = [plan for plan in plans if plan.kernels == "onednn" or plan.precision == "bf16"]
        plans += [replace(plan, threads=half) for plan in likely]
    return [plan for plan in plans if plan != plain]
