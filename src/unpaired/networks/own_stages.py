"""Stages of a network that each modality has a copy of: dual streams (Valindria et al., WACV 2018).

Or whose norms are of another kind than the rest's: instance norm before batch norm (IBN-Net; Pan et al., ECCV 2018).
"""

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

    @property
    def mixed(self) -> bool:
        """Whether norms of any stage mix the modalities of a pass."""
        return self.layers.mixed or any(replace(self.layers, norm_kind=kind).mixed for kind in self.norms.values())

    def build(self, name: str, of: Callable[[Layers], nn.Module], grouped: bool = True) -> nn.Module:
        """A stage, or its copies with norms of their own modality alone; `grouped`: one that takes groups."""
        layers = replace(self.layers, norm_kind=self.norms.get(name, self.layers.norm_kind))
        if name not in self.own:
            return of(layers)
        return Own({name: of(replace(layers, modalities=(name,))) for name in layers.modalities}, grouped)


def through(module: nn.Module, x: Tensor, groups: Groups) -> Tensor:
    """What takes no groups unless each modality has a copy of it."""
    return module(x, groups) if isinstance(module, Own) else module(x)


def require_stages(named: Sequence[str], known: Sequence[str], field_name: str) -> None:
    """Raise InputError for a stage in the field (such as "UNetConfig.own") that its network doesn't have, or twice."""
    for number, name in enumerate(named):
        if name not in known:
            raise InputError(f"{field_name}: {name!r} is no stage of this network; {nearest(name, list(known))}")
        if name in named[:number]:
            raise InputError(f"{field_name}: names {name!r} twice; name it once")
