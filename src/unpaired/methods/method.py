"""The contract of what trains a network: a module whose forward is the paper's whole objective."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from unpaired.data.batch import Batch
from unpaired.networks.network import Network
from unpaired.shapes import Images, Logits, Scalar


class Objective(NamedTuple):
    """`loss` is what is minimized; `terms` are its parts, detached, by the name the paper gives them (for the log)."""

    loss: Scalar
    terms: dict[str, Scalar]


class Method(nn.Module, ABC):
    """A training objective around a network. Whatever else it owns is dropped when the run is used or exported."""

    network: Network

    @abstractmethod
    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The objective on one step's batches; `progress` is the share of training done, in [0, 1)."""

    def predict(self, images: Images, modality: str) -> Logits:
        """Logits for images of one modality. Uses `network` alone."""
        return self.network({modality: images})[modality].logits


@dataclass(frozen=True)
class MethodConfig(ABC):
    """The fields that choose a method; its type is the choice of method."""

    @abstractmethod
    def build(self, network: Network, classes: int) -> Method:
        """Wrap `network`. Raises InputError if the network lacks a feature map that the method needs."""
