import pytest
import torch
from torch import nn

from unpaired.errors import InputError
from unpaired.networks.blocks import Layers, Pair, Unit, check_spatial_dims, initialize_convolutions

SIZES = {2: (6, 5), 3: (3, 6, 5)}


def layers(dims: int, norm_kind: str = "layer", modality_norm: bool = True) -> Layers:
    return Layers(("ct", "mr"), dims, norm_kind, modality_norm)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (1, 1), (5, 1), (3, 2)])
def test_a_convolution_keeps_the_size(dims: int, kernel: int, dilation: int) -> None:
    x = torch.randn(2, 3, *SIZES[dims])
    convolution = layers(dims).convolution(3, 4, (kernel,) * dims, dilation=dilation)
    assert convolution(x).shape == (2, 4, *SIZES[dims])
    assert convolution.bias is None


@pytest.mark.parametrize("dims", [2, 3])
def test_a_strided_convolution_divides_each_axis_by_its_stride(dims: int) -> None:
    stride, kernel = (1, 2, 3)[-dims:], (1, 3, 3)[-dims:]
    convolution = layers(dims).convolution(3, 4, kernel, stride, bias=True)
    assert convolution(torch.randn(1, 3, *(6,) * dims)).shape[2:] == torch.Size(6 // step for step in stride)
    assert convolution.bias is not None


@pytest.mark.parametrize(
    ("kind", "modality_norm", "mixed"),
    [("batch", False, True), ("batch", True, False), ("instance", False, False), ("group", False, False)],
)
def test_a_batch_norm_shared_by_all_alone_mixes_modalities(kind: str, modality_norm: bool, mixed: bool) -> None:
    made = layers(2, kind, modality_norm)
    assert made.mixed == mixed
    both = torch.cat([torch.randn(2, 4, 5, 5), 9 + torch.randn(2, 4, 5, 5)])
    norm = made.norm(4)
    together = norm(both, {"ct": 2, "mr": 2})
    apart = torch.cat([norm(both[:2], {"ct": 2}), norm(both[2:], {"mr": 2})])
    assert torch.allclose(together, apart, atol=1e-5) == (not mixed)


@pytest.mark.parametrize("slope", [0.2, None])
def test_a_unit_is_convolution_norm_and_activation(slope: float | None) -> None:
    made = layers(2)
    unit = Unit(made.convolution(3, 4, (3, 3)), made.norm(4), slope)
    x = torch.randn(2, 3, 6, 5)
    normalized = made.norm(4)(unit.convolution(x), {"mr": 2})  # a fresh layer norm scales by 1, as the unit's own
    expected = normalized if slope is None else torch.where(normalized > 0, normalized, slope * normalized)
    torch.testing.assert_close(unit(x, {"mr": 2}), expected)


def test_a_pair_is_two_units_in_their_order() -> None:
    made = layers(2)
    first, second = (Unit(made.convolution(a, b, (3, 3)), made.norm(b), 0.2) for a, b in ((3, 4), (4, 6)))
    x, groups = torch.randn(2, 3, 6, 5), {"ct": 1, "mr": 1}
    torch.testing.assert_close(Pair(first, second)(x, groups), second(first(x, groups), groups))


def convolutions() -> nn.ModuleList:
    """One of each kind: 64 channels in, kernel 3; enough weights to tell a deviation."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Conv3d, nn.ConvTranspose3d)
    return nn.ModuleList(kind(64, 64, 3) for kind in kinds)


@pytest.mark.parametrize("slope", [0.01, 0.2])
def test_he_initialization_keeps_the_variance_behind_the_activation(slope: float) -> None:
    torch.manual_seed(0)
    network = convolutions()
    initialize_convolutions(network, "he", slope)
    for layer in network:
        fan_in = 64 * 3 ** (layer.weight.ndim - 2)
        assert layer.weight.std().item() == pytest.approx((2 / (1 + slope**2) / fan_in) ** 0.5, rel=0.02)
        assert not layer.bias.any()


def test_the_official_initialization_truncates_all_but_transposed_convolutions() -> None:
    torch.manual_seed(0)
    network = convolutions()
    initialize_convolutions(network, "official", 0.2)
    for layer in network:
        transposed = isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d)
        assert (layer.weight.abs().max() > 0.02) == transposed
        # Of a normal variable cut at two deviations the deviation is 0.88 of the whole one's.
        assert layer.weight.std().item() == pytest.approx(0.01 if transposed else 0.0088, rel=0.02)
        assert not layer.bias.any()


def test_initialization_leaves_other_layers_alone() -> None:
    network = nn.ModuleList([nn.Linear(4, 4), nn.BatchNorm2d(4)])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialize_convolutions(network, "he", 0.2)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("spatial_dims", [1, 4])
def test_neither_slices_nor_volumes(spatial_dims: int) -> None:
    with pytest.raises(InputError, match=f"segments 2D or 3D images, got spatial_dims={spatial_dims}; take 2 or 3"):
        check_spatial_dims(spatial_dims)
    for fine in (2, 3):
        check_spatial_dims(fine)
