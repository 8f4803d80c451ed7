"""The residual-encoder U-Net against nnU-Net's library on equal weights (where it is installed), and its promises."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from unpaired.errors import InputError
from unpaired.networks.modality_layers import ModalityNorm, NormKind
from unpaired.networks.unet import UNet, UNetConfig, _kernels

NAMES = ("ct", "mr")
THICK = ((1, 2, 2), (2, 2, 2))
SMALL = UNetConfig(width=4, widest=12, blocks=(1, 2, 1))


def images(dims: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(dims)
    return {name: torch.randn(2, 1, *[16] * dims, generator=generator) for name in NAMES}


@pytest.mark.parametrize(
    ("strides", "kernels"),
    [
        (((2, 2), (2, 2)), [(3, 3)] * 3),
        (((1, 2, 2), (1, 2, 2), (2, 2, 2)), [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3)]),
        (((1, 2, 2),) * 3, [(1, 3, 3)] * 3 + [(3, 3, 3)]),
        (((1, 1), (2, 2)), [(3, 3)] * 3),
    ],
)
def test_kernels_wait_for_thick_slices(strides: tuple[tuple[int, ...], ...], kernels: list[tuple[int, ...]]) -> None:
    assert _kernels(strides) == kernels


@pytest.mark.parametrize(("dims", "strides"), [(2, None), (3, None), (3, THICK)])
@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_sizes_features_and_one_norm_per_modality(
    dims: int, strides: tuple[tuple[int, ...], ...] | None, norm: str
) -> None:
    network = UNetConfig(4, 12, (1, 2, 1), strides, norm).build(NAMES, 1, 3, dims)
    output = network(images(dims))
    assert list(output) == list(NAMES)
    features = output["ct"].features
    assert tuple(features) == network.feature_names
    assert output["ct"].logits.shape == (2, 3, *[16] * dims)
    sizes = {name: tuple(maps.shape[1:]) for name, maps in features.items()}
    deepest = (12, *(16 // m for m in network.size_multiples))
    assert sizes["encoder1"] == (4, *[16] * dims) == sizes["decoder1"]
    assert sizes["encoder3"] == deepest
    assert sizes["decoder2"] == sizes["encoder2"]
    norms = [module for module in network.modules() if isinstance(module, ModalityNorm)]
    assert all(set(module.by_modality) == set(NAMES) for module in norms)


def test_one_pass_over_all_equals_one_each() -> None:
    together, apart = (
        UNetConfig(4, 12, (1, 2, 1), norm="batch", concatenate=concatenate) for concatenate in (True, False)
    )
    concatenated, separate = together.build(NAMES, 1, 3, 2), apart.build(NAMES, 1, 3, 2)
    separate.load_state_dict(concatenated.state_dict())
    a, b = concatenated(images(2)), separate(images(2))
    for name in NAMES:
        torch.testing.assert_close(a[name].logits, b[name].logits)
        torch.testing.assert_close(a[name].features["encoder3"], b[name].features["encoder3"])


def test_row_joint_has_one_norm_for_all() -> None:
    network = UNetConfig(4, 12, (1, 1), modality_norm=False, norm="batch").build(NAMES, 1, 3, 2)
    assert not [key for key in network.state_dict() if "by_modality" in key]
    assert network.mixed


@pytest.mark.parametrize("dims", [2, 3])
def test_every_parameter_is_trained(dims: int) -> None:
    network = SMALL.build(NAMES, 1, 3, dims)
    sum(output.logits.square().mean() for output in network(images(dims)).values()).backward()
    # A bias in front of an instance norm is taken out by it; nnU-Net has them too.
    still = [
        name
        for name, p in network.named_parameters()
        if (p.grad is None or not p.grad.abs().max() > 0) and not name.endswith("convolution.bias")
    ]
    assert still == []


def built(dims: int = 2, **fields: Any) -> UNet:
    torch.manual_seed(0)
    return replace(SMALL, **fields).build(NAMES, 1, 3, dims)


def test_a_fusion_leaves_all_else_as_it_was() -> None:
    """Same names, same first values: a run with fusion begins as the one it is compared with."""
    plain, fused = built().state_dict(), built(fusion="paired").state_dict()
    assert {name for name in fused if name not in plain} == {name for name in fused if name.startswith("fusion.")}
    assert all(torch.equal(fused[name], value) for name, value in plain.items())


@pytest.mark.parametrize(
    ("fields", "dims", "words"),
    [
        (
            {"blocks": (1, 1), "strides": ((2, 2, 2),)},
            2,
            r"strides: expected 2 numbers for each stage, such as \(2, 2\)",
        ),
        (
            {"blocks": (1, 1, 1), "strides": ((2, 2),)},
            2,
            r"strides: expected 2 strides, one for each stage.*; give as many",
        ),
        ({}, 1, "2D or 3D"),
    ],
)
def test_fields_that_do_not_fit_are_named(fields: dict[str, Any], dims: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        UNetConfig(**fields).build(NAMES, 1, 3, dims)


@pytest.mark.parametrize(("dims", "strides"), [(2, ((2, 2), (2, 2))), (3, THICK)])
def test_it_equals_nnu_nets_on_equal_weights(dims: int, strides: tuple[tuple[int, ...], ...]) -> None:
    """Needs `dynamic_network_architectures`, which installs timm and torchvision: not in the tests' requirements."""
    library = pytest.importorskip("dynamic_network_architectures.architectures.unet", exc_type=ImportError)
    theirs = library.ResidualEncoderUNet(
        1,
        3,
        (4, 8, 12),
        {2: nn.Conv2d, 3: nn.Conv3d}[dims],
        _kernels(strides),
        ((1,) * dims, *strides),
        (1, 2, 1),
        3,
        1,
        conv_bias=True,
        norm_op={2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dims],
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    network = UNetConfig(4, 12, (1, 2, 1), strides).build(["ct"], 1, 3, dims)
    encoder, decoder = theirs.encoder, theirs.decoder
    pairs = [(network.stem, encoder.stem.convs[0])]
    for stage, other in zip(network.encoder, encoder.stages, strict=True):
        for block, their_block in zip(stage.blocks, other.blocks, strict=True):
            pairs += [(block.first, their_block.conv1), (block.second, their_block.conv2)]
            if block.project is not None:
                pairs.append((block.project, their_block.skip[-1]))
    pairs += [(unit, stage.convs[0]) for unit, stage in zip(network.decoder, reversed(decoder.stages), strict=True)]
    with torch.no_grad():
        for unit, their_unit in pairs:
            unit.convolution.load_state_dict(their_unit.conv.state_dict())
            unit.norm.by_modality["ct"].load_state_dict(their_unit.norm.state_dict())
        for up, their_up in zip(network.up, reversed(decoder.transpconvs), strict=True):
            up.load_state_dict(their_up.state_dict())
        network.output.load_state_dict(decoder.seg_layers[-1].state_dict())
        x = torch.randn(2, 1, *[16] * dims)
        torch.testing.assert_close(network({"ct": x})["ct"].logits, theirs(x), rtol=1e-5, atol=1e-5)
    used = sum(p.numel() for p in network.parameters())
    deep_supervision = sum(p.numel() for layer in decoder.seg_layers[:-1] for p in layer.parameters())
    assert used == sum(p.numel() for p in theirs.parameters()) - deep_supervision


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(
    "own", [("encoder1", "encoder2", "encoder3"), ("decoder2", "decoder1", "output"), ("encoder1", "output")]
)
def test_own_stages_are_a_modalitys_and_the_others_everybodys(own: tuple[str, ...], norm: str) -> None:
    config = UNetConfig(width=2, widest=8, blocks=(1, 2, 1), norm=norm, own=own)  # pyright: ignore[reportArgumentType]
    torch.manual_seed(0)
    network = config.build(("ct", "mr"), 1, 3, 2)
    x = {name: torch.randn(2, 1, 16, 16) for name in ("ct", "mr")}
    network(x)["ct"].logits.square().sum().backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert not any(".by_modality.mr." in name for name in reached)
    for stage in ("encoder1", "encoder2", "encoder3", "decoder1", "decoder2", "output"):
        kind, number = stage.rstrip("0123456789"), stage[-1]
        prefix = kind if kind == "output" else f"{kind}.{int(number) - 1}"
        kernels = [name for name, p in network.named_parameters() if name.startswith(prefix) and p.ndim > 1]
        assert kernels
        assert all((f"{prefix}.by_modality." in name) == (stage in own) for name in kernels)
    separate = network({"mr": x["mr"]})["mr"].logits  # a batch norm's statistics are of its own modality's images
    torch.testing.assert_close(network(x)["mr"].logits, separate)
    network.concatenate = True
    torch.testing.assert_close(network(x)["mr"].logits, separate)


def test_all_stages_own_are_networks_of_their_own() -> None:
    every = ("encoder1", "encoder2", "decoder1", "output")
    network = UNetConfig(width=2, widest=4, blocks=(1, 1), own=every).build(("ct", "mr"), 1, 3, 2)
    alone = UNetConfig(width=2, widest=4, blocks=(1, 1)).build(("mr",), 1, 3, 2)
    mine = {
        re.sub(r"^(stem|encoder\.\d|up\.\d|decoder\.\d|output)\.by_modality\.mr\.", r"\1.", name): value
        for name, value in network.state_dict().items()
        if not re.match(r"^(stem|encoder\.\d|up\.\d|decoder\.\d|output)\.by_modality\.ct\.", name)
    }
    alone.load_state_dict(mine)
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(network({"mr": x})["mr"].logits, alone({"mr": x})["mr"].logits)


def test_a_stage_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match=r"'encoder4' is no stage of this network; .*encoder"):
        UNetConfig(blocks=(1, 1, 1), own=("encoder4",))


@pytest.mark.parametrize("own", [(), ("encoder1", "decoder2")])
def test_stages_with_norms_of_another_kind(own: tuple[str, ...]) -> None:
    config = UNetConfig(width=2, blocks=(1, 1, 1), norm="batch", own=own, stage_norms=(("encoder1", "instance"),))
    network = config.build(("ct", "mr"), 1, 3, 2)
    kinds = {name: type(module) for name, module in network.named_modules() if "Norm" in type(module).__name__}
    first = {name for name in kinds if re.match(r"stem|encoder\.0", name)}
    assert {kinds[name] for name in first} == {ModalityNorm, nn.InstanceNorm2d}
    assert {kinds[name] for name in kinds.keys() - first} == {ModalityNorm, nn.BatchNorm2d}


def test_instance_norm_first_takes_contrast_out_and_lets_a_slice_differ_from_another() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 1, 16, 16)
    logits = {}
    for name, stages in {"batch": (), "instance, then batch": (("encoder1", "instance"),)}.items():
        config = UNetConfig(width=4, blocks=(1, 1, 1), norm="batch", stage_norms=stages)
        network = config.build(("ct",), 1, 3, 2).double().eval()
        logits[name] = [network({"ct": image.double()})["ct"].logits for image in (x, 100 * x)]
    torch.testing.assert_close(*logits["instance, then batch"], atol=1e-2, rtol=1e-2)
    assert not torch.allclose(*logits["batch"], atol=1e-1, rtol=1e-1)


def test_one_stage_of_shared_batch_norms_mixes_modalities() -> None:
    stages: tuple[tuple[str, NormKind], ...] = (("encoder2", "batch"),)
    assert UNetConfig(width=2, blocks=(1, 1), modality_norm=False, stage_norms=stages).build(("ct",), 1, 3, 2).mixed
    assert not UNetConfig(width=2, blocks=(1, 1), stage_norms=stages).build(("ct",), 1, 3, 2).mixed


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ((("encoder4", "batch"),), r"UNetConfig.stage_norms: 'encoder4' is no stage"),
        ((("output", "batch"),), r"UNetConfig.stage_norms: 'output' is no stage"),
        ((("encoder1", "batch"), ("encoder1", "instance")), r"UNetConfig.stage_norms: names 'encoder1' twice"),
    ],
)
def test_norms_of_a_stage_that_is_not_there_are_one_line(stages: tuple[tuple[str, NormKind], ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        UNetConfig(blocks=(1, 1, 1), stage_norms=stages)
