"""A run begins with another's weights, also where its network has a part more: CMC's two stages."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from unpaired.data.dataset import Dataset
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import NetworkConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.unet import UNetConfig
from unpaired.networks.weights import load_weights
from unpaired.recipe import Optimization, Recipe, build_method
from unpaired.recipes.phantom import csa
from unpaired.runs.run import Run
from unpaired.training.loop import Hardware, train

IN_PROCESS = Hardware(device="cpu", workers=0)
UNET = UNetConfig(width=2, widest=4, blocks=(1, 1))
NAMES = ("bssfp", "ct")


def recipe(network: NetworkConfig, init_from: Path | None = None) -> Recipe:
    return replace(
        csa(),
        network=network,
        method=SupervisedConfig(),
        optimization=Optimization(learning_rate=1e-12),
        patch_size=(8, 8),
        context_slices=1,
        batch_size=1,
        steps=1,
        modalities=NAMES,
        validate_every=1,
        save_every=1,
        init_from=None if init_from is None else str(init_from),
    )


def test_networks_trained_apart_meet_in_a_fresh_fusion(
    phantom: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = recipe(IndependentNetworksConfig(UNET))
    apart = Run.create(tmp_path / "apart", first, phantom)
    apart.save_weights(build_method(first, NAMES, len(phantom.classes)).network, "best")
    second = replace(recipe(SpecificUNetsConfig(UNET), apart.folder), seed=1)
    together = train(second, phantom, tmp_path / "together", hardware=IN_PROCESS)
    assert f"all weights from {apart.folder}, fusion begins fresh" in capsys.readouterr().err
    record = json.loads((together.folder / "versions.json").read_text(encoding="utf-8"))["init_from"]
    assert record == {"run": str(apart.folder), "weights": "best", "fresh": ["fusion"]}
    start, end = load_file(apart.weights("best")), load_file(together.weights("last"))
    fresh = build_method(second, NAMES, len(phantom.classes)).network.state_dict()
    assert {name.partition(".")[0] for name in set(end) - set(start)} == {"fusion"}
    for name, tensor in end.items():
        torch.testing.assert_close(tensor, start.get(name, fresh[name]), rtol=0, atol=1e-9)


def test_anything_but_a_whole_part_more_is_another_network(tmp_path: Path) -> None:
    def weights(config: NetworkConfig, modalities: tuple[str, ...] = NAMES) -> Path:
        path = tmp_path / "weights.safetensors"
        save_file(config.build(modalities, 1, 4, 2).state_dict(), path)
        return path

    def fused(modalities: tuple[str, ...] = NAMES):
        return replace(UNET, fusion="alone").build(modalities, 1, 4, 2)

    assert load_weights(fused(), weights(UNET), larger=True) == ("fusion",)
    with pytest.raises(InputError, match=r"another network.*fusion"):
        load_weights(fused(), weights(UNET))
    with pytest.raises(InputError, match=r"another network.*lge"):  # a modality more is no whole part
        load_weights(fused((*NAMES, "lge")), weights(UNET), larger=True)
    with pytest.raises(InputError, match=r"another network.*fusion"):  # a part less: what was learned would be lost
        load_weights(UNET.build(NAMES, 1, 4, 2), weights(replace(UNET, fusion="alone")), larger=True)
    with pytest.raises(InputError, match=r"another network.*size mismatch"):
        load_weights(fused(), weights(replace(UNET, width=3)), larger=True)
    save_file({}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=r"another network.*Missing"):
        load_weights(fused(), tmp_path / "weights.safetensors", larger=True)
