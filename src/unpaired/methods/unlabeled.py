"""What the semi-supervised methods that wrap others share: which images they look at, and a second network."""

import copy
from collections.abc import Mapping

from unpaired.data.batch import Batch
from unpaired.networks.network import Network
from unpaired.shapes import Images


def unlabeled_images(batches: Mapping[str, Batch]) -> dict[str, Images]:
    """The unlabeled images of each modality that has some."""
    return {modality: batch.unlabeled for modality, batch in batches.items() if batch.unlabeled is not None}


def image_sets(batches: Mapping[str, Batch], labeled: bool) -> list[dict[str, Images]]:
    """What is looked at beside the labels, one entry for each pass through a network: the unlabeled images, and with
    `labeled` the labeled ones too. Empty if no modality has unlabeled images.

    Passes of their own, as modalities may have other numbers of labeled than of unlabeled images, and some none.
    """
    unlabeled = unlabeled_images(batches)
    if not unlabeled:
        return []
    return [unlabeled, {modality: batch.images for modality, batch in batches.items()}][: 1 + labeled]


def duplicate(network: Network) -> Network:
    """A copy whose frozen parameters are the very ones of `network`: what nobody trains is held, and filled with
    pre-trained weights, once."""
    frozen = {id(parameter): parameter for parameter in network.parameters() if not parameter.requires_grad}
    return copy.deepcopy(network, frozen)
