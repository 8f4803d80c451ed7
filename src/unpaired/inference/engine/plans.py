"""How windows go through a network in torch: the ways that a machine may be fastest at, all with the same answer."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bf16"]
EngineName = Literal["auto", "plain"]
Layout = Literal["contiguous", "channels last"]
Kernels = Literal["torch", "onednn"]


@dataclass(frozen=True)
class WindowPlan:
    """How windows are computed.

    `at_once` is how many go through the network together. `layout` is how images and weights lie in memory. `kernels`
    "onednn" takes oneDNN's convolutions and the group norm's kernel wherever they say the same, in place of those that
    torch would choose (`kernels`). `precision` "bf16" computes in bfloat16 where torch's autocast does.
    """

    at_once: int
    layout: Layout = "contiguous"
    kernels: Kernels = "torch"
    precision: Precision = "float32"

    def __str__(self) -> str:
        said = {"onednn": "oneDNN's kernels", "torch": "torch's kernels"}[self.kernels]
        return f"{self.at_once} at once, {said}, {self.layout}, {self.precision}"


def candidates(plain: WindowPlan, precision: Precision) -> list[WindowPlan]:
    """What may be faster than `plain` on a processor: in float32 first, then, if it may be less, in bfloat16."""
    batches = sorted({1, plain.at_once}, reverse=True)
    plans = [WindowPlan(count, kernels=kernels) for kernels in ("torch", "onednn") for count in batches]
    plans.append(WindowPlan(plain.at_once, "channels last"))
    if precision == "bf16":
        plans += [WindowPlan(count, precision=precision) for count in batches]
        plans.append(WindowPlan(plain.at_once, "channels last", precision=precision))
    return [plan for plan in plans if plan != plain]
