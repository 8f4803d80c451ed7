"""Swin-Unet against numbers of its released code, and its promises with several modalities."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.released_networks import GOLDEN, image, weight
from unpaired.errors import InputError
from unpaired.networks.checkpoint_names import plain_name, renamed, swin_unet_names
from unpaired.networks.pretrained import load_into_swin_unet
from unpaired.networks.swin_unet import SwinUNet, SwinUNetConfig
from unpaired.networks.transformer import DropPath, TransformerBlock, rising_drop_path

NAMES = ("ct", "mr")


def small(dims: int = 2, **options: Any) -> SwinUNet:
    torch.manual_seed(0)
    fields: dict[str, Any] = {"width": 8, "depths": (2, 1, 1), "heads": (1, 2, 4), "window": 3, "patch": 2}
    fields["drop_path"] = 0.0
    return SwinUNetConfig(**(fields | options)).build(NAMES, 1, 3, dims)


def some_images(size: tuple[int, ...] = (16, 24)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 1, *size, generator=generator) for name in NAMES}


def trained(network: SwinUNet) -> SwinUNet:
    """As if training had moved every weight: nothing stays at the value it begins with."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.mark.parametrize(
    ("classes", "window", "count"),
    [(4, 7, 27_168_420), (5, 7, 27_168_516), (9, 7, 27_168_900), (5, 8, 27_175_908)],
)
def test_parameters_as_in_the_released_network(classes: int, window: int, count: int) -> None:
    with torch.device("meta"):
        network = SwinUNetConfig(window=window).build(["ct"], 3, classes, 2)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(("window", "size"), [(7, 224), (8, 256)])
def test_maps_as_in_the_paper(window: int, size: int) -> None:
    with torch.device("meta"):
        network = SwinUNetConfig(window=window).build(["ct"], 3, 5, 2)
        output = network({"ct": torch.zeros(2, 3, size, size)})["ct"]
    assert network.size_multiples == (32, 32)
    assert output.logits.shape == (2, 5, size, size)
    wide = {"encoder1": 96, "encoder2": 192, "encoder3": 384, "bottleneck": 768}
    wide |= {"decoder1": 96, "decoder2": 192, "decoder3": 384}
    assert tuple(output.features) == network.feature_names == tuple(wide)
    for name, channels in wide.items():
        side = size * 24 // channels
        assert output.features[name].shape == (2, channels, side, side)


def test_logits_of_the_released_code(tmp_path: Path) -> None:
    golden = GOLDEN["swin_unet"]
    config = SwinUNetConfig(width=12, depths=(2, 1, 2, 2), heads=(1, 2, 4, 4), window=4)
    network = config.build(["ct"], 3, 3, 2).eval()
    shapes = {plain_name(name): tensor.shape for name, tensor in network.state_dict().items()}
    weights = {name: weight(name, shapes[renamed(name, swin_unet_names(4))]) for name in golden["names"]}
    torch.save({f"module.swin_unet.{name}": tensor for name, tensor in weights.items()}, tmp_path / "weights.pth")
    report = load_into_swin_unet(network, 4, tmp_path / "weights.pth", None)
    assert (report.fresh, report.skipped) == ((), {})
    with torch.no_grad():
        logits = network({"ct": image(golden["image"])})["ct"].logits
    (expected,) = golden["outputs"]
    assert list(logits.shape) == expected["shape"]
    assert logits.double().square().mean().item() == pytest.approx(expected["mean_square"], rel=1e-5)
    flat = logits.flatten()
    places = [round(i * (len(flat) - 1) / 23) for i in range(24)]
    torch.testing.assert_close(flat[places], torch.tensor(expected["values"]), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (3, (8, 16, 16))])
def test_shapes_and_gradients_in_2d_and_3d(dims: int, size: tuple[int, ...]) -> None:
    network = trained(small(dims, modality_scale=True, image_embedding=True))
    outputs = network({name: x[:1] for name, x in some_images(size).items()})
    assert {name: tuple(o.logits.shape) for name, o in outputs.items()} == {"ct": (1, 3, *size), "mr": (1, 3, *size)}
    sum(o.logits.square().sum() for o in outputs.values()).backward()  # pyright: ignore
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"modality_norm": True},
        {"modality_scale": True, "image_embedding": True},
        {"specific_encoders": True, "modality_scale": True},
    ],
    ids=str,
)
def test_one_pass_over_all_equals_one_pass_each(options: dict[str, bool]) -> None:
    results = []
    for concatenate in (True, False):
        network = trained(small(concatenate=concatenate, **options)).double()
        outputs = network({name: x.double() for name, x in some_images().items()})
        sum(o.logits.sin().sum() + o.features["decoder1"].sum() for o in outputs.values()).backward()  # pyright: ignore
        results.append(
            [o.logits for o in outputs.values()]
            + [f for o in outputs.values() for f in o.features.values()]
            + [p.grad for p in network.parameters()]
        )
    torch.testing.assert_close(results[0], results[1])


def test_the_scale_begins_as_nothing() -> None:
    """V3 at its start is V2."""
    with_scale, without = small(modality_scale=True), small()
    fresh = with_scale.load_state_dict(without.state_dict(), strict=False)
    assert fresh.unexpected_keys == []
    assert all("scale" in name or "class_embeddings" in name for name in fresh.missing_keys)
    a, b = with_scale(some_images()), without(some_images())
    for name in NAMES:
        assert torch.equal(a[name].logits, b[name].logits)
    assert with_scale.class_embeddings("ct").shape == (3, 2 * 8)
    assert without.class_embeddings is None


def test_the_scale_multiplies_both_residuals() -> None:
    """SSC Eq. 14-15 written out for one block, on an encoder map of two modalities."""
    network = trained(small(modality_scale=True))
    block: TransformerBlock = network.encoder.stages[0].blocks[1]
    x, groups = torch.randn(3, 8, 8, 8), {"mr": 1, "ct": 2}
    y = block(x, groups, network.class_embeddings)
    for i, modality in enumerate(("mr", "ct", "ct")):
        groups_of_image = {modality: 1}
        w1, w2 = (s.vector(network.class_embeddings, modality) for s in (block.scale1, block.scale2))
        middle = x[i : i + 1] + w1 * block.attention(block.norm1(x[i : i + 1], groups_of_image))
        torch.testing.assert_close(y[i : i + 1], middle + w2 * block.mlp(block.norm2(middle, groups_of_image)))


def test_specific_encoders_share_the_decoder_only() -> None:
    network = small(specific_encoders=True)
    network({"ct": some_images()["ct"]})["ct"].logits.square().sum().backward()
    moved = {name for name, p in network.named_parameters() if p.grad is not None}
    assert {name for name, _ in network.named_parameters()} - moved == {
        name for name, _ in network.named_parameters() if name.startswith("encoder.by_modality.mr.")
    }
    first, second = (network.encoder.by_modality[name].embedding.weight for name in NAMES)
    assert not torch.equal(first, second)


def test_windows_of_seven_run_where_they_do_not_fit() -> None:
    """The released code stops at 256 with windows of 7; ours pads inside the attention, or resamples to 224."""
    assert small(window=7)(some_images((40, 16)))["ct"].logits.shape == (2, 3, 40, 16)
    network = small(window=7, resize_to=(16, 24))
    assert network.size_multiples == (1, 1)
    output = network(some_images((50, 37)))["ct"]
    assert output.logits.shape == (2, 3, 50, 37)
    assert output.features["decoder1"].shape[2:] == (8, 12)
    same, plain = network(some_images())["ct"].logits, small(window=7)(some_images())["ct"].logits
    torch.testing.assert_close(same, plain)


def test_patches_and_windows_by_axis() -> None:
    network = small(3, patch=(1, 4, 4), window=(2, 4, 4))
    assert network.size_multiples == (4, 16, 16)
    assert network({"mr": torch.randn(1, 1, 4, 32, 16)})["mr"].features["decoder1"].shape == (1, 8, 4, 8, 4)


def test_drop_path_rises_and_rests_in_evaluation() -> None:
    assert rising_drop_path(0.3, (2, 2)) == [pytest.approx([0, 0.1]), pytest.approx([0.2, 0.3])]
    network = small(drop_path=0.6)
    encoder = [block.drop_path.rate for stage in network.encoder.stages for block in stage.blocks]
    assert encoder == pytest.approx([0, 0.2, 0.4, 0.6])
    decoder = [[block.drop_path.rate for block in stage.blocks] for stage in network.decoder.stages]
    assert decoder == [pytest.approx([0, 0.2]), pytest.approx([0.4])]
    x = some_images()
    assert not torch.equal(network(x)["ct"].logits, network(x)["ct"].logits)
    assert torch.equal(network.eval()(x)["ct"].logits, network(x)["ct"].logits)


def test_drop_path_leaves_residuals_of_images_out() -> None:
    torch.manual_seed(0)
    kept = DropPath(0.25)(torch.ones(4000, 2, 3))
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (kept.flatten(1).std(1) == 0).all()  # an image is dropped whole
    assert kept.mean().item() == pytest.approx(1, abs=0.03)


def test_drop_path_keeps_the_mean_in_half_precision() -> None:
    """1 / (1 - 4 / 35), a rate of the second of four stages, is rounded to 1.1328 for 1.1290 in bfloat16: by 0.3 %."""
    torch.manual_seed(0)
    x = torch.rand(400, 50) + 1
    drop_path = DropPath(4 / 35)
    got = drop_path(x.bfloat16())
    assert got.dtype == torch.bfloat16
    kept = got[:, 0] > 0
    assert 300 < kept.sum() < 400
    assert (got[kept].double() / x.bfloat16()[kept].double()).mean().item() == pytest.approx(35 / 31, rel=3e-4)


def test_the_initialization_is_the_released_one() -> None:
    network = small(modality_scale=True)
    block = network.encoder.stages[2].blocks[0]
    assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.fc1.bias.abs().max() == 0
    assert block.attention.bias_table.std().item() == pytest.approx(0.02, rel=0.3)
    assert block.scale1.by_modality["ct"].project.bias.min() == 1  # left alone


@pytest.mark.parametrize(
    ("dims", "options", "says"),
    [
        (1, {}, "2D or 3D"),
        (2, {"heads": (1, 2)}, "expected heads for each stage.*; give 3 numbers"),
        (2, {"heads": (5, 2, 4)}, "5 heads can't share 8 channels; take 4 heads"),
        (2, {"window": (4, 4, 4)}, "one for each of 2 axes"),
        (3, {"patch": (4, 4)}, "one for each of 3 axes"),
        (2, {"resize_to": (20, 24)}, r"multiples of \(8, 8\), got \(20, 24\); such as \(24, 24\)"),
    ],
)
def test_fields_that_do_not_fit(dims: int, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        small(dims, **options)


def test_images_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"multiples of \(8, 8\)"):
        small()({"ct": torch.zeros(1, 1, 32, 12)})
    with pytest.raises(InputError, match="doesn't know modality 'cd'"):
        small()({"cd": torch.zeros(1, 1, 16, 16)})
