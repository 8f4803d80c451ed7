"""What every network can be asked for: its feature maps by name, and their channels."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unpaired.errors import InputError
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import Network, NetworkOutput
from unpaired.networks.unet import UNetConfig

C = 3
FCN = FCNConfig(width=2, dropout=0.0)
GROUPS = ("group9", "group5", "group3")


@pytest.mark.parametrize(
    ("network", "scales", "dims", "channels"),
    [
        (FCN, GROUPS, 2, [64, 32, 8]),
        (replace(FCN, pool_strides=((1, 2, 2),) * 3), GROUPS, 3, [64, 32, 8]),
        (UNetConfig(width=4, blocks=(1, 1, 1)), ("decoder2", "decoder1"), 3, [8, 4]),
        (
            UNetConfig(width=4, blocks=(1, 1, 1), norm="batch", modality_norm=False),
            ("encoder3", "decoder1"),
            2,
            [16, 4],
        ),
        (IndependentNetworksConfig(FCN), ("group9", "group1"), 2, [64, 2]),
    ],
)
def test_channels_are_found_without_computing(
    network: FCNConfig | UNetConfig | IndependentNetworksConfig, scales: tuple[str, ...], dims: int, channels: list[int]
) -> None:
    torch.manual_seed(0)
    built = network.build(("ct", "mr"), 1, C, dims)
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    assert built.feature_channels(scales) == channels
    torch.testing.assert_close(built.state_dict(), before, rtol=0, atol=0)


class OnTheProcessor(Network):
    """A network that makes a tensor on the CPU, whatever the device of its input."""

    modalities, channels, feature_names, size_multiples = ("ct",), 1, ("map",), (1, 1)

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, NetworkOutput]:
        shifted = images["ct"] + torch.ones(1, 1, 2, 2, device="cpu")
        return {"ct": NetworkOutput(shifted, {"map": shifted})}


def test_a_network_that_is_tied_to_a_device_can_not_be_looked_into() -> None:
    with pytest.raises(InputError, match="channels of map: the network does not run on torch's meta device"):
        OnTheProcessor().feature_channels(["map"])


def test_a_feature_map_that_is_asked_for_is_required() -> None:
    network = FCN.build(("ct", "mr"), 1, C, 2)
    network.require_features(GROUPS, "scales")
    with pytest.raises(InputError, match="scales: the network has no feature map 'grop5'; did you mean group5"):
        network.require_features(("group9", "grop5"), "scales")
    network.feature_names = ()
    with pytest.raises(InputError, match="it gives none: take another network"):
        network.require_features(("group9",), "scales")
