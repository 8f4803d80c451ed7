"""CMC on the U-Net: fusion between shared or specific encoders and decoders."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from unpaired.errors import InputError
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.specific_unets import SpecificUNets, SpecificUNetsConfig
from unpaired.networks.unet import UNet, UNetConfig

NAMES = ("ct", "mr")
SMALL = UNetConfig(width=4, widest=12, blocks=(1, 2, 1))


def images(dims: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(dims)
    return {name: torch.randn(2, 1, *[8] * dims, generator=generator) for name in NAMES}


def built(dims: int = 2, fusion: str | None = None, specific: bool = False) -> UNet | SpecificUNets:
    torch.manual_seed(0)
    config = SpecificUNetsConfig(SMALL, fusion) if specific else replace(SMALL, fusion=fusion)
    return config.build(NAMES, 1, 3, dims)


@pytest.mark.parametrize("specific", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_decoder_gets_what_is_fused(dims: int, specific: bool) -> None:
    network = built(dims, fusion="paired", specific=specific)
    plain = built(dims, specific=specific)
    assert network.fusion is not None
    batch = images(dims)
    with torch.no_grad():
        fused, without = network(batch), plain(batch)
        aware, output = network.fusion(
            torch.cat([without[name].features["encoder3"] for name in NAMES]), dict.fromkeys(NAMES, 2)
        )
        for i, name in enumerate(NAMES):
            features = fused[name].features
            assert tuple(features) == network.feature_names
            torch.testing.assert_close(features["awareness"], aware[2 * i : 2 * i + 2])
            torch.testing.assert_close(features["fusion"], output[2 * i : 2 * i + 2])
            assert (fused[name].logits - without[name].logits).abs().max() > 1e-3
        for layer in (network.fusion.convolution2, *(part.convolution3 for part in network.fusion.awareness.values())):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for name, output in network(batch).items():  # nothing is added: as if there were no fusion
            torch.testing.assert_close(output.logits, without[name].logits)


@pytest.mark.parametrize("fusion", ["paired", "alone"])
@pytest.mark.parametrize("specific", [False, True])
def test_partners_matter_only_where_paired(fusion: str, specific: bool) -> None:
    network = built(fusion=fusion, specific=specific)
    batch = images(2)
    with torch.no_grad():
        alone = network({"ct": batch["ct"]})["ct"].logits
        together = network(batch)["ct"].logits
    assert (alone - together).abs().max() > 1e-4 if fusion == "paired" else torch.allclose(alone, together, atol=1e-5)


def test_specific_weights_without_fusion_are_row_single() -> None:
    torch.manual_seed(0)
    single = IndependentNetworksConfig(SMALL).build(NAMES, 1, 3, 2)
    specific = built(specific=True)
    specific.load_state_dict(single.state_dict())
    batch = images(2)
    for name in NAMES:
        assert torch.equal(specific(batch)[name].logits, single(batch)[name].logits)
    assert all(
        torch.equal(value, single.state_dict()[name]) for name, value in built(specific=True).state_dict().items()
    )
    assert {name.partition(".")[0] for name in built(specific=True, fusion="alone").state_dict()} == {
        "by_modality",
        "fusion",
    }


def test_a_paired_fusion_needs_equal_counts_and_sizes() -> None:
    network, batch = built(fusion="paired"), images(2)
    with pytest.raises(InputError, match="as many images of each modality"):
        network({"ct": batch["ct"], "mr": batch["mr"][:1]})
    with pytest.raises(InputError, match="images of one size"):
        network({"ct": batch["ct"], "mr": batch["mr"][:, :, :4]})
    with pytest.raises(InputError, match="copies that fuse alone never meet"):
        SpecificUNetsConfig(replace(SMALL, fusion="paired"))
