"""SpatialConfiguration-Net: counts by hand, the product of its two parts spelled out, a network's promises."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.spatial_configuration import SpatialConfigurationConfig, SpatialConfigurationNet, bordered

NAMES = ("ct", "mr")


def small(dims: int = 2, **options: object) -> SpatialConfigurationNet:
    torch.manual_seed(0)
    given = {"width": 2, "levels": 3, "spatial_width": 3, **options}
    return SpatialConfigurationConfig(**given).build(NAMES, 1, 3, dims)  # pyright: ignore[reportArgumentType]


def images(dims: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(dims)
    return {name: torch.randn(2, 1, *[12, 16, 12][:dims], generator=generator) for name in NAMES}


def test_parameters_of_the_released_network() -> None:
    """3x3x3 kernels of four levels and three on the way up, a 1x1x1 one, four of 5x5x5; a bias each. Eight classes."""
    rows = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    rows += [(256 + 512, 256), (256, 256), (128 + 256, 128), (128, 128), (64 + 128, 64), (64, 64)]
    unet = sum(27 * before * after + after for before, after in rows)
    spatial = sum(125 * before * after + after for before, after in [(8, 64), (64, 64), (64, 64), (64, 8)])
    with torch.device("meta"):
        network = SpatialConfigurationConfig().build(["ct"], 1, 8, 3)
    assert sum(p.numel() for p in network.parameters()) == unet + 64 * 8 + 8 + spatial


def test_logits_are_the_product_of_both_parts() -> None:
    network = small()
    output = network(images())["ct"]
    local, spatial = output.features["local"], output.features["spatial"]
    torch.testing.assert_close(output.logits, local * spatial)
    decoded = output.features["decoder1"]
    torch.testing.assert_close(local, torch.tanh(F.conv2d(decoded, network.local.weight, network.local.bias)))
    x = F.avg_pool2d(local, 4)
    for layer in network.spatial:
        convolution = layer.convolution  # pyright: ignore
        x = F.relu(F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), convolution.weight, convolution.bias))  # pyright: ignore
    x = F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), network.configuration.weight, network.configuration.bias)
    torch.testing.assert_close(spatial, F.interpolate(x, scale_factor=4, mode="bilinear"), atol=1e-5, rtol=1e-5)


def test_levels_of_the_released_network() -> None:
    with torch.device("meta"):
        network = SpatialConfigurationConfig().build(["ct"], 1, 8, 3)
        output = network({"ct": torch.zeros(1, 1, 64, 64, 64)})["ct"]
    assert network.size_multiples == (8, 8, 8)
    assert tuple(output.features) == network.feature_names
    assert [tuple(output.features[f"encoder{n}"].shape[1:3]) for n in range(1, 5)] == [
        (64, 64),
        (128, 32),
        (256, 16),
        (512, 8),
    ]
    assert [output.features[f"decoder{n}"].shape[1] for n in range(1, 4)] == [64, 128, 256]
    assert output.features["spatial"].shape == output.logits.shape == (1, 8, 64, 64, 64)


@pytest.mark.parametrize(("dims", "norm"), [(2, None), (3, "instance"), (2, "batch")])
def test_every_parameter_of_the_configuration_net_is_trained(dims: int, norm: str | None) -> None:
    network = small(dims, norm=norm)
    sum(output.logits.square().mean() for output in network(images(dims)).values()).backward()  # pyright: ignore
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_norms_are_a_modalitys_own_and_one_pass_equals_two() -> None:
    together, apart = small(concatenate=True, norm="instance"), small(concatenate=False, norm="instance")
    for name, output in together(images()).items():
        torch.testing.assert_close(output.logits, apart(images())[name].logits)
    network = small(norm="batch")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network({"ct": images()["ct"]})
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(".by_modality.ct." in key for key in moved)
    assert small(norm="batch", modality_norm=False).mixed
    assert not small(modality_norm=False).mixed, "without norms nothing mixes"


def test_borders_are_reflected_and_repeated_where_the_map_is_too_small() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    reflected = torch.tensor([[4.0, 3, 4, 5, 4], [1, 0, 1, 2, 1], [4, 3, 4, 5, 4], [1, 0, 1, 2, 1]])
    torch.testing.assert_close(bordered(x, 1)[0, 0], reflected)
    repeated = bordered(x, 2)[0, 0]
    assert repeated.shape == (6, 7)
    assert repeated[0].tolist() == [0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("field", [{"levels": 1}, {"width": 0}, {"downsampling": 0}])
def test_fields_of_the_configuration_net_out_of_range(field: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(field))):
        SpatialConfigurationConfig(**field)  # pyright: ignore[reportArgumentType]
