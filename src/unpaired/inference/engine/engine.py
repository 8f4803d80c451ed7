"""Windows through a run's network in the way that is fastest on this machine, if it says what the plain way says."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import nn

from unpaired.errors import InputError
from unpaired.inference.devices import has_bfloat16
from unpaired.inference.engine.kernels import laid_out, prepared_network
from unpaired.inference.engine.measured import Measured, fastest, keep, kept, place
from unpaired.inference.engine.plans import EngineName, Precision, WindowPlan, candidates
from unpaired.inference.engine.small_maps import right_in_bfloat16
from unpaired.inference.windows import DEFAULT_AT_ONCE
from unpaired.methods.method import Method
from unpaired.shapes import Images, Logits

TOLERANCE = 1e-4
"""How far float32 logits may lie from the plain ones, in units of the largest of those (at least 1)."""


class WindowEngine:
    """`Method.predict` by a `WindowPlan`, chosen at the first windows by measuring, or read from the last time.

    `name` "plain" measures nothing: windows go through the network as they are. "compiled" takes what `torch.compile`
    makes of the network, on any device, unless that fails or says something else. `precision` "bf16" allows bfloat16:
    on a processor it is taken if it is measured to be faster, on a GPU always. `report` gets a line that says what was
    chosen. Raises InputError for a device that has no bfloat16 in torch's autocast.
    """

    def __init__(
        self,
        method: Method,
        device: torch.device,
        name: EngineName = "auto",
        precision: Precision = "float32",
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        if precision == "bf16" and device.type not in ("cpu", "cuda"):
            raise InputError(
                f"precision bf16 is for processors and CUDA GPUs, not for device {device.type!r}; leave it out"
            )
        self.method = method
        self.name, self.device = name, device
        self.precision: Precision = precision
        self.plain = WindowPlan(DEFAULT_AT_ONCE[len(method.network.size_multiples)])
        self.plan: WindowPlan | None = None
        """What was chosen; None before the first windows."""
        self._report = report
        self._mended = False
        self._networks: dict[WindowPlan, nn.Module] = {}

    @property
    def chosen_precision(self) -> Precision:
        """What windows are computed in: known once one has been."""
        return "float32" if self.plan is None else self.plan.precision

    def at_once(self, images: Images, modality: str) -> int:
        """How many windows go through the network together, chosen on these first ones."""
        return self._plan(images, modality).at_once

    def predict(self, images: Images, modality: str, partners: Mapping[str, Images] | None = None) -> Logits:
        """Logits of images of one modality. With `partners` they are computed as they are."""
        if partners:
            return self.method.predict(images, modality, partners)
        plan = self._plan(images, modality)
        logits = self._computed(images, modality, plan)
        if plan.precision == "bf16" and not torch.isfinite(logits).all():
            if not self._mended:
                self._report("precision bf16: some windows had no finite logits, they are computed in float32")
            self._mended = True
            return self.method.predict(images, modality)
        return logits

    def _plan(self, images: Images, modality: str) -> WindowPlan:
        if self.plan is None:
            self.plan = self._chosen(images.to(self.device), modality)
            self._networks = {plan: network for plan, network in self._networks.items() if plan == self.plan}
        return self.plan

    def _chosen(self, images: Images, modality: str) -> WindowPlan:
        less = WindowPlan(self.plain.at_once, precision=self.precision)
        measures = self.name == "auto" and self.device.type == "cpu"
        if self.method.network.mixes_images or not (measures or self.name == "compiled"):
            return less
        precision: Precision = self.precision
        if precision == "bf16" and self.device.type == "cpu" and not has_bfloat16("cpu"):
            self._report("precision bf16: this processor has no bfloat16, float32 goes on")
            precision = "float32"
        if self.name == "compiled":
            return self._compiled(images, modality, replace(less, precision=precision))
        path = place(self.method.network, images.shape[1:], self.plain, precision)
        measured = kept(path)
        if measured is None:
            measured = fastest(self._comparison(images, modality), self.plain, candidates(self.plain, precision))
            keep(path, measured)
        elif self._comparison(images[:1], modality)(measured.plan) is None:
            self._report(f"windows: {measured.plan} says something else with these weights, torch's own way goes on")
            return self.plain
        self._tell(measured, precision)
        return measured.plan

    def _compiled(self, images: Images, modality: str, otherwise: WindowPlan) -> WindowPlan:
        """The compiled network's plan, or `otherwise` where there is no compiler or it says something else."""
        plan = replace(otherwise, kernels="compiled")
        try:
            same = self._comparison(images, modality)(plan) is not None
        except Exception as error:  # noqa: BLE001 (a compiler's: whatever stops it, torch goes on)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._report(f"engine compiled: torch can't compile this network here ({reason:.120}), it goes on without")
            return otherwise
        if not same:
            self._report("engine compiled: it says something else with these weights, torch goes on without")
            return otherwise
        self._report(f"windows: {plan}")
        return plan

    def _tell(self, measured: Measured, precision: Precision) -> None:
        if precision == "bf16" and measured.plan.precision == "float32":
            self._report("precision bf16: float32 is as fast for this network on this processor, and goes on")
        if measured.plan != self.plain:
            self._report(f"windows: {measured.plan}: {measured.speedup:.1f} times as fast as plain, measured here")

    def _comparison(self, images: Images, modality: str) -> Callable[[WindowPlan], Logits | None]:
        """What runs windows by a plan, and returns None if their logits are not the plain ones."""
        expected: Logits | None = None

        def run(plan: WindowPlan) -> Logits | None:
            nonlocal expected
            with torch.inference_mode():
                logits = self._computed(images, modality, plan)
                if expected is None:
                    expected = logits if plan == self.plain else self._computed(images, modality, self.plain)
            same = plan == self.plain or says_the_same(logits, expected, plan.precision)
            return logits if same else None

        return run

    def _computed(self, images: Images, modality: str, plan: WindowPlan) -> Logits:
        if plan == self.plain:
            return self.method.predict(images, modality)
        if plan not in self._networks:
            self._networks[plan] = prepared_network(self.method.network, plan)
        network = self._networks[plan]
        less = torch.autocast(self.device.type, torch.bfloat16) if plan.precision == "bf16" else nullcontext()
        with plan.its_threads(), right_in_bfloat16(self.device.type, plan.precision == "bf16"), less:
            groups = (laid_out(group, plan) for group in images.split(plan.at_once))
            if plan.kernels == "compiled":
                return torch.cat([_of_one_size(network, group, modality, plan.at_once) for group in groups])
            parts = [network({modality: group})[modality].logits.float() for group in groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _of_one_size(network: nn.Module, images: Images, modality: str, count: int) -> Logits:
    """Logits of a group of windows by a network that is compiled for `count` of them: the last one fills up."""
    missing = count - len(images)
    filled = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])]) if missing else images
    return network({modality: filled})[modality].logits[: len(images)].float().clone()


def says_the_same(logits: Logits, expected: Logits, precision: Precision) -> bool:
    """Whether logits are those expected: up to rounding in float32; bfloat16 was asked for, so its are if finite."""
    if precision == "bf16":
        return bool(torch.isfinite(logits).all())
    apart = float((logits - expected).abs().max())
    return apart <= TOLERANCE * max(1.0, float(expected.abs().max()))
