"""Coarser logits of U-Net and nnFormer: where they come from, that prediction has none, whose weights fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from unpaired.errors import InputError
from unpaired.networks.class_rows import class_rows
from unpaired.networks.deep_supervision import PART, is_auxiliary
from unpaired.networks.independent import IndependentNetworks, IndependentNetworksConfig
from unpaired.networks.network import Network, NetworkConfig
from unpaired.networks.nnformer import NNFormer, NNFormerConfig
from unpaired.networks.one_modality import one_modality
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.unet import UNetConfig
from unpaired.networks.weights import load_weights

NAMES = ("ct", "mr")
FLAT = ((2, 2), (1, 2), (2, 2), (1, 2))
THICK = ((1, 2, 2), (2, 2, 2), (1, 2, 2), (1, 1, 2))
PLAIN = UNetConfig(width=2, widest=6, blocks=(1, 1, 1, 1, 1), strides=FLAT)
DEEP = replace(PLAIN, deep_supervision=True)
IN_3D = replace(DEEP, strides=THICK)
SIZES = {2: (8, 16), 3: (4, 16, 16)}
NNFORMER = NNFormerConfig(
    2, (1, 1, 1), (1, 1, 1), windows=(2, 2, 2), strides=(2, 2), patch_strides=(1, 2), drop_path=0.0
)


def built(config: NetworkConfig, dims: int = 2, modalities: tuple[str, ...] = NAMES, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return config.build(modalities, 1, 3, dims)


def images(dims: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(dims)
    return {name: torch.randn(2, 1, *SIZES[dims], generator=generator) for name in NAMES}


@pytest.mark.parametrize(
    ("config", "grids"),
    [(DEEP, {2: (4, 8), 3: (4, 4)}), (IN_3D, {2: (4, 8, 8), 3: (2, 4, 4)})],
    ids=["2d", "3d"],
)
def test_coarser_logits_are_of_the_stages_between_on_their_own_grids(
    config: UNetConfig, grids: dict[int, tuple[int, ...]]
) -> None:
    """Of the decoder's four stages the second and third; axes that a stage leaves alone are as long as before."""
    dims = len(grids[2])
    network = built(config, dims)
    outputs = network(images(dims))
    state = network.state_dict()
    for output in outputs.values():
        assert set(output.features) == {*network.feature_names, "logits/2", "logits/4"}
        for head, (name, stage) in enumerate((("logits/2", 2), ("logits/4", 3))):
            kernel = state[f"{PART}.{head}.weight"].flatten(1)
            expected = torch.einsum("oc,bc...->bo...", kernel, output.features[f"decoder{stage}"])
            assert output.features[name].shape == (2, 3, *grids[stage])
            torch.testing.assert_close(output.features[name], expected)


@pytest.mark.parametrize(("config", "dims"), [(DEEP, 2), (IN_3D, 3)], ids=["2d", "3d"])
def test_prediction_is_that_of_the_same_weights_without_heads(config: UNetConfig, dims: int) -> None:
    deep, plain = built(config, dims), built(replace(config, deep_supervision=False), dims)
    begun = plain.state_dict()
    heads = {name for name in deep.state_dict() if name not in begun}
    assert heads == {f"{PART}.{number}.{kind}" for number in (0, 1) for kind in ("weight", "bias")}
    assert all(torch.equal(deep.state_dict()[name], value) for name, value in begun.items())
    x = images(dims)
    for head in deep.auxiliary_outputs:  # pyright: ignore[reportGeneralTypeIssues]
        head.register_forward_pre_hook(lambda *_: pytest.fail("a head was computed in evaluation"))
    said, expected = deep.eval()(x), plain.eval()(x)
    for name in NAMES:
        assert torch.equal(said[name].logits, expected[name].logits)
        assert tuple(said[name].features) == deep.feature_names == plain.feature_names


def test_nnformer_predicts_by_its_finest_head_alone_and_trains_all() -> None:
    network, x = built(NNFORMER), images()
    assert isinstance(network, NNFormer)
    trained = network(x)
    for output in trained.values():
        assert set(output.features) == {*network.feature_names, "logits/2"}
        torch.testing.assert_close(output.features["logits/2"], network.outputs[1](output.features["decoder2"]))
    network.outputs[1].register_forward_pre_hook(lambda *_: pytest.fail("a head was computed in evaluation"))
    for name, output in network.eval()(x).items():
        assert torch.equal(output.logits, network.outputs[0](output.features["decoder1"]))
        torch.testing.assert_close(output.logits, trained[name].logits)
        assert tuple(output.features) == network.feature_names


@pytest.mark.parametrize("config", [DEEP, SpecificUNetsConfig(DEEP), NNFORMER], ids=["U-Net", "as in CMC", "nnFormer"])
def test_what_leaves_the_package_has_no_heads(config: NetworkConfig) -> None:
    network, x = built(config).eval(), images()["ct"]
    alone = one_modality(network, "ct")
    assert not [name for name in alone.state_dict() if is_auxiliary(name)]
    assert [name for name in network.state_dict() if is_auxiliary(name)]
    with torch.no_grad():
        torch.testing.assert_close(alone(x), network({"ct": x})["ct"].logits)


@pytest.mark.parametrize(
    "config",
    [
        replace(DEEP, norm="batch", concatenate=True),
        replace(DEEP, own=("output", "decoder2")),
        SpecificUNetsConfig(DEEP, None),
    ],
    ids=["one pass", "own outputs", "a U-Net each"],
)
def test_each_modality_gets_its_own_coarser_logits(config: NetworkConfig) -> None:
    """Of all modalities in one step as of each alone."""
    network, x = built(config), images()
    together = network(x)
    for name in NAMES:
        alone = network({name: x[name]})[name]
        for key in ("logits/2", "logits/4"):
            torch.testing.assert_close(together[name].features[key], alone.features[key])
    owned = [name for name in network.state_dict() if PART in name and "by_modality.mr." in name]
    assert bool(owned) == (not isinstance(config, UNetConfig) or bool(config.own))


def test_a_u_net_of_three_stages_has_none_between() -> None:
    with pytest.raises(InputError, match=r"UNetConfig\.deep_supervision: expected at least 4 stages.*\(1, 1, 1\)"):
        UNetConfig(blocks=(1, 1, 1), deep_supervision=True)


@pytest.mark.parametrize(
    ("plain", "deep"),
    [
        (PLAIN, DEEP),
        (IndependentNetworksConfig(PLAIN), IndependentNetworksConfig(DEEP)),
        (replace(NNFORMER, deep_supervision=False), NNFORMER),
    ],
    ids=["U-Net", "a U-Net each", "nnFormer"],
)
def test_a_run_begins_with_one_without_heads_and_the_reverse(
    plain: NetworkConfig, deep: NetworkConfig, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    without, with_heads = built(plain), built(deep, seed=1)
    learned, begun = without.state_dict(), {name: value.clone() for name, value in with_heads.state_dict().items()}
    save_file(learned, path)
    assert load_weights(with_heads, path, larger=True) == ((PART,), {})
    for name, value in with_heads.state_dict().items():
        assert torch.equal(value, learned.get(name, begun[name])), name
    save_file(begun, path)
    assert load_weights(without, path, larger=True) == ((), {})
    assert all(torch.equal(value, begun[name]) for name, value in without.state_dict().items())
    with pytest.raises(InputError, match="another network"):  # a run's own weights have to fit as ever
        load_weights(without, path)


def test_a_modality_that_joins_begins_with_the_heads_of_another(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    config = replace(DEEP, own=("output",))
    for of_file in (config, replace(config, deep_supervision=False)):
        save_file(built(of_file, seed=1).state_dict(), path)
        network = built(config, modalities=(*NAMES, "lge"))
        fresh, begins_as = load_weights(network, path, larger=True, like="mr")
        assert (fresh, begins_as) == ((PART,) if of_file != config else (), {"lge": "mr"})
        state = network.state_dict()
        pairs = {name: name.replace(".lge.", ".mr.") for name in state if ".lge." in name}
        assert any(PART in name for name in pairs)
        assert all(torch.equal(state[name], state[source]) for name, source in pairs.items())
    with pytest.raises(InputError, match="holds nothing of modality 'pet', which 'lge' is to begin as; known: "):
        load_weights(network, path, larger=True, like="pet")
    save_file(built(PLAIN).state_dict(), path)  # shares the output that is to be each modality's own
    with pytest.raises(InputError, match="another network"):
        load_weights(network, path, larger=True, like="mr")


def test_heads_keep_what_they_learned_of_a_class(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(built(DEEP, seed=1).state_dict(), path)
    learned = built(DEEP, seed=1).state_dict()
    network = DEEP.build(NAMES, 1, 4, 2)
    rows = class_rows(DEEP, network, 2, ("background", "a", "b"), ("background", "new", "b", "a"))
    load_weights(network, path, larger=True, rows=rows)
    for name, value in network.state_dict().items():
        if PART in name:
            assert torch.equal(value[[0, 2, 3]], learned[name][[0, 2, 1]])


def test_independent_networks_keep_their_heads_apart() -> None:
    network = built(IndependentNetworksConfig(DEEP))
    assert isinstance(network, IndependentNetworks)
    network(images())["ct"].features["logits/2"].sum().backward()
    reached = [name for name, p in network.named_parameters() if p.grad is not None]
    assert not [name for name in reached if "by_modality.mr." in name]
