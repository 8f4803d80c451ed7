"""CMC on a CNN: a U-Net for each modality, whose encoders and decoders meet in one fusion (`networks.fusion`).

As CMC's encoders, all begin alike. Without fusion this is row Single, and a run of `IndependentNetworksConfig` around
the same U-Net is a first stage for it: its weights fit, the fusion begins fresh.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unpaired.errors import InputError
from unpaired.networks.fusion import Fusion, Partners
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.modality_layers import Groups, modality_modules
from unpaired.networks.network import Network, NetworkConfig, NetworkOutput
from unpaired.networks.shared_network import SharedNetwork
from unpaired.networks.unet import UNet, UNetConfig, feature_names
from unpaired.shapes import Images


@dataclass(frozen=True)
class SpecificUNetsConfig(NetworkConfig):
    """A copy of `network` for each modality, with a fusion between their encoders and decoders."""

    network: UNetConfig
    """The U-Net that every modality has a copy of, with what it begins with; it may not have a fusion of its own."""
    fusion: Partners | None = "paired"
    """What lies between encoders and decoders: "paired", "alone" or None, as in `UNetConfig.fusion`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.fusion is not None:
            raise InputError(
                f"SpecificUNetsConfig.network.fusion: expected null, got {self.network.fusion!r}, as copies that fuse "
                "alone never meet; set SpecificUNetsConfig.fusion instead"
            )

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "SpecificUNets":
        """Every copy begins with the same weights. Raises InputError as `network` does."""
        copies = IndependentNetworksConfig(self.network).build(modalities, channels, classes, spatial_dims)
        networks = {name: copies.alone(name) for name in copies.modalities}
        return SpecificUNets({name: net for name, net in networks.items() if isinstance(net, UNet)}, self.fusion)

    def load_pretrained(self, network: Network) -> dict[str, Any] | None:
        """Into each modality's copy, from what the inner config names."""
        return self.network.load_pretrained(network)


class SpecificUNets(SharedNetwork):
    """{modality: U-Net}, with a fusion between all encoders and decoders where asked for. Features as of a UNet."""

    def __init__(self, networks: Mapping[str, UNet], fusion: str | None) -> None:
        super().__init__()
        some = next(iter(networks.values()))
        self.modalities, self.channels, self.size_multiples = tuple(networks), some.channels, some.size_multiples
        self.deepest = f"encoder{len(some.encoder)}"
        self.feature_names = feature_names(len(some.encoder), fusion)
        self.concatenate, self.mixed = False, fusion == "paired"
        self.by_modality = modality_modules(networks)
        dims = len(self.size_multiples)
        self.fusion = None if fusion is None else Fusion(self.modalities, some.bottleneck, fusion, dims)

    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""
        counts = list(groups.values())
        parts = zip(groups, x.split(counts), strict=True)
        features = {name: self.alone(name).encode(part, {name: len(part)}) for name, part in parts}
        deepest = [of[self.deepest] for of in features.values()]
        if self.fusion is not None:
            aware, fused = (maps.split(counts) for maps in self.fusion(torch.cat(deepest), groups))
            for of, awareness, fusion in zip(features.values(), aware, fused, strict=True):
                of["awareness"], of["fusion"] = awareness, fusion
            deepest = fused
        logits = [
            self.alone(name).decode(part, features[name], {name: len(part)})
            for name, part in zip(groups, deepest, strict=True)
        ]
        coarser = [self.alone(name).coarser_logits(of, {name: len(of[self.deepest])}) for name, of in features.items()]
        given = [named | those for named, those in zip(features.values(), coarser, strict=True)]
        joined = {name: torch.cat([of[name] for of in given]) for name in (*self.feature_names, *coarser[0])}
        return NetworkOutput(torch.cat(logits), joined)

    def alone(self, modality: str) -> UNet:
        """The U-Net of one modality."""
        network = self.by_modality[modality]
        assert isinstance(network, UNet)
        return network
