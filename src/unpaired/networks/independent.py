"""Row Single: one network per modality, trained in one run with one budget and sharing nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unpaired.networks.modality_layers import begun_alike, modality_modules
from unpaired.networks.network import Network, NetworkConfig, NetworkOutput
from unpaired.networks.shared_network import check_modalities
from unpaired.shapes import Images


@dataclass(frozen=True)
class IndependentNetworksConfig(NetworkConfig):
    """A separate copy of `network` for each modality."""

    network: NetworkConfig

    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> "IndependentNetworks":
        """Every copy is drawn from the same random state, so each starts as it would if it were built alone."""
        return IndependentNetworks(
            begun_alike(lambda name: self.network.build([name], channels, classes, spatial_dims), modalities)
        )

    def load_pretrained(self, network: Network) -> dict[str, Any] | None:
        """Into each modality's copy, from what the inner config names."""
        assert isinstance(network, IndependentNetworks)  # built by this config
        records = [self.network.load_pretrained(network.alone(name)) for name in network.modalities]
        return records[0]  # the copies are alike, and so are their records


class IndependentNetworks(Network):
    """{modality: network}; each network sees the images of its own modality only."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        super().__init__()
        any_network = next(iter(networks.values()))
        self.modalities = tuple(networks)
        self.channels = any_network.channels
        self.feature_names = any_network.feature_names
        self.size_multiples = any_network.size_multiples
        self.mixes_images = any_network.mixes_images
        self.by_modality = modality_modules(networks)

    def forward(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """Raises InputError for an unknown modality."""
        check_modalities(images, self.modalities)
        return {name: self.by_modality[name]({name: x})[name] for name, x in images.items()}

    def alone(self, modality: str) -> Network:
        """The network of one modality."""
        network = self.by_modality[modality]
        assert isinstance(network, Network)
        return network
