"""The contract of what trains a network: a module whose forward is the paper's whole objective."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from unpaired.configs import Config
from unpaired.data.batch import Batch
from unpaired.networks.network import Network
from unpaired.shapes import Images, Logits, Scalar


class Objective(NamedTuple):
    """`loss` is what is minimized; `terms` are its parts, without their weights, by the name the paper gives them.

    A term keeps its gradient, so that one can ask what it does (`analyses.diagnosis`); one that is no part of the loss,
    but only looked at, has none.
    """

    loss: Scalar
    terms: dict[str, Scalar]

    def plus(self, name: str, weight: float, term: Scalar) -> "Objective":
        """With one term more: `weight` times it in the loss, and itself among the terms by its name."""
        return Objective(self.loss + weight * term, {**self.terms, name: term})


class Method(nn.Module, ABC):
    """A training objective around a network. Whatever else it owns is dropped when the run is used or exported."""

    network: Network
    needs_unlabeled: bool = False
    """Whether it is for unlabeled images: training refuses a recipe that gives it none."""
    takes_unlabeled: bool = False
    """Whether it uses `Batch.unlabeled`: training refuses a recipe that gives unlabeled images to one that doesn't."""
    compares_unlabeled: bool = False
    """Whether its terms are of unlabeled images of two modalities and 0 with those of one: training says so."""

    caution: str = ""
    """What training says of it before it begins: a harm that was measured, and what to do instead."""
    sums: tuple[str, ...] = ()
    """Terms without a modality in their names that compare none: sums over modalities (`analyses.diagnosis`)."""

    @property
    def further_networks(self) -> tuple[Network, ...]:
        """Networks besides `network` that training begins with the same pre-trained weights; none here."""
        return ()

    @abstractmethod
    def forward(self, batches: Mapping[str, Batch], progress: float) -> Objective:
        """The objective on one step's batches; `progress` is the share of training done, in [0, 1)."""

    def after_step(self) -> None:
        """What follows each optimizer step, such as a moving average of the weights."""

    def predict(self, images: Images, modality: str, partners: Mapping[str, Images] | None = None) -> Logits:
        """Logits for images of one modality. Uses `network` alone.

        `partners` are images of other modalities, as many, image i beside image i, for networks that fuse what they get
        in one pass. Without them such a network fuses an image with itself.
        """
        given = {modality: images, **(partners or {})}
        ordered = {name: given[name] for name in self.network.modalities if name in given} if partners else given
        return self.network(ordered)[modality].logits


@dataclass(frozen=True)
class MethodConfig(Config, ABC):
    """The fields that choose a method; its type is the choice of method."""

    @abstractmethod
    def build(self, network: Network, classes: int) -> Method:
        """Wrap `network`. Raises InputError if the network lacks a feature map that the method needs."""
