# pyright: reportPrivateUsage=false
# (torch keeps to itself the base class of its norms, and a module's second names)
"""Any torch network as a `Network`: norms per modality, feature maps tapped by module name.

A recipe names a function that builds the network, and the modules whose outputs methods may read:

    def my_network(channels: int, classes: int, spatial_dims: int) -> nn.Module: ...

    network = AdaptedConfig("my_file:my_network", features=("encoder.3", "encoder.4"))

Each norm of the network that has weights or statistics is replaced by one copy per modality (CSA Eq. 1); everything
else is shared. The network knows nothing of modalities: it sees images of one modality per pass.
"""

import copy
from bisect import bisect_left
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from unpaired.configs import Axes, Name
from unpaired.consent.factories import NamesCode, find_factory
from unpaired.errors import InputError, nearest
from unpaired.networks.modality_layers import Groups, modality_modules
from unpaired.networks.network import NetworkConfig, NetworkOutput
from unpaired.networks.shapes_alone import ShapesAlone
from unpaired.networks.shared_network import SharedNetwork
from unpaired.shapes import Images

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
"""Batch and instance norms (`_NormBase`), group, layer and RMS norms."""
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
MONAI_KEYWORDS = {"channels": "in_channels", "classes": "out_channels"}
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class AdaptedConfig(NetworkConfig):
    """A torch network of anybody's, built by a function of (channels, classes, spatial_dims)."""

    factory: Annotated[str, NamesCode()]
    """Where the function or class is: "module:name", as in `monai.networks.nets:UNet`. It is called with the keywords
    `channels`, `classes` and `spatial_dims` renamed by `keywords`, and with `arguments`. A stored recipe is read back
    with the consent of whoever reads it (`unpaired.consent`), but for networks of MONAI."""
    features: tuple[Name, ...] = ()
    """Names of modules (as in `named_modules()`) whose outputs are feature maps: (batch, channel, *spatial)."""
    arguments: Mapping[str, Any] | None = field(default=None, hash=False)
    """Further keyword arguments of the function; JSON values."""
    keywords: Mapping[str, str] | None = field(default=None, hash=False)
    """The function's names for `channels`, `classes`, `spatial_dims` where they differ; None: `in_channels` and
    `out_channels` of MONAI's, no other names of others. An empty name leaves the argument out."""
    modality_norm: bool = True
    """A copy of each norm per modality; False is one for all (row Joint)."""
    size_multiples: Axes | None = None
    """Per spatial axis, what image sizes must be multiples of; None: found by trying sizes without computing."""

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "AdaptedNetwork":
        """Raises InputError if the function is not there or refuses, or for a feature that is no module's name."""
        network = self._call(channels=channels, classes=classes, spatial_dims=spatial_dims)
        modules = dict(network.named_modules())
        for name in self.features:
            if name not in modules:
                raise InputError(f"{self.factory} has no module {name!r} to tap; {nearest(name, list(modules)[1:])}")
        multiples = self.size_multiples
        if multiples is None:
            multiples = find_size_multiples(network, channels, spatial_dims, self.factory)
        if len(multiples) != spatial_dims:
            raise InputError(
                f"size_multiples: expected {spatial_dims} numbers, one for each axis, got {multiples}; give as many"
            )
        return AdaptedNetwork(network, modalities, channels, classes, multiples, self.features, self.modality_norm)

    def _call(self, **given: int) -> nn.Module:
        factory = find_factory(self.factory)
        names = self.keywords
        if names is None:
            names = MONAI_KEYWORDS if self.factory.startswith("monai.") else {}
        keywords = {names.get(name, name): value for name, value in given.items() if names.get(name, name)}
        try:
            network = factory(**keywords, **(self.arguments or {}))
        except (TypeError, ValueError, AssertionError, RuntimeError, LookupError, ImportError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{self.factory} can't be built with {keywords | dict(self.arguments or {})}: {reason}; correct "
                "network.arguments, or network.keywords if it calls channels, classes or spatial_dims otherwise"
            ) from error
        if not isinstance(network, nn.Module):
            raise InputError(
                f"{self.factory}: expected it to return a torch module, got {type(network).__name__}; name a class of "
                "networks, or a function that returns one"
            )
        return network


class AdaptedNetwork(SharedNetwork):
    """Another's network with norms per modality. Its weights keep their names, under `network.`."""

    def __init__(
        self,
        network: nn.Module,
        modalities: Sequence[str],
        channels: int,
        classes: int,
        size_multiples: tuple[int, ...],
        features: tuple[str, ...] = (),
        modality_norm: bool = True,
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.channels, self.classes = channels, classes
        self.size_multiples = size_multiples
        self.feature_names = features
        self.concatenate = False
        self.mixed = not modality_norm and any(
            isinstance(module, _NormBase) and not isinstance(module, INSTANCE_NORMS) for module in network.modules()
        )
        self.network = split_norms(network, self.modalities) if modality_norm else network
        self._splits = [module for module in self.network.modules() if isinstance(module, NormOfModality)]

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over images of one modality, or of several where every norm is shared (row Joint).

        Raises InputError for outputs that are no logits of the images' size.
        """
        tapped: dict[str, Any] = {}
        with self._tapping(tapped), self._norms_of(groups):
            logits = self.network(x)
        expected = (len(x), self.classes, *x.shape[2:])
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            raise InputError(
                f"the adapted network returned {_shape(logits)} for images {tuple(x.shape)}; expected logits "
                f"{expected} (switch deep supervision off; one channel per class, background included)"
            )
        return NetworkOutput(logits, {name: _checked_feature(name, tapped.get(name), x) for name in self.feature_names})

    @contextmanager
    def _norms_of(self, groups: Groups) -> Generator[None]:
        """For one pass only: what runs again after it must not be normalized as another modality."""
        for norm in self._splits:
            (norm.modality,) = groups
        try:
            yield
        finally:
            for norm in self._splits:
                norm.modality = None

    @contextmanager
    def _tapping(self, tapped: dict[str, Any]) -> Generator[None]:
        """Hooks for one pass only, so that a copy of this network never fills the original's."""
        hooks = [
            self.network.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, name=name: tapped.update({name: output})
            )
            for name in self.feature_names
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


class NormOfModality(nn.Module):
    """A norm's copies by modality. `modality` is which of them the current pass uses; None outside of a pass."""

    def __init__(self, norm: nn.Module, modalities: Sequence[str]) -> None:
        super().__init__()
        self.by_modality = modality_modules({name: copy.deepcopy(norm) for name in modalities})
        self.modality: str | None = None

    def forward(self, x: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        """What the modality's own copy makes of `x`. Raises InputError outside of a pass, as in checkpointing."""
        if self.modality is None:
            raise InputError(
                "a norm per modality ran outside of a pass, where nobody knows the modality: switch gradient "
                "checkpointing off in the adapted network (MONAI: use_checkpoint), it runs layers again on the way back"
            )
        return self.by_modality[self.modality](x, *arguments, **keywords)


def split_norms(
    module: nn.Module, modalities: Sequence[str], met: dict[nn.Module, nn.Module] | None = None
) -> nn.Module:
    """Replace, in place, every norm that has weights or statistics by a copy per modality; returns the module.

    A network may hold one module under several names, as nnU-Net's do: what is one stays one (`met` remembers it).
    """
    met = {} if met is None else met
    if module in met:
        return met[module]
    met[module] = module
    if isinstance(module, NORMS):
        if list(module.parameters()) or list(module.buffers()):
            met[module] = NormOfModality(module, modalities)
        return met[module]
    for name, child in module._modules.items():  # not named_children: it leaves second names out
        if child is not None:
            module._modules[name] = split_norms(child, modalities, met)
    return module


def find_size_multiples(network: nn.Module, channels: int, spatial_dims: int, name: str) -> tuple[int, ...]:
    """Per axis the smallest power of two such that sizes of 3, 5 and 8 times it come back unchanged.

    Tried on torch's meta device, where shapes are worked out and nothing is computed. Raises InputError if no power up
    to 64 does.
    """
    probe = copy.deepcopy(network).to("meta").eval()
    multiples = [MULTIPLES[-1]] * spatial_dims
    for axis in range(spatial_dims):
        takes = partial(_takes, probe, channels, multiples, axis)
        multiples[axis] = MULTIPLES[bisect_left(MULTIPLES[:-1], True, key=takes)]
    refusal = _refusal(probe, channels, multiples, 0)
    if refusal:
        raise InputError(
            f"{name}: can't find out which image sizes it takes ({refusal}); mend it or give size_multiples"
        )
    return tuple(multiples)


def _takes(probe: nn.Module, channels: int, multiples: Sequence[int], axis: int, multiple: int) -> bool:
    """Whether the network takes multiples of `multiple` along an axis, and of `multiples` along the others."""
    return _refusal(probe, channels, [*multiples[:axis], multiple, *multiples[axis + 1 :]], axis) is None


def _refusal(probe: nn.Module, channels: int, multiples: Sequence[int], axis: int) -> str | None:
    """Why the network can't take multiples of these sizes along an axis, in a line; None if it can.

    A network of anybody's may fail in any way that Python code fails in.
    """
    for factor in (3, 5, 8):
        size = [factor * m if other == axis else 2 * m for other, m in enumerate(multiples)]
        try:
            with torch.no_grad(), ShapesAlone():
                output = probe(torch.empty(1, channels, *size, device="meta"))
        except (RuntimeError, ValueError, AssertionError, TypeError, LookupError, AttributeError) as error:
            return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        if not isinstance(output, Tensor) or list(output.shape[2:]) != size:
            return f"images of {tuple(size)} came back as {_shape(output)}"
    return None


def _checked_feature(name: str, output: Any, x: Tensor) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != x.ndim or len(output) != len(x):
        raise InputError(
            f"feature {name!r} is {_shape(output)}; expected (batch, channel, *spatial) with {x.ndim} axes: tap "
            "another module"
        )
    return output


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"
