"""Training begins with the pre-trained weights that a network's config names, says so, and needs their file once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import tiny

from golden.sam_med3d import released_state
from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervisionConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.swin_unet import SwinUNetConfig
from unpaired.networks.unet import UNetConfig
from unpaired.recipe import Optimization, Recipe, build_method
from unpaired.recipes.phantom import csa
from unpaired.training.first_weights import load_first_weights
from unpaired.training.loop import Hardware, train

IN_PROCESS = Hardware(device="cpu", workers=0)
NETWORK = SwinUNetConfig(width=4, depths=(1, 1), heads=(1, 1), window=4)


def recipe(checkpoint: Path, steps: int = 1) -> Recipe:
    return replace(
        csa(),
        network=replace(NETWORK, pretrained=str(checkpoint)),
        method=SupervisedConfig(),
        optimization=Optimization(learning_rate=1e-12),
        patch_size=(16, 16),
        window_overlap=0.0,
        batch_size=1,
        steps=steps,
        modalities=("ct",),
        validate_every=steps,
        save_every=steps,
    )


def test_a_run_begins_with_pretrained_weights(
    phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "swin.pth"
    qkv = torch.randn(12, 4)
    torch.save({"model": {"layers.0.blocks.0.attn.qkv.weight": qkv, "head.bias": torch.zeros(5)}}, checkpoint)
    run = train(recipe(checkpoint), phantom, tmp_path / "run", hardware=IN_PROCESS)
    weights = load_file(run.weights("last"))
    for half in ("encoder", "decoder"):
        torch.testing.assert_close(weights[f"{half}.stages.0.blocks.0.attention.qkv.weight"], qkv, atol=1e-6, rtol=0)
    record = json.loads((run.folder / "versions.json").read_text(encoding="utf-8"))["pretrained"]
    assert record["file"] == str(checkpoint)
    assert record["loaded"] == 2
    assert record["skipped"] == {"no counterpart in the network": 1}
    said = capsys.readouterr().err
    assert "; 1 left out: no counterpart in the network" in said
    assert f"2 tensors from {checkpoint}" in said
    counts = json.loads((run.folder / "versions.json").read_text(encoding="utf-8"))["parameters"]
    assert counts == {"trained": sum(p.numel() for p in run.load_method("last").parameters()), "frozen": 0}
    assert f"{counts['trained']:,} of {counts['trained']:,} parameters are trained" in said

    checkpoint.unlink()  # neither to use the run nor to find it finished
    run.load_method("last")
    train(recipe(checkpoint), phantom, tmp_path / "run", hardware=IN_PROCESS, show=False)


def test_a_wrong_path_leaves_no_run_behind(phantom: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no checkpoint"):
        train(recipe(tmp_path / "none.pth"), phantom, tmp_path / "run", hardware=IN_PROCESS, show=False)
    assert not (tmp_path / "run").exists()


def test_cmc_in_two_stages_moves_adapters_only(
    phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each modality by itself from the released weights, then together from that run."""
    checkpoint = tmp_path / "sam_med3d.pth"
    torch.save({"model_state_dict": released_state()}, checkpoint)
    network = SAMMed3DConfig.cmc(str(checkpoint))
    network = replace(
        network, width=8, depth=3, heads=2, patch=4, size=8, window=3, global_blocks=(1,), neck=8, adapter=2
    )
    first = replace(
        recipe(checkpoint, steps=2),
        network=replace(network, fusion="alone"),
        optimization=Optimization(optimizer="adamw", learning_rate=0.01, weight_decay=0.1),
        patch_size=(8, 8, 8),
        context_slices=1,
        modalities=("bssfp", "ct"),
    )
    separate = train(first, phantom, tmp_path / "separate", hardware=IN_PROCESS)
    assert "parameters are trained" in capsys.readouterr().err
    second = replace(first, network=network, init_from=str(separate.folder))
    together = train(second, phantom, tmp_path / "together", hardware=IN_PROCESS, show=False)
    assert "pretrained" not in json.loads((together.folder / "versions.json").read_text(encoding="utf-8"))
    start, end = load_file(separate.weights("last")), load_file(together.weights("last"))
    theirs = released_state()
    frozen = [name for name in start if name.startswith("encoder.") and ".adapter." not in name]
    assert len(frozen) == 2 * (3 + 3 * 15 + 6)
    assert all(torch.equal(start[name], end[name]) for name in frozen)
    for name in ("bssfp", "ct"):
        assert torch.equal(end[f"encoder.by_modality.{name}.positions"], theirs["image_encoder.pos_embed"])
    still = [name for name in start if name not in frozen and torch.equal(start[name], end[name])]
    assert still == []
    counts = json.loads((together.folder / "versions.json").read_text(encoding="utf-8"))["parameters"]
    assert counts["frozen"] == sum(start[name].numel() for name in frozen)
    assert counts["trained"] == sum(x.numel() for x in start.values()) - counts["frozen"]


def test_both_networks_begin_with_pretrained_weights(
    phantom: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = []
    monkeypatch.setattr(UNetConfig, "load_pretrained", lambda config, network: filled.append(network))
    crossed = tiny(method=CrossPseudoSupervisionConfig(SupervisedConfig()), unlabeled_batch_size=1)
    method = build_method(crossed, ("ct",), 6)
    load_first_weights(crossed, method, phantom.classes, tmp_path / "run")
    assert {id(network) for network in filled} == {id(method.network), id(method.second.network)}
