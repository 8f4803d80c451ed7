import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from unpaired.errors import InputError
from unpaired.networks.fcn import FCN, FCNConfig, sub_pixel_shuffle, symmetric_pad
from unpaired.networks.network import NetworkOutput

THIN = ((1, 2, 2),) * 3


def small(dims: int = 2, modalities: tuple[str, ...] = ("ct", "mr"), **options: object) -> FCN:
    torch.manual_seed(0)
    return FCNConfig(width=2, **{"dropout": 0.0, **options}).build(modalities, 1, 3, dims)  # pyright: ignore


def some_images(size: tuple[int, ...] = (16, 16)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 1, *size, generator=generator) for name in ("ct", "mr")}


@pytest.mark.parametrize(
    ("classes", "kernels", "norms_of_one_modality", "total"),
    [(5, 39_302_456, 20_192, 39_342_840), (4, 36_941_360, 19_168, 36_979_696)],
)
def test_parameters_as_in_the_released_network(
    classes: int, kernels: int, norms_of_one_modality: int, total: int
) -> None:
    """The counts of the released code, whose images are three adjacent slices; one slice has 288 weights less."""
    with torch.device("meta"):
        network = FCNConfig().build(["ct", "mr"], 3, classes, 2)
        one_slice = FCNConfig().build(["ct", "mr"], 1, classes, 2)
        alone = FCNConfig().build(["ct"], 3, classes, 2)
        joint = FCNConfig(modality_norm=False).build(["ct", "mr"], 3, classes, 2)
    counts = [sum(p.numel() for p in n.parameters()) for n in (network, one_slice, alone, joint)]
    assert sum(p.numel() for p in network.parameters() if p.ndim == 4) == kernels
    assert counts == [total, total - 2 * 9 * 16, kernels + norms_of_one_modality, kernels + norms_of_one_modality]


def test_groups_as_in_the_paper() -> None:
    with torch.device("meta"):
        network = FCNConfig().build(["ct"], 1, 5, 2)
        output = network({"ct": torch.zeros(2, 1, 224, 224)})["ct"]
    assert output.logits.shape == (2, 5, 224, 224)
    channels = [16, 32, 64, 128, 256, 256, 512, 512, 512]
    sizes = [224, 112, 56, 28, 28, 28, 28, 28, 28]
    assert tuple(output.features) == network.feature_names
    assert [tuple(f.shape) for f in output.features.values()] == [
        (2, c, size, size) for c, size in zip(channels, sizes, strict=True)
    ]
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 3 + 2 + 4 * 6 + 2 + 4 - 4 + 2  # groups 1, 2, 3-8, 9 and the two of the head
    assert all(m.bias is None for m in convolutions)
    assert [m.dilation for m in convolutions].count((2, 2)) == 4


@pytest.mark.parametrize(
    ("dims", "size", "strides"),
    [
        (2, (16, 24), None),
        (3, (8, 16, 8), None),
        (3, (3, 8, 16), THIN),
        (3, (6, 16, 8), ((1, 2, 2), (2, 2, 2), (1, 2, 2))),
    ],
)
def test_shapes_and_gradients_in_2d_and_3d(dims: int, size: tuple[int, ...], strides: object) -> None:
    network = small(dims, pool_strides=strides)
    outputs = network(some_images(size))
    assert {name: tuple(o.logits.shape) for name, o in outputs.items()} == {"ct": (2, 3, *size), "mr": (2, 3, *size)}
    sum(o.logits.square().sum() for o in outputs.values()).backward()  # pyright: ignore
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_group_10_has_the_same_channels_in_2d_and_3d() -> None:
    with torch.device("meta"):
        networks = [
            FCNConfig(pool_strides=s).build(["ct"], 1, 5, dims) for dims, s in ((2, None), (3, None), (3, THIN))
        ]
    assert [n.deconvolution.weight.shape[0] for n in networks] == [2560, 2560, 2560]
    assert [n.output.weight.shape[1] for n in networks] == [40, 5, 40]


@pytest.mark.parametrize(("norm", "dims"), [("batch", 2), ("instance", 2), ("group", 2), ("layer", 2), ("batch", 3)])
def test_one_pass_over_all_equals_one_pass_each(norm: str, dims: int) -> None:
    size = (16, 16) if dims == 2 else (8, 8, 16)
    results = []
    for concatenate in (True, False):
        network = small(dims, norm=norm, concatenate=concatenate).double()
        outputs = network({name: x.double() for name, x in some_images(size).items()})
        sum(o.logits.sin().sum() + o.features["group5"].sum() for o in outputs.values()).backward()  # pyright: ignore
        results.append(
            [o.logits for o in outputs.values()]
            + [f for o in outputs.values() for f in o.features.values()]
            + [p.grad for p in network.parameters()]
            + list(network.buffers())
        )
    torch.testing.assert_close(results[0], results[1])


def test_the_shared_norm_mixes_whatever_the_schedule() -> None:
    results = [
        small(modality_norm=False, concatenate=concatenate)(some_images())["ct"].logits
        for concatenate in (True, False, None)
    ]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    torch.testing.assert_close(results[0], results[2], rtol=0, atol=0)


def test_images_of_different_size() -> None:
    images = {"ct": torch.randn(2, 1, 16, 16), "mr": torch.randn(1, 1, 24, 16)}
    assert small(concatenate=True)(images)["mr"].logits.shape == (1, 3, 24, 16)
    with pytest.raises(InputError, match="one size in one step"):
        small(modality_norm=False)(images)


def test_symmetric_padding_is_numpys() -> None:
    for shape in ((2, 3, 4, 5), (1, 2, 1, 3, 4)):
        x = torch.randn(shape)
        for amount in (1, 2):
            widths = [(0, 0), (0, 0)] + [(amount, amount)] * (len(shape) - 2)
            np.testing.assert_array_equal(symmetric_pad(x, amount), np.pad(x.numpy(), widths, mode="symmetric"))


def test_shuffle_is_torchs_in_2d_and_its_rule_in_3d() -> None:
    x = torch.randn(2, 18, 4, 5)
    torch.testing.assert_close(sub_pixel_shuffle(x, (3, 3)), torch.nn.functional.pixel_shuffle(x, 3), rtol=0, atol=0)
    x = torch.randn(1, 24, 2, 3, 4)
    out = sub_pixel_shuffle(x, (2, 1, 3))
    assert out.shape == (1, 4, 4, 3, 12)
    for t, d, h, w, i, k in [(0, 0, 0, 0, 0, 0), (3, 1, 2, 3, 1, 2), (2, 0, 1, 2, 1, 0)]:
        assert out[0, t, 2 * d + i, h, 3 * w + k] == x[0, 6 * t + 3 * i + k, d, h, w]


def test_new_channels_lie_around_the_identity() -> None:
    (block,) = small().groups[1].layers  # pyright: ignore
    torch.nn.init.zeros_(block.second.convolution.weight)
    out = block(torch.ones(1, 2, 2, 2), {"ct": 1})
    assert out[0, :, 0, 0].tolist() == [0, 1, 1, 0]


def test_weights_come_from_torchs_seed() -> None:
    first, second = small(), small()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_official_initialization_is_truncated() -> None:
    weights = torch.cat([p.detach().flatten() for p in small().parameters() if p.ndim == 4])
    assert weights.abs().max() <= 0.02
    assert weights.std().item() == pytest.approx(0.0088, abs=2e-4)  # 0.01, cut at two deviations


def test_features_lie_before_the_next_norm() -> None:
    """Group 4 is group 3's pooled sum with new channels around it, plus what its units add."""
    network = small().eval()
    output: NetworkOutput = network(some_images())["ct"]
    for group in network.groups[3:4]:
        for block in group.layers:  # pyright: ignore
            torch.nn.init.zeros_(block.second.convolution.weight)
    silent: NetworkOutput = network(some_images())["ct"]
    pooled = torch.nn.functional.max_pool2d(output.features["group3"], 2)
    torch.testing.assert_close(silent.features["group4"][:, 4:12], pooled)
    assert silent.features["group4"][:, :4].abs().max() == 0


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ({"cd": torch.zeros(1, 1, 16, 16)}, "known: "),
        ({"ct": torch.zeros(1, 3, 16, 16)}, r"expected images of shape \(batch, 1"),
        ({"ct": torch.zeros(1, 1, 16, 16, 16)}, r"expected images of shape \(batch, 1"),
        ({"ct": torch.zeros(1, 1, 16, 20)}, r"multiples of \(8, 8\)"),
        ({}, "no images"),
    ],
)
def test_images_that_do_not_fit(images: dict[str, Tensor], says: str) -> None:
    with pytest.raises(InputError, match=says):
        small()(images)


@pytest.mark.parametrize(
    ("dims", "options", "says"),
    [
        (3, {"pool_strides": ((2, 2),) * 3}, r"3 strides for each pooling, such as \(2, 2, 2\)"),
        (1, {}, "2D or 3D"),
    ],
)
def test_fields_that_do_not_fit(dims: int, options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        small(dims, **options)


def test_a_stack_of_slices_is_brought_to_one_mean_and_deviation() -> None:
    """Whatever linear normalization the volume had, the logits are those of the stack normalized by hand."""
    torch.manual_seed(0)
    config = FCNConfig(width=2, dropout=0.0, initialization="he", norm="instance")
    plain = config.build(("ct",), 3, 3, 2)
    network = replace(config, zscore_input=True).build(("ct",), 3, 3, 2)
    network.load_state_dict(plain.state_dict())
    images = 5 * torch.rand(2, 3, 16, 16) + torch.arange(3).view(1, 3, 1, 1)
    by_hand = torch.stack([(image - image.mean()) / image.std(correction=0) for image in images])
    expected = plain({"ct": by_hand})["ct"].logits
    for given in (images, 40 * images - 100):
        torch.testing.assert_close(network({"ct": given})["ct"].logits, expected, atol=2e-3, rtol=1e-3)
    constant = network({"ct": torch.full((1, 3, 16, 16), 7.0)})["ct"].logits
    assert torch.isfinite(constant).all()


@pytest.mark.parametrize("own", [("group1", "group2", "group10", "output"), ("group7",)])
def test_own_stages_are_a_modalitys_and_the_others_everybodys(own: tuple[str, ...]) -> None:
    network, x = small(own=own), some_images()
    network(x)["ct"].logits.square().sum().backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert not any(".by_modality.mr." in name for name in reached)
    parts = {"group1": ("first", "groups.0"), "group2": ("groups.1",), "group7": ("groups.6",), "group9": ("groups.8",)}
    for stage, prefixes in (parts | {"group10": ("deconvolution",), "output": ("output",)}).items():
        for prefix in prefixes:
            kernels = [name for name, p in network.named_parameters() if name.startswith(f"{prefix}.") and p.ndim > 1]
            assert kernels
            assert all((f"{prefix}.by_modality." in name) == (stage in own) for name in kernels)
    separate = network({"mr": x["mr"]})["mr"].logits
    torch.testing.assert_close(network(x)["mr"].logits, separate)
    network.concatenate = True
    torch.testing.assert_close(network(x)["mr"].logits, separate)


def test_all_stages_own_are_networks_of_their_own() -> None:
    every = (*(f"group{number}" for number in range(1, 11)), "output")
    network, alone = small(own=every), small(modalities=("mr",))
    part = r"(first|groups\.\d|deconvolution|deconvolution_norm|output)\.by_modality"
    alone.load_state_dict(
        {
            re.sub(rf"^{part}\.mr\.", r"\1.", name): value
            for name, value in network.state_dict().items()
            if not re.match(rf"^{part}\.ct\.", name)
        }
    )
    x = {"mr": some_images()["mr"]}
    torch.testing.assert_close(network(x)["mr"].logits, alone(x)["mr"].logits)


def test_a_stage_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match=r"FCNConfig.own: 'group11' is no stage of this network; .*group1"):
        FCNConfig(own=("group11",))
