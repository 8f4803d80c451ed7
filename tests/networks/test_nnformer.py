"""nnFormer against numbers of its released code, and volumes of every size."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.released_networks import GOLDEN, image, weight
from unpaired.errors import InputError
from unpaired.networks.checkpoint_names import NNFORMER, plain_name, renamed
from unpaired.networks.network import coarser_names
from unpaired.networks.nnformer import NNFormer, NNFormerConfig
from unpaired.networks.pretrained import load_into_nnformer

NAMES = ("ct", "mr")
PRESETS = {"synapse": NNFormerConfig.synapse, "acdc": NNFormerConfig.acdc, "tumor": NNFormerConfig.tumor}


def small(dims: int = 3, **options: Any) -> NNFormer:
    torch.manual_seed(0)
    fields: dict[str, Any] = {"width": 8, "depths": (1, 2, 1), "heads": (1, 2, 4), "windows": (3, 2, 2)}
    fields |= {"strides": (2, 2), "patch_strides": (1, 2), "drop_path": 0.0}
    return NNFormerConfig(**(fields | options)).build(NAMES, 1, 3, dims)


def some_images(size: tuple[int, ...] = (8, 12, 16)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 1, *size, generator=generator) for name in NAMES}


def trained(network: NNFormer) -> NNFormer:
    """As if training had moved every weight: nothing stays at the value it begins with."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.mark.parametrize(
    ("preset", "channels", "classes", "count"),
    [
        ("synapse", 1, 14, 150_054_210),
        ("synapse", 1, 5, 149_667_111),
        ("acdc", 1, 4, 37_160_200),
        ("tumor", 4, 4, 37_606_726),
    ],
)
def test_parameters_as_in_the_released_networks(preset: str, channels: int, classes: int, count: int) -> None:
    with torch.device("meta"):
        network = PRESETS[preset]().build(["ct"], channels, classes, 3)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    ("preset", "size", "maps"),
    [
        (
            "synapse",
            (64, 128, 128),
            {"decoder3": (768, 8, 8, 8), "decoder2": (384, 16, 16, 16), "decoder1": (192, 32, 32, 32)}
            | {"bottleneck": (1536, 4, 4, 4), "logits/2": (5, 32, 64, 64), "logits/4": (5, 16, 32, 32)},
        ),
        (
            "acdc",
            (14, 160, 160),
            {"decoder3": (384, 7, 10, 10), "decoder2": (192, 14, 20, 20), "decoder1": (96, 14, 40, 40)}
            | {"bottleneck": (768, 3, 5, 5)},
        ),
        ("tumor", (128, 128, 128), {"encoder1": (96, 32, 32, 32), "bottleneck": (768, 4, 4, 4)}),
    ],
)
def test_maps_as_in_the_paper(preset: str, size: tuple[int, ...], maps: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        network = PRESETS[preset]().build(["ct"], 1, 5, 3)
        output = network({"ct": torch.zeros(2, 1, *size)})["ct"]
    assert output.logits.shape == (2, 5, *size)
    coarser = coarser_names(2) if preset == "synapse" else ()
    assert tuple(output.features) == (*network.feature_names, *coarser)
    for name, shape in maps.items():
        assert output.features[name].shape == (2, *shape)


@pytest.mark.parametrize("preset", PRESETS)
def test_logits_of_the_released_code(preset: str, tmp_path: Path) -> None:
    golden = GOLDEN[preset]
    windows = {"acdc": (4, 4, (3, 4, 4), (1, 2, 2))}.get(preset, (4, 4, 4, 2))
    heads = (1, 2, 4, 4) if preset == "tumor" else (1, 2, 4, 8)
    config = replace(PRESETS[preset](released=True), width=8, heads=heads, windows=windows)
    config = replace(config, decoder_heads=(2, 4, 4) if preset == "tumor" else None)
    network = config.build(["ct"], golden["image"][1], 3, 3).eval()
    shapes = {plain_name(name): tensor.shape for name, tensor in network.state_dict().items()}
    weights = {name: weight(name, shapes[renamed(name, NNFORMER)]) for name in golden["names"]}
    torch.save({"epoch": 1000, "state_dict": weights}, tmp_path / "weights.model")
    report = load_into_nnformer(network, 4, True, tmp_path / "weights.model", None)
    assert (report.fresh, report.skipped) == ((), {})
    with torch.no_grad():
        output = network({"ct": image(golden["image"])})["ct"]
        coarser = [head(output.features[f"decoder{n + 2}"]) for n, head in enumerate(list(network.outputs)[1:])]
    outputs = [output.logits, *coarser]
    for logits, expected in zip(outputs, golden["outputs"], strict=True):
        assert list(logits.shape) == expected["shape"]
        assert logits.double().square().mean().item() == pytest.approx(expected["mean_square"], rel=1e-5)
        flat = logits.flatten()
        places = [round(i * (len(flat) - 1) / 23) for i in range(24)]
        torch.testing.assert_close(flat[places], torch.tensor(expected["values"]), rtol=0, atol=2e-5)


def test_the_slips_of_the_released_code_are_off_by_default() -> None:
    right, released = NNFormerConfig.acdc(), NNFormerConfig.acdc(released=True)
    assert (right.masked, right.released_index) == (True, False)
    assert replace(released, masked=True, released_index=False) == right
    network = small(released_index=True)
    correct = small()
    correct.load_state_dict(network.state_dict())
    images = some_images()
    assert (network(images)["ct"].logits - correct(images)["ct"].logits).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("dims", "size", "deepest"),
    [
        (3, (2, 2, 2), (1, 1, 1)),  # a single token
        (3, (10, 14, 22), (1, 1, 2)),  # 5, 7, 11 -> 2, 3, 5 -> 1, 1, 2
        (2, (18, 6), (2, 1)),
    ],
)
def test_every_multiple_of_the_patch_fits(dims: int, size: tuple[int, ...], deepest: tuple[int, ...]) -> None:
    network = trained(small(dims, modality_scale=True, image_embedding=True))
    assert network.size_multiples == (2,) * dims
    outputs = network(some_images(size))
    assert outputs["mr"].logits.shape == (2, 3, *size)
    assert outputs["mr"].features["bottleneck"].shape[2:] == deepest
    sum(o.logits.square().sum() + o.features["logits/2"].square().sum() for o in outputs.values()).backward()  # pyright: ignore
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A window of one token attends to itself whatever is asked, and a norm over one value has none.
    assert [name for name in still if "bias_table" not in name and size != (2, 2, 2)] == []


def test_thin_slices_are_halved_in_plane_only() -> None:
    network = small(strides=((1, 2, 2), (2, 2, 2)), patch_strides=((1, 2, 2), (1, 2, 2)), windows=((3, 4, 4), 2, 2))
    assert network.encoder.downs[0].convolution.kernel_size == (1, 3, 3)
    features = network({"ct": torch.randn(1, 1, 3, 16, 16)})["ct"].features
    assert [tuple(features[name].shape[2:]) for name in ("encoder1", "encoder2", "bottleneck")] == [
        (3, 4, 4),
        (3, 2, 2),
        (1, 1, 1),
    ]


@pytest.mark.parametrize(
    "options", [{"modality_norm": True}, {"specific_encoders": True, "modality_scale": True}], ids=str
)
def test_one_pass_over_all_equals_one_pass_each(options: dict[str, bool]) -> None:
    results = []
    for concatenate in (True, False):
        network = trained(small(concatenate=concatenate, **options)).double()
        outputs = network({name: x.double() for name, x in some_images((4, 8, 12)).items()})
        sum(o.logits.sin().sum() + o.features["logits/2"].sum() for o in outputs.values()).backward()  # pyright: ignore
        results.append(
            [o.logits for o in outputs.values()]
            + [f for o in outputs.values() for f in o.features.values()]
            + [p.grad for p in network.parameters()]
        )
    torch.testing.assert_close(results[0], results[1])


def test_the_skip_answers_what_the_deeper_map_asks() -> None:
    """The first block of a decoder stage, written out."""
    network = trained(small())
    block, second = network.decoder.stages[1].blocks
    assert block.attention.qkv is None
    assert second.attention.kv is None
    assert second.attention.shifted
    up, skip = torch.randn(2, 1, 3, 4, 5, 16).unbind()
    groups = {"ct": 1}
    middle = up + skip + block.attention(block.norm1(skip, groups), block.norm1(up, groups))
    torch.testing.assert_close(block(up, groups, None, skip), middle + block.mlp(block.norm2(middle, groups)))


def test_drop_path_rises_again_in_the_decoder() -> None:
    network = small(drop_path=0.3, depths=(1, 2, 1))
    encoder = [block.drop_path.rate for stage in network.encoder.stages for block in stage.blocks]
    decoder = [[block.drop_path.rate for block in stage.blocks] for stage in network.decoder.stages]
    assert encoder == pytest.approx([0, 0.1, 0.2, 0.3])
    assert decoder == [pytest.approx([0.3]), pytest.approx([0, 0.15])]  # deepest first


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"heads": (1, 2)}, r"NNFormerConfig\.heads: expected 3 of them .*; give as many"),
        ({"windows": (3, 3)}, r"windows: expected 3 of them"),
        ({"decoder_heads": (1,)}, r"decoder_heads: expected 2 of them"),
        ({"strides": (2,)}, r"strides: expected 2 of them"),
        ({"patch_strides": ((1, 2), 2)}, "one for each of 3 axes"),
        ({"width": 9, "heads": (1, 1, 1)}, r"width: expected an even number, got 9; take 10$"),
    ],
)
def test_fields_that_do_not_fit(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        small(**options)


def test_images_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"multiples of \(2, 2, 2\)"):
        small()({"ct": torch.zeros(1, 1, 4, 4, 5)})
    with pytest.raises(InputError, match="2D or 3D"):
        NNFormerConfig().build(["ct"], 1, 3, 1)
