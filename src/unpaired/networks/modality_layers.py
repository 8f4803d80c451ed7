"""Every layer that depends on the modality, and the two schedules by which one network runs over several modalities.

A network keeps one code path, `run(x, groups)`: `x` holds images of one or more modalities along the batch axis, and
`groups` says {modality: how many images}, in that order. Shared layers ignore `groups`; the layers here split by it.
"""

from collections.abc import Callable, Mapping, Sequence
from math import gcd, prod
from typing import Literal

import torch
from torch import Tensor, nn

from unpaired.errors import InputError, nearest
from unpaired.networks.network import NetworkOutput
from unpaired.shapes import Features, Images

NormKind = Literal["batch", "instance", "group", "layer"]
Groups = Mapping[str, int]
Run = Callable[[Tensor, Groups], NetworkOutput]


class ModalityNorm(nn.Module):
    """CSA Eq. 1: each modality is normalized by its own statistics and its own scale and shift.

    `kind` is a NormKind. `shared=True` is one norm for all modalities, over whatever batch it gets (row Joint: the
    concatenated batch).
    `momentum` is the weight of the new batch in the running statistics; `norm_groups` is for "group" only and is
    lowered to a divisor of `channels`. Raises InputError for an unknown kind or a modality name that can't be used.
    """

    def __init__(
        self,
        kind: str,
        channels: int,
        modalities: Sequence[str],
        spatial_dims: int,
        shared: bool = False,
        eps: float = 1e-3,
        momentum: float = 0.1,
        norm_groups: int = 8,
    ) -> None:
        super().__init__()

        def build() -> nn.Module:
            return _norm(kind, channels, spatial_dims, eps, momentum, norm_groups)

        self.kind = kind
        self.shared = build() if shared else None
        self.by_modality = nn.ModuleDict() if shared else modality_modules({name: build() for name in modalities})

    def forward(self, x: Features, groups: Groups) -> Features:
        """Normalize `x`, whose batch axis holds the modalities of `groups` one after the other; same shape.

        Raises InputError where a norm would be over one value, which has no spread.
        """
        self._require_spread(x, groups)
        if self.shared is not None:
            return self.shared(x)
        if len(groups) == 1:
            (modality,) = groups
            return self.by_modality[modality](x)
        parts = x.split(list(groups.values()))
        return torch.cat([self.by_modality[name](part) for name, part in zip(groups, parts, strict=True)])

    def _require_spread(self, x: Features, groups: Groups) -> None:
        positions = prod(x.shape[2:])
        images = len(x) if self.shared is not None else min(groups.values())
        alone = self.kind == "instance" or (self.kind == "batch" and self.training and images == 1)
        if positions == 1 and alone:
            raise InputError(
                f"{self.kind} norm needs more than one value of a channel, got a feature map of size "
                f"{'x'.join(map(str, x.shape[2:]))}; take a larger patch size, or a network that pools less"
            )


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of each position, for maps laid out (batch, channel, *spatial)."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as `input`."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def modality_modules(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """Modules by modality, so that the modality's name is in the names of its weights.

    Raises InputError for a name that torch can't use there (empty, with a dot, or a word like "keys").
    """
    by_modality = nn.ModuleDict()
    for name, module in modules.items():
        if not name or "." in name or hasattr(by_modality, name):
            raise InputError(
                f"modality {name!r} can't name weights: expected a name without a dot that is no word of torch's "
                f'ModuleDict (such as "keys" or "train"); rename it in the manifest, for example to "{name}_images"'
            )
        by_modality[name] = module
    return by_modality


def run_modalities(
    run: Run, images: Mapping[str, Images], concatenate: bool | None, mixed: bool
) -> dict[str, NetworkOutput]:
    """Run a network over {modality: images}: once over all of them, or once per modality.

    Values and gradients are equal, except where layers mix the modalities (`mixed`, a shared norm): then it is always
    once over all. `concatenate=None` is once per modality on a CPU and once over all on an accelerator, which has more
    cores to fill (not measured). On a CPU it hardly matters: once over all took 1.08 times as long at the papers' size
    (8 images of 256x256 each) and 0.93 to 0.96 at 96x96 and 128x128 (`benchmarks/concatenated_forward.py`).
    Images of different size run once per modality; where layers mix, that is an InputError.
    """
    sizes = {name: tuple(x.shape[1:]) for name, x in images.items()}
    same_size = len(set(sizes.values())) == 1
    if mixed and not same_size:
        raise InputError(
            f"a norm shared by all modalities, or their fusion, needs images of one size in one step, got {sizes}; "
            "use one patch size, or a norm per modality"
        )
    if concatenate is None:
        concatenate = next(iter(images.values())).device.type != "cpu"
    if len(images) == 1 or not (mixed or (concatenate and same_size)):
        return {name: run(x, {name: len(x)}) for name, x in images.items()}
    groups = {name: len(x) for name, x in images.items()}
    output = run(torch.cat(list(images.values())), groups)
    sections = list(groups.values())
    logits = output.logits.split(sections)
    features = {name: maps.split(sections) for name, maps in output.features.items()}
    return {
        modality: NetworkOutput(logits[i], {name: parts[i] for name, parts in features.items()})
        for i, modality in enumerate(groups)
    }


def check_modalities(images: Mapping[str, Images], modalities: Sequence[str]) -> None:
    """Raise InputError unless `images` hold at least one modality, and none but `modalities`."""
    if not images:
        raise InputError(f"the network got no images; give at least one of its modalities: {', '.join(modalities)}")
    for name in images:
        if name not in modalities:
            raise InputError(f"the network doesn't know modality {name!r}; {nearest(name, list(modalities))}")


def check_images(
    images: Mapping[str, Images], modalities: Sequence[str], channels: int, multiples: Sequence[int]
) -> None:
    """Raise InputError unless `images` are of known modalities, with `channels` channels, in sizes that fit.

    `multiples` is what each spatial size must be a multiple of.
    """
    check_modalities(images, modalities)
    for name, x in images.items():
        if x.ndim != 2 + len(multiples) or x.shape[1] != channels:
            raise InputError(
                f"modality {name!r}: expected images of shape (batch, {channels}, {len(multiples)} spatial axes), "
                f"got {tuple(x.shape)}"
            )
        if any(size % multiple for size, multiple in zip(x.shape[2:], multiples, strict=True)):
            raise InputError(
                f"modality {name!r}: spatial sizes {tuple(x.shape[2:])} must be multiples of {tuple(multiples)}; "
                "change the patch size or pad the images"
            )


def _norm(kind: str, channels: int, spatial_dims: int, eps: float, momentum: float, norm_groups: int) -> nn.Module:
    match kind:
        case "batch":
            norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[spatial_dims]
            return norm(channels, eps=eps, momentum=momentum)
        case "instance":
            norm = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[spatial_dims]
            return norm(channels, eps=eps, affine=True)
        case "group":
            return nn.GroupNorm(gcd(norm_groups, channels), channels, eps=eps)
        case "layer":
            return ChannelLayerNorm(channels, eps=eps)
    kinds = ["batch", "instance", "group", "layer"]
    raise InputError(f"norm {kind!r} is not known; {nearest(kind, kinds)}")
