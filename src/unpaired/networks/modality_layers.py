"""Every layer that depends on the modality.

A batch may hold images of several modalities one after the other; `groups` says {modality: number of images}, in that
order. The layers here split the batch by it, so that each image meets the weights of its own modality.
"""

from collections.abc import Callable, Mapping, Sequence
from math import gcd, prod
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from unpaired.errors import InputError, nearest
from unpaired.shapes import Features

NormKind = Literal["batch", "instance", "group", "layer"]
Groups = Mapping[str, int]
Built = TypeVar("Built", bound=nn.Module)
BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


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
        return through_own(self.by_modality, x, groups)

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


class PerModality(nn.Module):
    """A module for each modality, each of which maps (images or maps, groups, ...) to a list of maps."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.by_modality = modality_modules(modules)

    def forward(self, x: Features, groups: Groups, *shared: Any) -> list[Tensor]:
        """Each image goes through the module of its own modality, which also gets `shared`; the maps join again."""
        parts = split_by_modality(x, groups)
        outputs = [self.by_modality[name](part, {name: len(part)}, *shared) for name, part in parts.items()]
        return [torch.cat(maps) for maps in zip(*outputs, strict=True)]


class Own(nn.Module):
    """A copy of a module for each modality; `grouped`: one that takes `groups` besides the maps."""

    def __init__(self, modules: Mapping[str, nn.Module], grouped: bool) -> None:
        super().__init__()
        self.by_modality = modality_modules(modules)
        self.grouped = grouped

    def forward(self, x: Tensor, groups: Groups) -> Tensor:
        """Each image goes through the copy of its own modality."""
        if not self.grouped:
            return through_own(self.by_modality, x, groups)
        parts = split_by_modality(x, groups)
        return torch.cat([self.by_modality[name](part, {name: len(part)}) for name, part in parts.items()])


def through_own(by_modality: nn.ModuleDict, x: Tensor, groups: Groups) -> Tensor:
    """`x`, whose batch axis holds the modalities of `groups`, each part through the layer of its own modality."""
    if len(groups) == 1:
        (modality,) = groups
        return by_modality[modality](x)
    return torch.cat([by_modality[name](part) for name, part in split_by_modality(x, groups).items()])


def split_by_modality(x: Tensor, groups: Groups) -> dict[str, Tensor]:
    """The part of the batch `x` that each modality of `groups` has in it."""
    return dict(zip(groups, torch.split(x, list(groups.values())), strict=True))


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


def begun_alike(build: Callable[[str], Built], modalities: Sequence[str]) -> dict[str, Built]:
    """What `build` makes for each modality, drawn from the same random state; that moves on as after one of them.

    Weights are drawn on the CPU.
    """
    state = torch.get_rng_state()
    built: dict[str, Built] = {}
    for name in modalities:
        torch.set_rng_state(state)
        built[name] = build(name)
    return built


def _norm(kind: str, channels: int, spatial_dims: int, eps: float, momentum: float, norm_groups: int) -> nn.Module:
    match kind:
        case "batch":
            return BATCH_NORMS[spatial_dims](channels, eps=eps, momentum=momentum)
        case "instance":
            return INSTANCE_NORMS[spatial_dims](channels, eps=eps, affine=True)
        case "group":
            return nn.GroupNorm(gcd(norm_groups, channels), channels, eps=eps)
        case "layer":
            return ChannelLayerNorm(channels, eps=eps)
        case _:
            raise InputError(f"norm {kind!r} is not known; {nearest(kind, list(get_args(NormKind)))}")
