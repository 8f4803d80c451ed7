"""What leaves the package: the network of one modality, with that modality's weights alone and equal logits."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unpaired.errors import InputError
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import Network, NetworkConfig
from unpaired.networks.one_modality import one_modality, trace
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.networks.unet import UNetConfig

NAMES = ("ct", "mr", "lge")
SMALL = UNetConfig(width=4, widest=8, blocks=(1, 1))
SWIN = SwinUNetConfig(width=4, depths=(1, 1), heads=(1, 2), window=2, patch=2, modality_scale=True)


def trained(config: NetworkConfig, modalities: tuple[str, ...] = NAMES) -> Network:
    """A network whose modalities differ in every weight and statistic that is their own."""
    torch.manual_seed(0)
    network = config.build(modalities, 1, 3, 2).eval()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand_like(tensor)
    return network


def image(network: Network) -> Tensor:
    size = [4 * multiple for multiple in network.size_multiples]
    return torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, own=("encoder1", "output")),
        IndependentNetworksConfig(SMALL),
        SpecificUNetsConfig(SMALL, "paired"),
        SWIN,
        FCNConfig(width=2),
        FCNConfig(width=2, own=("group1", "group10", "output")),
    ],
    ids=lambda config: type(config).__name__,
)
def test_logits_are_equal_and_other_modalities_weights_are_gone(config: NetworkConfig) -> None:
    network = trained(config)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = image(network)
    single = len(list(config.build(["mr"], 1, 3, 2).state_dict()))
    for modality in ("mr", "lge"):
        alone = one_modality(network, modality)
        with torch.no_grad():
            torch.testing.assert_close(alone(x), network({modality: x})[modality].logits)
            assert (alone(x) - network({"ct": x})["ct"].logits).abs().max() > 1e-3
        assert not any(f".{other}." in name for name in alone.state_dict() for other in set(NAMES) - {modality})
        assert len(alone.state_dict()) <= single
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_graph_holds_what_it_reads() -> None:
    """Norms count their batches in training only; a graph of any size takes other sizes."""
    network = trained(UNetConfig(width=4, widest=8, blocks=(1, 1), norm="batch"))
    alone = one_modality(network, "ct")
    x = image(network)
    program = trace(alone, (4, 6), 1, any_size=True)
    assert not [name for name in program.state_dict if "num_batches_tracked" in name]
    assert [name for name in alone.state_dict() if "num_batches_tracked" in name]
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), network({"ct": x})["ct"].logits)


def test_what_cannot_be_is_refused_in_a_line() -> None:
    network = trained(SWIN)
    with pytest.raises(InputError, match="modality 'pet'"):
        one_modality(network, "pet")
    with pytest.raises(InputError, match=r"SwinUNet can't be written as a graph for any size .*leave the sizes"):
        trace(one_modality(network, "ct"), image(network).shape[2:], 1, any_size=True)
