"""Loading of others' weights: where every tensor goes, what stays out and why, and that no code is ever run."""

import hashlib
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from unpaired.errors import InputError
from unpaired.networks.checkpoint_names import plain_name
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.pretrained import load_into_nnformer, load_into_swin_unet, read_checkpoint, resized_bias_table
from unpaired.networks.swin_unet import SwinUNetConfig

WIDTH, HEADS, DEPTHS, WINDOW = 8, (1, 2, 2, 4), (2, 2, 6, 2), 7
SWIN_UNET = SwinUNetConfig(width=WIDTH, heads=HEADS)
NNFORMER = NNFormerConfig(width=WIDTH, heads=HEADS, windows=(2, 2, 2, 2))


def swin() -> dict[str, Tensor]:
    """The state of an ImageNet Swin in the official layout: the names of Swin-T, narrower."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = OrderedDict()

    def add(name: str, *shape: int) -> None:
        state[name] = torch.randn(shape, generator=generator)

    def linear(name: str, before: int, after: int, bias: bool = True) -> None:
        add(f"{name}.weight", after, before)
        if bias:
            add(f"{name}.bias", after)

    def norm(name: str, channels: int) -> None:
        add(f"{name}.weight", channels)
        add(f"{name}.bias", channels)

    add("patch_embed.proj.weight", WIDTH, 3, 4, 4)
    add("patch_embed.proj.bias", WIDTH)
    norm("patch_embed.norm", WIDTH)
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        channels = 2**stage * WIDTH
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}"
            if number % 2 == 1 and stage < 3:
                state[f"{block}.attn_mask"] = torch.zeros((56 // 2**stage // WINDOW) ** 2, WINDOW**2, WINDOW**2)
            norm(f"{block}.norm1", channels)
            add(f"{block}.attn.relative_position_bias_table", (2 * WINDOW - 1) ** 2, heads)
            state[f"{block}.attn.relative_position_index"] = torch.zeros(WINDOW**2, WINDOW**2, dtype=torch.long)
            linear(f"{block}.attn.qkv", channels, 3 * channels)
            linear(f"{block}.attn.proj", channels, channels)
            norm(f"{block}.norm2", channels)
            linear(f"{block}.mlp.fc1", channels, 4 * channels)
            linear(f"{block}.mlp.fc2", 4 * channels, channels)
        if stage < 3:
            linear(f"layers.{stage}.downsample.reduction", 4 * channels, 2 * channels, bias=False)
            norm(f"layers.{stage}.downsample.norm", 4 * channels)
    norm("norm", 8 * WIDTH)
    linear("head", 8 * WIDTH, 1000)
    return state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("swin") / "swin_tiny.pth"
    torch.save({"model": swin(), "epoch": 300}, path)
    return path


def state_of(config: SwinUNetConfig | NNFormerConfig, checkpoint: Path, channels: int = 3, dims: int = 2, **keys: Any):
    """(state by plain name, report) of a network that the checkpoint was loaded into."""
    torch.manual_seed(1)
    network = config.build(keys.get("modalities", ["ct"]), channels, 3, dims)
    report = (
        load_into_swin_unet(network, 4, checkpoint, None)
        if isinstance(config, SwinUNetConfig)
        else load_into_nnformer(network, 4, False, checkpoint, None)
    )
    return network.state_dict(), report


def test_swin_goes_into_encoder_and_decoder(checkpoint: Path) -> None:
    state, report = state_of(SWIN_UNET, checkpoint)
    weights, released = {plain_name(name): tensor for name, tensor in state.items()}, swin()
    pairs = {
        "encoder.embedding.weight": "patch_embed.proj.weight",
        "encoder.embedding_norm.bias": "patch_embed.norm.bias",
        "encoder.stages.2.blocks.1.attention.qkv.weight": "layers.2.blocks.1.attn.qkv.weight",
        "encoder.stages.3.blocks.0.attention.bias_table": "layers.3.blocks.0.attn.relative_position_bias_table",
        "encoder.merges.0.reduction.weight": "layers.0.downsample.reduction.weight",
        "encoder.merges.2.norm.bias": "layers.2.downsample.norm.bias",
        "encoder.norm.weight": "norm.weight",
        "decoder.stages.0.blocks.1.mlp.fc2.bias": "layers.0.blocks.1.mlp.fc2.bias",
        "decoder.stages.2.blocks.0.norm1.weight": "layers.2.blocks.0.norm1.weight",
        "decoder.stages.1.blocks.1.attention.proj.weight": "layers.1.blocks.1.attn.proj.weight",
    }
    for name, source in pairs.items():
        assert torch.equal(weights[name], released[source]), name
        assert report.loaded[next(key for key in state if plain_name(key) == name)] == source
    # Every block of both halves is filled, and nothing of the decoder's own.
    assert {name.split(".")[1] for name in report.fresh if name.startswith("decoder.")} == {
        "joins",
        "expands",
        "expand",
        "norm",
    }
    assert [name for name in report.fresh if not name.startswith("decoder.")] == ["output.weight"]


def test_what_stays_out_is_said(checkpoint: Path) -> None:
    _, report = state_of(SWIN_UNET, checkpoint)
    kinds = {name.split(".")[-1] for name, reason in report.skipped.items() if reason == "follows from the window"}
    assert kinds == {"relative_position_index", "attn_mask"}
    nowhere = {name for name, reason in report.skipped.items() if reason == "no counterpart in the network"}
    assert {name.rpartition(".blocks.")[2].split(".")[0] for name in nowhere if "blocks" in name} == {
        "2",
        "3",
        "4",
        "5",
    }
    assert {name for name in nowhere if "blocks" not in name} == {"head.weight", "head.bias"}
    assert set(report.loaded.values()) | set(report.skipped) == set(swin())
    record = report.as_json()
    assert record["loaded"] == len(report.loaded)
    assert sum(record["skipped"].values()) == len(report.skipped)
    assert "left out: no counterpart in the network" in str(report)


def test_one_channel_is_the_image_three_times(checkpoint: Path) -> None:
    (gray, _), (color, _) = state_of(SWIN_UNET, checkpoint, channels=1), state_of(SWIN_UNET, checkpoint, channels=3)
    x = torch.randn(1, 1, 8, 8)
    convolve = torch.nn.functional.conv2d
    torch.testing.assert_close(
        convolve(x, gray["encoder.embedding.weight"], stride=4),
        convolve(x.expand(-1, 3, -1, -1), color["encoder.embedding.weight"], stride=4),
    )
    _, report = state_of(SWIN_UNET, checkpoint, channels=2)
    assert "encoder.embedding.weight" in report.fresh
    assert report.skipped["patch_embed.proj.weight"] == "shape (8, 3, 4, 4) in the checkpoint, (8, 2, 4, 4) here"


def test_each_modality_gets_its_own_copy(checkpoint: Path) -> None:
    config = replace(SWIN_UNET, specific_encoders=True, modality_norm=True, modality_scale=True, image_embedding=True)
    state, report = state_of(config, checkpoint, modalities=["ct", "mr"])
    theirs = swin()
    for name in ("ct", "mr"):
        encoder = f"encoder.by_modality.{name}"
        assert torch.equal(state[f"{encoder}.embedding.bias"], theirs["patch_embed.proj.bias"])
        assert torch.equal(state[f"{encoder}.norm.by_modality.{name}.weight"], theirs["norm.weight"])
        inside = f"decoder.stages.0.blocks.0.norm2.by_modality.{name}.weight"
        assert torch.equal(state[inside], theirs["layers.0.blocks.0.norm2.weight"])
    own = [name for name in report.fresh if "scale" in name or name.startswith(("class_emb", "image_emb"))]
    assert {name.split(".")[0] for name in own} >= {"class_embeddings", "image_embedding"}
    assert not [name for name in report.loaded if "scale" in name]


def test_row_single_loads_into_every_network(checkpoint: Path) -> None:
    config = IndependentNetworksConfig(replace(SWIN_UNET, pretrained=str(checkpoint)))
    network = config.build(["ct", "mr"], 3, 3, 2)
    record = config.load_pretrained(network)
    assert record is not None
    assert record["file"] == str(checkpoint)
    for name in ("ct", "mr"):
        assert torch.equal(network.alone(name).encoder.embedding.bias, swin()["patch_embed.proj.bias"])


def test_networks_begin_fresh_without_a_checkpoint() -> None:
    for config in (SWIN_UNET, NNFORMER, FCNConfig(width=2), IndependentNetworksConfig(FCNConfig(width=2))):
        dims = 3 if config is NNFORMER else 2
        network = config.build(["ct"], 1, 3, dims)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        assert config.load_pretrained(network) is None
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_bias_tables_of_other_windows_are_interpolated(checkpoint: Path) -> None:
    state, report = state_of(replace(SWIN_UNET, window=8), checkpoint)
    name = "encoder.stages.1.blocks.0.attention.bias_table"
    source = swin()["layers.1.blocks.0.attn.relative_position_bias_table"]
    assert name in report.loaded
    for head in range(2):
        expected = torch.nn.functional.interpolate(
            source[:, head].reshape(1, 1, 13, 13), (15, 15), mode="bicubic", align_corners=False
        )
        torch.testing.assert_close(state[name][:, head], expected.flatten())


def test_interpolation_keeps_heads_and_planes_apart() -> None:
    row, column = torch.meshgrid(torch.arange(13.0), torch.arange(13.0), indexing="ij")
    table = torch.stack([row.flatten(), column.flatten()], 1)
    bigger = resized_bias_table(table, (8, 8))
    assert bigger is not None
    maps = bigger.T.reshape(2, 15, 15)
    assert maps[:, 7, 7].tolist() == pytest.approx([6, 6])  # the offset 0 stays in the middle
    torch.testing.assert_close(maps[0], maps[1].T)
    assert (maps[0].diff(dim=0) > 0).all()
    oblong = resized_bias_table(table, (7, 4))
    assert oblong is not None
    torch.testing.assert_close(oblong[:, 0].reshape(13, 7), row[:, :1].expand(13, 7))
    assert resized_bias_table(table, (3, 5, 5)) is None  # a table of offsets in 3D is of another kind
    assert resized_bias_table(table[1:], (8, 8)) is None


@pytest.mark.parametrize("window", [(5, 5, 5), (5, 3, 3)])
def test_a_3d_table_with_a_square_number_of_offsets_stays_fresh(window: tuple[int, ...], checkpoint: Path) -> None:
    """9 * 9 * 9 = 27 * 27 and 9 * 5 * 5 = 15 * 15: 2D tables of these sizes would say nothing about offsets in 3D."""
    state, report = state_of(replace(NNFORMER, windows=(window,) * 4), checkpoint, channels=1, dims=3)
    tables = {name for name in state if name.endswith("bias_table")}
    assert tables <= set(report.fresh)
    assert report.skipped["layers.0.blocks.0.attn.relative_position_bias_table"].startswith("shape (169, 1)")


def test_swin_into_nnformer(checkpoint: Path) -> None:
    state, report = state_of(NNFORMER, checkpoint, channels=1, dims=3)
    weights, released = {plain_name(name): tensor for name, tensor in state.items()}, swin()
    for stage in range(3):
        source = f"layers.{stage}.blocks"
        for half in ("encoder", "decoder"):
            block = f"{half}.stages.{stage}.blocks"
            assert torch.equal(weights[f"{block}.1.attention.qkv.weight"], released[f"{source}.1.attn.qkv.weight"])
            assert torch.equal(weights[f"{block}.0.mlp.fc1.weight"], released[f"{source}.0.mlp.fc1.weight"])
            assert torch.equal(weights[f"{block}.0.norm1.bias"], released[f"{source}.0.norm1.bias"])
    assert torch.equal(weights["encoder.norms.3.weight"], released["norm.weight"])
    assert torch.equal(weights["encoder.embedding_norm.weight"], released["patch_embed.norm.weight"])
    fresh = {plain_name(name) for name in report.fresh}
    assert {name for name in fresh if name.endswith(("bias_table", ".attention.kv.weight"))} == {
        name for name in weights if name.endswith(("bias_table", ".attention.kv.weight"))
    }
    assert {"encoder.downs.0.convolution.weight", "encoder.project1.convolution1.weight", "outputs.0.weight"} <= fresh
    assert "layers.0.downsample.reduction.weight" in report.skipped


def test_a_hash_that_is_another(checkpoint: Path) -> None:
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    tensors, read_digest = read_checkpoint(checkpoint, digest.upper())
    assert read_digest == digest
    assert len(tensors) == len(swin())
    with pytest.raises(InputError, match=f"has SHA-256 {digest}, expected 00"):
        read_checkpoint(checkpoint, "00")


class Bomb:
    """What a malicious file would bring."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("pwned").touch, ())


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": swin(), "args": Bomb()}, "a.pth")
    Path("b.pth").write_bytes(pickle.dumps({"model": Bomb()}, protocol=2))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(InputError, match="more than tensors"):
            read_checkpoint(name)
    assert not Path("pwned").exists()


def test_files_that_are_no_checkpoint(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(InputError, match="found no checkpoint"):
        read_checkpoint(tmp_path / "none.pth")
    cut = tmp_path / "cut.pth"
    cut.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut\.pth is not a readable checkpoint"):
        read_checkpoint(cut)
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "page.safetensors")
    (tmp_path / "odd.pth").write_bytes(b"\x80\x02}}}s.")  # a dict with a dict as key
    with pytest.raises(InputError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "odd.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="expected tensors by name"):
        read_checkpoint(tmp_path / "list.pth")


def test_checkpoints_of_other_networks(tmp_path: Path, checkpoint: Path) -> None:
    save_file({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "resnet.safetensors")
    with pytest.raises(InputError, match=r"not a checkpoint of Swin or Swin-Unet \(it looks like nothing known\)"):
        state_of(SWIN_UNET, tmp_path / "resnet.safetensors")
    save_file({"model_down.norm0.weight": torch.zeros(8)}, tmp_path / "nnformer.safetensors")
    with pytest.raises(InputError, match="looks like nnformer"):
        state_of(SWIN_UNET, tmp_path / "nnformer.safetensors")
    with pytest.raises(InputError, match="its own relative index"):
        state_of(NNFORMER, tmp_path / "nnformer.safetensors", 1, 3)
    save_file({"layers_up.0.norm.weight": torch.zeros(8)}, tmp_path / "swin_unet.safetensors")
    with pytest.raises(InputError, match="looks like swin-unet"):
        state_of(NNFORMER, tmp_path / "swin_unet.safetensors", 1, 3)
    with pytest.raises(InputError, match="not one tensor fits"):
        state_of(replace(SWIN_UNET, width=20, heads=(5, 5, 5, 5)), checkpoint)
