"""UMMKD's 3D U-Net: counts by hand, TensorFlow's transposed convolution in plain loops, a network's promises."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oracles.convolution_loops import Array, Weights, below, convolve, convolve_transposed
from unpaired.errors import InputError
from unpaired.networks.modality_layers import ModalityNorm
from unpaired.networks.ummkd_unet import Doubling, UMMKDUNet, UMMKDUNetConfig

NAMES = ("ct", "mr")


def small(dims: int = 3, **options: object) -> UMMKDUNet:
    torch.manual_seed(0)
    config = UMMKDUNetConfig(width=2, **{"initialization": "he", **options})  # pyright: ignore[reportArgumentType]
    return config.build(NAMES, 1, 3, dims)


def images(dims: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(dims)
    return {name: torch.randn(2, 1, *[8, 16, 24][:dims], generator=generator) for name in NAMES}


def test_parameters_as_in_the_released_network() -> None:
    """Kernel voxels x channels in x channels out, layer by layer, for five classes and one channel in."""
    kernels = [
        *(27 * 1 * 16, 27 * 16 * 32),
        *(27 * 32 * 32, 27 * 32 * 64),
        *(9 * 64 * 64, 9 * 64 * 128),
        *(9 * 128 * 128, 9 * 128 * 256),
        *(9 * 256 * 128, 9 * (128 + 128) * 128, 9 * 128 * 128),
        *(9 * 128 * 128, 27 * (128 + 64) * 64, 27 * 64 * 64),
        *(27 * 64 * 64, 27 * (64 + 32) * 32, 27 * 32 * 32),
        32 * 5,
    ]
    assert sum(kernels) == 2_198_608
    normed = 16 + 32 + 32 + 64 + 64 + 128 + 128 + 256 + 3 * 128 + 128 + 2 * 64 + 64 + 2 * 32
    with torch.device("meta"):
        network = UMMKDUNetConfig().build(NAMES, 1, 5, 3)
        alone = UMMKDUNetConfig().build(["ct"], 1, 5, 3)
        joint = UMMKDUNetConfig(modality_norm=False).build(NAMES, 1, 5, 3)
    counts = [sum(p.numel() for p in n.parameters()) for n in (network, alone, joint)]
    assert counts == [2_198_608 + 5 + 2 * norms * normed for norms in (2, 1, 1)]
    assert sorted(p.numel() for p in network.parameters() if p.ndim == 5) == sorted(kernels)


def test_levels_as_in_the_released_network() -> None:
    with torch.device("meta"):
        network = UMMKDUNetConfig().build(["ct"], 1, 5, 3)
        output = network({"ct": torch.zeros(2, 1, 8, 256, 256)})["ct"]
    assert output.logits.shape == (2, 5, 8, 256, 256)
    assert {name: tuple(maps.shape[1:]) for name, maps in output.features.items()} == {
        "encoder1": (32, 8, 256, 256),
        "encoder2": (64, 4, 128, 128),
        "encoder3": (128, 2, 64, 64),
        "encoder4": (256, 1, 32, 32),
        "decoder1": (32, 8, 256, 256),
        "decoder2": (64, 4, 128, 128),
        "decoder3": (128, 2, 64, 64),
    }
    assert tuple(output.features) == network.feature_names
    flat = [m.kernel_size for m in network.modules() if isinstance(m, nn.Conv3d | nn.ConvTranspose3d)]
    assert flat.count((1, 3, 3)) == 8  # encoder3 and 4, decoder3, and two transposed ones
    assert flat.count((3, 3, 3)) == 9
    assert [m.bias is not None for m in network.modules() if isinstance(m, nn.Conv3d)].count(True) == 1
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
    assert len(norms) == 17
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.1)}


def unit(x: list[Array], weights: Weights, modality: str, double: bool = False) -> list[Array]:
    """Convolution (or transposed, to twice the size), norm over all images of the modality, leaky ReLU of 0.2."""
    convolution = below(weights, "convolution.convolution" if double else "convolution")
    kernel = convolution["weight"].shape[2:]
    if double:
        y = [convolve_transposed(image, convolution, (2, 2, 2), [2 * n for n in image.shape[1:]]) for image in x]
    else:
        y = [convolve(image, convolution, (1, 1, 1), [n // 2 for n in kernel]) for image in x]
    maps, norm = np.stack(y, axis=1), below(weights, f"norm.by_modality.{modality}")
    for c, of_channel in enumerate(maps):
        of_channel[:] = (of_channel - of_channel.mean()) / np.sqrt(of_channel.var() + 1e-3)
        of_channel[:] = norm["weight"][c] * of_channel + norm["bias"][c]
    return list(np.where(maps > 0, maps, 0.2 * maps).swapaxes(0, 1))


def pooled(x: Array) -> Array:
    C, D, H, W = x.shape
    return x.reshape(C, D // 2, 2, H // 2, 2, W // 2, 2).max((2, 4, 6))


def written_out(x: list[Array], weights: Weights, modality: str) -> dict[str, list[Array]]:
    """The table in the network's docstring, in training: statistics are of the modality's own batch."""
    maps: dict[str, list[Array]] = {}
    for level in (1, 2, 3, 4):
        x = x if level == 1 else [pooled(image) for image in x]
        for name in ("first", "second"):
            x = unit(x, below(weights, f"encoder.{level - 1}.{name}"), modality)
        maps[f"encoder{level}"] = x
    for level in (3, 2, 1):
        x = unit(x, below(weights, f"up.{level - 1}"), modality, double=True)
        x = [np.concatenate(pair) for pair in zip(x, maps[f"encoder{level}"], strict=True)]
        for name in ("first", "second"):
            x = unit(x, below(weights, f"decoder.{level - 1}.{name}"), modality)
        maps[f"decoder{level}"] = x
    return maps | {"logits": [convolve(image, below(weights, "output"), (1, 1, 1), (0, 0, 0)) for image in x]}


def test_the_network_written_out_in_a_volume() -> None:
    network, generator = small().double(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():  # a norm's 1 and 0 would hide whose they are
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.double)
        volumes = {name: x[..., :8, :16].double() for name, x in images().items()}
        outputs = network(volumes)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    for modality, output in outputs.items():
        expected = written_out(list(volumes[modality].numpy()), weights, modality)
        for name, maps in {**output.features, "logits": output.logits}.items():
            np.testing.assert_allclose(maps.numpy(), np.stack(expected[name]), rtol=1e-9, atol=1e-9, err_msg=name)


def test_no_layer_drops_anything() -> None:
    assert not [m for m in small().modules() if isinstance(m, nn.Dropout)]


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 3), (3, 3)])
def test_doubling_is_tensorflows_same(kernel: tuple[int, ...]) -> None:
    """Cell i adds kernel cell k to cell 2i + k of the output; what falls outside twice the size is lost."""
    torch.manual_seed(0)
    layer = Doubling(2, 3, kernel)
    x = torch.randn(1, 2, *(2, 3, 2)[: len(kernel)])
    expected = torch.zeros(1, 3, *(2 * size for size in x.shape[2:]))
    for cell in itertools.product(*(range(size) for size in x.shape[2:])):
        for k in itertools.product(*(range(size) for size in kernel)):
            target = tuple(2 * i + step for i, step in zip(cell, k, strict=True))
            if all(i < size for i, size in zip(target, expected.shape[2:], strict=True)):
                values = x[(0, slice(None), *cell)] @ layer.convolution.weight[(slice(None), slice(None), *k)]
                expected[(0, slice(None), *target)] += values
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_every_parameter_is_trained(dims: int) -> None:
    network = small(dims)
    outputs = network(images(dims))
    assert {tuple(o.logits.shape) for o in outputs.values()} == {(2, 3, *[8, 16, 24][:dims])}
    sum(output.logits.square().mean() for output in outputs.values()).backward()  # pyright: ignore
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_one_pass_over_all_equals_one_each() -> None:
    concatenated, separate = small(concatenate=True), small(concatenate=False)
    separate.load_state_dict(concatenated.state_dict())
    together, apart = concatenated(images()), separate(images())
    for name in NAMES:
        torch.testing.assert_close(together[name].logits, apart[name].logits)
        torch.testing.assert_close(together[name].features["encoder4"], apart[name].features["encoder4"])


def test_a_ct_batch_never_moves_the_statistics_of_mr() -> None:
    network = small()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network({"ct": images()["ct"]})
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(".by_modality.ct." in key for key in moved)


def test_row_joint_has_one_norm_for_all() -> None:
    network = small(modality_norm=False)
    assert network.mixed
    assert not [key for key in network.state_dict() if "by_modality" in key]
    assert all(m.shared is not None for m in network.modules() if isinstance(m, ModalityNorm))


def test_released_initialization() -> None:
    network = small(initialization="official", norm="instance")
    plain = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.Conv3d)])
    transposed = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.ConvTranspose3d)])
    assert plain.abs().max() <= 0.02
    assert transposed.abs().max() > 0.02  # not truncated
    assert transposed.std().item() == pytest.approx(0.01, rel=0.1)


def test_images_of_four_axes_are_refused() -> None:
    with pytest.raises(InputError, match="2D or 3D images, got spatial_dims=4"):
        UMMKDUNetConfig().build(NAMES, 1, 3, 4)


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="must be multiples of \\(8, 8, 8\\)"):
        small()({"ct": torch.zeros(1, 1, 4, 16, 16)})
