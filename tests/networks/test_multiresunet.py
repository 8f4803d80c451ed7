"""MultiResUNet: the paper's numbers of weights, its blocks spelled out with torch's functions, a network's promises."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.blocks import Layers, Unit
from unpaired.networks.modality_layers import ModalityNorm
from unpaired.networks.multiresunet import MultiResBlock, MultiResUNet, MultiResUNetConfig, ResPath, block_channels

NAMES = ("ct", "mr")


def small(dims: int = 2, **options: object) -> MultiResUNet:
    torch.manual_seed(0)
    config = MultiResUNetConfig(**{"width": 4, "stages": 3, **options})  # pyright: ignore[reportArgumentType]
    return config.build(NAMES, 1, 3, dims)


def images(dims: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(dims)
    return {name: torch.randn(2, 1, *[8, 12, 4][:dims], generator=generator) for name in NAMES}


@pytest.mark.parametrize(("dims", "channels", "printed"), [(2, 3, 7_262_750), (3, 4, 18_657_689)])
def test_parameters_as_printed_in_the_paper(dims: int, channels: int, printed: int) -> None:
    """Keras counts a norm's two running statistics; the units' norms there have no scale, and the last convolution no
    bias but a norm of one channel."""
    with torch.device("meta"):
        network = MultiResUNetConfig().build(["ct"], channels, 1, dims)
    kernels = sum(p.numel() for p in network.parameters() if p.ndim == 2 + dims)
    transposed = (nn.ConvTranspose2d, nn.ConvTranspose3d)
    biases = sum(m.out_channels for m in network.modules() if isinstance(m, transposed))
    norms = [m.by_modality["ct"] for m in network.modules() if isinstance(m, ModalityNorm)]
    of_units = [m.norm.by_modality["ct"] for m in network.modules() if isinstance(m, Unit)]
    normed, without_scale = (sum(m.weight.numel() for m in some) for some in (norms, of_units))  # pyright: ignore
    assert kernels + biases + (4 * normed - without_scale) + 3 == printed


def test_channels_of_the_first_blocks() -> None:
    """W = 1.67 * 32 = 53.44: 8.9, 17.8 and 26.7 channels, each rounded down."""
    assert block_channels(1.67 * 32) == (8, 17, 26)
    assert block_channels(1.67 * 64) == (17, 35, 53)
    assert block_channels(1.0) == (1, 1, 1)


def normed(x: Tensor) -> Tensor:
    """Batch norm at its start."""
    return F.batch_norm(x, None, None, training=True, eps=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_blocks_spelled_out(dims: int) -> None:
    torch.manual_seed(0)
    layers = Layers(("ct",), dims, "batch", modality_norm=True)
    conv = {2: F.conv2d, 3: F.conv3d}[dims]
    x = torch.randn(2, 3, *(4, 5, 3)[:dims])
    block = MultiResBlock(layers, 3, (1, 2, 4))
    a, b, c = (unit.convolution.weight for unit in block.units)  # pyright: ignore
    three = F.relu(normed(conv(x, a, padding=1)))  # pyright: ignore
    five = F.relu(normed(conv(three, b, padding=1)))  # pyright: ignore
    seven = F.relu(normed(conv(five, c, padding=1)))  # pyright: ignore
    shortcut = normed(conv(x, block.shortcut.convolution.weight))  # pyright: ignore
    expected = normed(F.relu(normed(torch.cat([three, five, seven], dim=1)) + shortcut))
    torch.testing.assert_close(block(x, {"ct": 2}), expected)

    path = ResPath(layers, 3, 5, units=2)
    expected = x
    for unit in path.units:
        main = F.relu(normed(conv(expected, unit.unit.convolution.weight, padding=1)))  # pyright: ignore
        expected = normed(F.relu(main + normed(conv(expected, unit.shortcut.convolution.weight))))  # pyright: ignore
    torch.testing.assert_close(path(x, {"ct": 2}), expected)


def test_stages_of_the_paper() -> None:
    with torch.device("meta"):
        network = MultiResUNetConfig().build(["ct"], 3, 5, 2)
        output = network({"ct": torch.zeros(1, 3, 64, 96)})["ct"]
    assert output.logits.shape == (1, 5, 64, 96)
    assert [len(path.units) for path in network.paths] == [4, 3, 2, 1]  # pyright: ignore
    assert tuple(output.features) == network.feature_names
    shapes = {name: tuple(maps.shape[1:]) for name, maps in output.features.items()}
    assert [shapes[f"encoder{n}"][0] for n in range(1, 6)] == [51, 105, 212, 426, 853]
    assert [shapes[f"path{n}"][0] for n in range(1, 5)] == [32, 64, 128, 256]
    assert shapes["encoder5"][1:] == (4, 6)
    assert shapes["decoder1"] == shapes["encoder1"] == (51, 64, 96)


@pytest.mark.parametrize("dims", [2, 3])
def test_every_parameter_of_multiresunet_is_trained(dims: int) -> None:
    network = small(dims)
    outputs = network(images(dims))
    assert {tuple(o.logits.shape) for o in outputs.values()} == {(2, 3, *[8, 12, 4][:dims])}
    sum(output.logits.square().mean() for output in outputs.values()).backward()  # pyright: ignore
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_one_pass_of_multiresunet_over_all_equals_one_each() -> None:
    concatenated, separate = small(concatenate=True), small(concatenate=False)
    together, apart = concatenated(images()), separate(images())
    for name in NAMES:
        torch.testing.assert_close(together[name].logits, apart[name].logits)
        torch.testing.assert_close(together[name].features["path1"], apart[name].features["path1"])


def test_a_ct_batch_never_moves_what_multiresunet_knows_of_mr() -> None:
    network = small()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network({"ct": images()["ct"]})
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(".by_modality.ct." in key for key in moved)


def test_joint_has_one_norm_for_all_modalities() -> None:
    network = small(modality_norm=False)
    assert network.mixed
    assert not [key for key in network.state_dict() if "by_modality" in key]


@pytest.mark.parametrize("field", [{"alpha": 0.0}, {"stages": 1}, {"width": 0}])
def test_fields_of_multiresunet_out_of_range(field: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(field))):
        MultiResUNetConfig(**field)  # pyright: ignore[reportArgumentType]
