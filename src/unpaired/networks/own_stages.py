"""Stages of a network that each modality has a copy of: dual streams (Valindria et al., WACV 2018)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from unpaired.errors import InputError, nearest
from unpaired.networks.blocks import Layers
from unpaired.networks.modality_layers import Groups, Own


@dataclass(frozen=True)
class Stages:
    """Builds the stages of a network: those that are named in `own` once for each modality, the others once."""

    layers: Layers
    own: tuple[str, ...]
    norms: Mapping[str, str] = field(default_factory=dict)
    """{stage: kind of its norms} of those that have another kind than the rest."""

    def build(self, name: str, of: Callable[[Layers], nn.Module], grouped: bool = True) -> nn.Module:
        """A stage, or its copies with norms of their own modality alone; `grouped`: one that takes groups."""
        layers = replace(self.layers, norm_kind=self.norms.get(name, self.layers.norm_kind))
        if name not in self.own:
            return of(layers)
        return Own({name: of(replace(layers, modalities=(name,))) for name in layers.modalities}, grouped)


def through(module: nn.Module, x: Tensor, groups: Groups) -> Tensor:
    """What takes no groups unless each modality has a copy of it."""
    return module(x, groups) if isinstance(module, Own) else module(x)


def require_stages(own: Sequence[str], known: Sequence[str], config: str) -> None:
    """Raise InputError for a stage in `own` that a network of this config doesn't have."""
    for name in own:
        if name not in known:
            raise InputError(f"{config}.own: {name!r} is no stage of this network; {nearest(name, list(known))}")
