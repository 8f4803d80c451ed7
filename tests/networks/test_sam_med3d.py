"""SAM-Med3D as a network: its decoder, one or several encoders, and the released checkpoint's layout into them."""

import argparse
import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from golden.sam_med3d import released_state
from unpaired.errors import InputError
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.pretrained import load_into_sam_med3d
from unpaired.networks.sam_med3d import SAMMed3D, SAMMed3DConfig
from unpaired.networks.sam_med3d_encoder import SAMMed3DEncoder
from unpaired.training.optimization import parameter_counts

NAMES = ("ct", "mr")
SMALL = SAMMed3DConfig(width=8, depth=3, heads=2, patch=4, size=8, window=3, global_blocks=(1,), neck=8)
CMC = replace(SMALL, adapter=2, frozen=True, specific_encoders=True, specific_decoders=True)


def built(config: SAMMed3DConfig, channels: int = 1) -> SAMMed3D:
    torch.manual_seed(0)
    return config.build(NAMES, channels, 3, 3)


def some_images(*size: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 1, *size, generator=generator) for name in NAMES}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all that the authors' training loop saves beside the weights."""
    path = tmp_path_factory.mktemp("sam") / "sam_med3d.pth"
    extras = {"epoch": 200, "losses": [0.5], "args": argparse.Namespace(model_type="vit_b_ori"), "used_datas": ["a"]}
    torch.save({"model_state_dict": released_state(), "optimizer_state_dict": {"state": {}}} | extras, path)
    return path


def test_maps_by_name_and_size() -> None:
    with torch.device("meta"):
        network = SAMMed3DConfig().build(["ct"], 1, 5, 3)
        output = network({"ct": torch.zeros(1, 1, 128, 128, 128)})["ct"]
    assert output.logits.shape == (1, 5, 128, 128, 128)
    assert tuple(output.features) == network.feature_names
    shapes = {name: tuple(x.shape[1:]) for name, x in output.features.items()}
    assert shapes["encoder1"] == shapes["encoder12"] == (768, 8, 8, 8)
    assert shapes["neck"] == (384, 8, 8, 8)
    decoder = {f"decoder{n}": (384 // 2 ** (5 - n), *[256 // 2**n] * 3) for n in (4, 3, 2, 1)}
    assert {name: shapes[name] for name in decoder} == decoder
    assert decoder["decoder1"] == (24, 128, 128, 128)
    assert network.size_multiples == (16, 16, 16)


def test_cmc_trains_adapters_fusion_and_decoders_only() -> None:
    with torch.device("meta"):
        network = SAMMed3DConfig.cmc().build(NAMES, 1, 5, 3)
        decoder = sum(p.numel() for p in SAMMed3DConfig().build(["ct"], 1, 5, 3).decoder.parameters())
    adapters = 12 * (768 * 192 + 192 + 192 * 768 + 768 + 1)
    kernel_3, kernel_1 = 384 * 384 * 27 + 384, 384 * 384 + 384
    trained = 2 * (adapters + kernel_3 + 2 * kernel_1 + decoder) + 2 * kernel_3 + 2 * 384
    assert parameter_counts(network) == {"trained": trained, "frozen": 2 * 92_924_928}


@pytest.mark.parametrize("config", [SMALL, CMC, replace(SMALL, modality_norm=True)], ids=["shared", "cmc", "norms"])
def test_one_pass_over_all_equals_one_pass_each(config: SAMMed3DConfig) -> None:
    results = []
    for concatenate in (True, False):
        network = built(replace(config, concatenate=concatenate, relative_positions="intended")).double()
        outputs = network({name: x.double() for name, x in some_images(8, 4, 8).items()})
        torch.stack([o.logits.sin().sum() for o in outputs.values()]).sum().backward()
        results.append(
            [o.logits for o in outputs.values()]
            + [x for o in outputs.values() for x in o.features.values()]
            + [p.grad for p in network.parameters() if p.requires_grad]
        )
    torch.testing.assert_close(results[0], results[1])


def test_modalities_with_parts_of_their_own_leave_each_other_alone() -> None:
    network = built(replace(CMC, frozen=False))
    network({"ct": some_images(8, 8, 8)["ct"]})["ct"].logits.sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == ("by_modality.mr." in name), name


def test_encoders_and_decoders_of_modalities_begin_alike() -> None:
    """CMC's are all fine-tuned from the same weights: channel k of one encoder then is channel k of the other."""
    torch.manual_seed(0)
    network = replace(CMC, fusion="paired").build(("ct", "mr", "t2"), 1, 3, 3)
    weights = dict(network.named_parameters())
    for part in ("encoder", "decoder"):
        of_ct = [name for name in weights if name.startswith(f"{part}.by_modality.ct.")]
        assert of_ct
        for name, modality in itertools.product(of_ct, ("mr", "t2")):
            other = weights[name.replace(".ct.", f".{modality}.")]
            assert other is not weights[name]
            assert torch.equal(other, weights[name]), name
        assert any(weights[name].std() > 0 for name in of_ct)


def test_a_fusion_stands_between_neck_and_decoder() -> None:
    network = built(replace(CMC, fusion="paired"))
    x = some_images(8, 8, 8)
    pair = network(x)
    assert list(pair["ct"].features)[3:6] == ["neck", "awareness", "fusion"]
    assert network.fusion is not None
    necks = torch.cat([pair[name].features["neck"] for name in NAMES])
    aware, fused = network.fusion(necks, {"ct": 2, "mr": 2})
    torch.testing.assert_close(torch.cat([pair[name].features["awareness"] for name in NAMES]), aware)
    torch.testing.assert_close(torch.cat([pair[name].features["fusion"] for name in NAMES]), fused)
    logits = network.decoder(fused, {"ct": 2, "mr": 2})[-1]
    torch.testing.assert_close(torch.cat([pair[name].logits for name in NAMES]), logits)
    lone = network({"ct": x["ct"]})["ct"]
    torch.testing.assert_close(lone.features["awareness"], pair["ct"].features["awareness"])
    assert (lone.logits - pair["ct"].logits).abs().max() > 1e-4


@pytest.mark.parametrize("config", [SMALL, CMC], ids=["shared", "cmc"])
@pytest.mark.parametrize("reading", ["released", "intended"])
def test_released_weights_see_the_axes_of_a_file(reading: str, config: SAMMed3DConfig) -> None:
    """x, y, z: what an axial volume of (depth, height, width) has as width, height, depth."""
    network = built(replace(config, relative_positions=reading))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "relative_" in name or "positions" in name:
                parameter += torch.randn(parameter.shape, generator=generator)
    volume = torch.randn(1, 1, 8, 4, 12, generator=generator)
    features = network({"mr": volume})["mr"].features
    file = volume.movedim((2, 3, 4), (4, 3, 2)) if reading == "released" else volume
    for name, maps in zip(features, network.encoder(file, {"mr": 1}), strict=False):
        expected = maps.movedim((2, 3, 4), (4, 3, 2)) if reading == "released" else maps
        torch.testing.assert_close(features[name], expected)
        assert features[name].shape[2:] == (2, 1, 3)


def test_fused_alone_no_one_else_matters() -> None:
    network = built(replace(CMC, fusion="alone"))
    x = some_images(8, 8, 8)
    torch.testing.assert_close(network(x)["ct"].logits, network({"ct": x["ct"]})["ct"].logits)
    x["mr"] = x["mr"][:1]
    assert network(x)["mr"].logits.shape[0] == 1
    paired = built(replace(CMC, fusion="paired"))
    with pytest.raises(InputError, match=r"as many images of each modality.*'ct': 2, 'mr': 1"):
        paired(x)


def test_the_decoder_written_out() -> None:
    network = built(SMALL)
    x = some_images(8, 8, 8)["ct"]
    output = network({"ct": x})["ct"]
    f = torch.nn.functional
    maps = output.features["neck"]
    for number, level in zip((2, 1), network.decoder.levels, strict=True):
        half = maps.shape[1] // 2
        maps = f.conv_transpose3d(maps, level.up.weight, level.up.bias, stride=2)
        for convolution in (level.convolution1, level.convolution2):
            maps = f.conv3d(maps, convolution.weight, convolution.bias, padding=1)
            maps = f.relu(f.group_norm(maps, half))  # up to 8 groups, and here are no more channels
        torch.testing.assert_close(output.features[f"decoder{number}"], maps)
    logits = f.conv3d(maps, network.decoder.output.weight, network.decoder.output.bias)
    torch.testing.assert_close(output.logits, logits)


def test_the_small_one_runs_on_a_processor() -> None:
    network = SAMMed3DConfig.small().build(["ct"], 1, 4, 3)
    assert sum(p.numel() for p in network.parameters()) < 2_000_000
    with torch.no_grad():
        assert network({"ct": torch.zeros(1, 1, 64, 64, 64)})["ct"].logits.shape == (1, 4, 64, 64, 64)


def test_the_released_layout_goes_in_whole(checkpoint: Path) -> None:
    network = built(CMC)
    report = load_into_sam_med3d(network, True, checkpoint, None)
    theirs = released_state()
    encoder = {name: tensor for name, tensor in theirs.items() if name.startswith("image_encoder.")}
    assert set(report.loaded.values()) == set(encoder)
    assert set(report.skipped) == set(theirs) - set(encoder)
    assert {name.split(".")[0] for name in report.fresh if ".adapter." not in name} == {"decoder"}
    state = network.state_dict()
    for name in NAMES:
        own = f"encoder.by_modality.{name}"
        for name_here, source in {
            "positions": "pos_embed",
            "embedding.weight": "patch_embed.proj.weight",
            "blocks.1.attention.relative_d": "blocks.1.attn.rel_pos_d",
            "blocks.2.attention.relative_w": "blocks.2.attn.rel_pos_w",
            "blocks.0.attention.proj.bias": "blocks.0.attn.proj.bias",
            "blocks.2.mlp.fc2.weight": "blocks.2.mlp.lin2.weight",
            "neck.3.bias": "neck.3.bias",
        }.items():
            assert torch.equal(state[f"{own}.{name_here}"], theirs[f"image_encoder.{source}"]), name_here


def test_wrapped_raw_and_bare_are_the_same(checkpoint: Path, tmp_path: Path) -> None:
    state = released_state()
    torch.save(state, tmp_path / "raw.pth")
    prefix = "image_encoder."
    torch.save({k.removeprefix(prefix): v for k, v in state.items() if prefix in k}, tmp_path / "bare.pth")
    x = some_images(8, 8, 8)
    logits = []
    for path in (checkpoint, tmp_path / "raw.pth", tmp_path / "bare.pth"):
        network = built(SMALL)
        before = network(x)["mr"].logits
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        config = replace(SMALL, pretrained=str(path), pretrained_sha256=digest)
        record = config.load_pretrained(network)
        assert record is not None
        assert record["loaded"] == 3 + 3 * 15 + 6
        assert record["sha256"] == digest
        logits.append(network(x)["mr"].logits)
        assert (logits[-1] - before).abs().max() > 1e-3
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


def test_positions_for_other_sizes_are_interpolated(checkpoint: Path) -> None:
    config = replace(SMALL, size=16)
    network = built(config)
    report = load_into_sam_med3d(network, True, checkpoint, None)
    assert not [name for name in report.fresh if name.startswith("encoder.")]
    expected = torch.nn.functional.interpolate(
        released_state()["image_encoder.pos_embed"].permute(0, 4, 1, 2, 3), (4, 4, 4), mode="trilinear"
    )
    assert isinstance(network.encoder, SAMMed3DEncoder)
    torch.testing.assert_close(network.encoder.positions.permute(0, 4, 1, 2, 3), expected)
    # Interpolated when loaded or when used: the same map.
    later = built(SMALL)
    load_into_sam_med3d(later, True, checkpoint, None)
    later.decoder.load_state_dict(network.decoder.state_dict())
    x = some_images(16, 16, 16)
    torch.testing.assert_close(later(x)["ct"].logits, network(x)["ct"].logits)


def test_row_single_loads_into_every_network(checkpoint: Path) -> None:
    config = IndependentNetworksConfig(replace(SMALL, frozen=True, pretrained=str(checkpoint)))
    network = config.build(NAMES, 1, 3, 3)
    config.load_pretrained(network)
    for name in NAMES:
        alone = network.alone(name)
        assert isinstance(alone, SAMMed3D)
        assert isinstance(alone.encoder, SAMMed3DEncoder)
        assert torch.equal(alone.encoder.positions, released_state()["image_encoder.pos_embed"])


def test_checkpoints_that_do_not_fit(checkpoint: Path, tmp_path: Path) -> None:
    path = str(checkpoint)

    def load(config: SAMMed3DConfig, channels: int = 1) -> Any:
        return config.load_pretrained(built(config, channels))

    assert load(SMALL) is None
    with pytest.raises(InputError, match="has SHA-256"):
        load(replace(SMALL, pretrained=path, pretrained_sha256="0" * 64))
    with pytest.raises(InputError, match="trained with its own relative positions"):
        load(replace(SMALL, pretrained=path, relative_positions="intended"))
    with pytest.raises(InputError, match="not one tensor fits"):
        load(replace(SMALL, width=6, neck=4, patch=2, pretrained=path))
    frozen = replace(SMALL, frozen=True)
    with pytest.raises(InputError, match="nothing says where its weights come from"):
        load(frozen)
    with pytest.raises(InputError, match=r"nothing that fits 1 of the frozen weights \(encoder.embedding.weight"):
        load(replace(frozen, pretrained=path), channels=2)
    assert load(replace(SMALL, pretrained=path), channels=2)["fresh"] > 0
    flat = {k: v for k, v in released_state().items() if "rel_pos_d" not in k}  # SAM itself, for pictures
    torch.save(flat, tmp_path / "sam.pth")
    with pytest.raises(InputError, match="not a checkpoint of SAM-Med3D"):
        load(replace(SMALL, pretrained=str(tmp_path / "sam.pth")))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"patch": 6}, r"SAMMed3DConfig\.patch: expected a power of 2 .*, got 6; take 4 or 8$"),
        ({"neck": 6}, r"neck: expected a multiple of patch=4, got 6; take 8$"),
        ({"size": 10}, r"size: expected a multiple of patch=4, got 10; take 12$"),
        ({"heads": 3}, r"heads: expected a divisor of width=\d+, got 3; take 2$"),
        ({"global_blocks": (1, 99)}, r"global_blocks: expected blocks from 0 to \d, got \(1, 99\); leave out"),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(SMALL, **fields)


def test_slices_are_refused() -> None:
    with pytest.raises(InputError, match="segments volumes, got spatial_dims=2"):
        SMALL.build(NAMES, 1, 3, 2)


def test_images_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"must be multiples of \(4, 4, 4\)"):
        built(SMALL)({"ct": torch.zeros(1, 1, 8, 8, 6)})
