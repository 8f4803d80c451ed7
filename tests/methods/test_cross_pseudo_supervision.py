"""Cross pseudo supervision: its equations in loops, two networks that differ and both learn, and one that predicts."""

from dataclasses import replace

import pytest
import torch
from random_batches import random_batches

from oracles import semi_supervision_loops as loops
from unpaired.data.batch import Batch
from unpaired.methods.cross_pseudo_supervision import (
    CrossPseudoSupervision,
    CrossPseudoSupervisionConfig,
    pseudo_supervision,
    redrawn,
)
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.ramp import Ramp
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import NetworkConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.specific_unets import SpecificUNetsConfig
from unpaired.networks.unet import UNetConfig

C = 3
NAMES = ("ct", "mr", "lge")
UNET = UNetConfig(width=2, widest=4, blocks=(1, 1))
CONFIG = CrossPseudoSupervisionConfig(SupervisedConfig())


def batches(dims: int = 2, **unlabeled: int) -> dict[str, Batch]:
    """Two labeled images of every modality, and so many unlabeled ones of those named."""
    return random_batches(NAMES, (4,) * dims, unlabeled=unlabeled, seed=2)


def built(
    config: CrossPseudoSupervisionConfig = CONFIG, network: NetworkConfig = UNET, dims: int = 2
) -> CrossPseudoSupervision:
    torch.manual_seed(0)
    return config.build(network.build(NAMES, 1, C, dims), C)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("labeled", [True, False])
def test_the_objective_equals_the_loops(dims: int, labeled: bool) -> None:
    method = built(replace(CONFIG, labeled=labeled, weight=3.0, ramp=Ramp(length=0.5)), dims=dims)
    data = batches(dims, ct=3, lge=1)
    loss, terms = method(data, 0.2)
    expected: dict[str, float] = {}
    passes = [{"ct": data["ct"].unlabeled, "lge": data["lge"].unlabeled}]
    passes += [{name: batch.images for name, batch in data.items()}] if labeled else []
    for images in passes:
        first, second = method.network(images), method.second.network(images)
        for name in images:
            z_first, z_second = (of[name].logits.detach().numpy().astype(float) for of in (first, second))
            both = loops.pseudo_supervision(z_first, z_second) + loops.pseudo_supervision(z_second, z_first)
            expected[f"cross_pseudo/{name}"] = expected.get(f"cross_pseudo/{name}", 0.0) + both
    inner, second_loss = method.method(data, 0.2), method.second(data, 0.2).loss
    assert set(terms) == {*inner.terms, "second", *expected}
    assert terms["second"].item() == pytest.approx(second_loss.item())
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4)
    total = inner.loss.item() + second_loss.item() + 3.0 * loops.rise(0.2, 0.5) * sum(expected.values())
    assert loss.item() == pytest.approx(total, rel=1e-5)


def test_a_hand_computed_case() -> None:
    """Two voxels with p = (1/2, 1/2) and (3/4, 1/4); the other network says class 1 and class 0."""
    logits = torch.log(torch.tensor([[[0.5, 0.75], [0.5, 0.25]]]))
    other = torch.tensor([[[0.0, 5.0], [1.0, 4.0]]])
    expected = -(torch.tensor(0.5).log() + torch.tensor(0.75).log()) / 2
    assert pseudo_supervision(logits, other).item() == pytest.approx(expected.item())


def test_no_gradient_flows_through_a_pseudo_label() -> None:
    logits, other = (torch.randn(1, C, 4, 4, requires_grad=True) for _ in range(2))
    pseudo_supervision(logits, other).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() > 0
    assert other.grad is None


def test_pseudo_labels_may_be_weighted_by_their_frequency() -> None:
    logits, other = torch.randn(2, C, 4, 4), torch.randn(2, C, 4, 4)
    weighted = pseudo_supervision(logits, other, "frequency")
    labels = other.argmax(1)
    shares = torch.tensor([1 - (labels == c).float().mean().item() for c in range(C)])
    per_voxel = torch.nn.functional.cross_entropy(logits, labels, reduction="none") * shares[labels]
    assert weighted.item() == pytest.approx(per_voxel.mean().item(), rel=1e-5)


def test_the_second_network_is_a_second_draw_from_the_same_initialization() -> None:
    torch.manual_seed(0)
    network = UNET.build(NAMES, 1, C, 2)
    copied = redrawn(network)
    for (name, parameter), shuffled in zip(network.named_parameters(), copied.parameters(), strict=True):
        assert parameter is not shuffled
        assert torch.equal(parameter.flatten().sort().values, shuffled.flatten().sort().values), (
            "the same values, elsewhere"
        )
        constant = bool((parameter == parameter.flatten()[0]).all())
        assert torch.equal(parameter, shuffled) == constant, name
    torch.manual_seed(0)
    assert all(
        torch.equal(parameter, again)
        for parameter, again in zip(copied.parameters(), redrawn(UNET.build(NAMES, 1, C, 2)).parameters(), strict=True)
    ), "the random state alone decides"


@pytest.mark.parametrize("config", [IndependentNetworksConfig(UNET), SpecificUNetsConfig(UNET)])
def test_modalities_that_begin_alike_do_so_in_the_second_network_too(config: NetworkConfig) -> None:
    network = config.build(NAMES, 1, C, 2)
    copied = redrawn(network)
    weights, again = dict(network.named_parameters()), dict(copied.named_parameters())
    of_first = [name for name in weights if name.startswith("by_modality.ct.")]
    assert of_first
    for name in of_first:
        other = name.replace(".ct.", ".mr.")
        assert torch.equal(weights[name], weights[other])
        assert torch.equal(again[name], again[other]), name
    assert not all(torch.equal(weights[name], again[name]) for name in of_first)


def test_a_frozen_encoder_is_held_once() -> None:
    config = SAMMed3DConfig(width=4, depth=2, heads=2, patch=4, size=8, window=2, global_blocks=(1,), neck=8)
    network = replace(config, adapter=2, frozen=True).build(NAMES, 1, C, 3)
    first, second = dict(network.named_parameters()), dict(redrawn(network).named_parameters())
    shared = {name for name in first if first[name] is second[name]}
    assert shared == {name for name in first if not first[name].requires_grad}
    assert shared


def test_both_networks_learn_and_the_first_predicts() -> None:
    method = built()
    method(batches(ct=2), 0.5).loss.backward()
    for network in (method.network, method.second.network):
        learned = [p.grad is not None and bool(p.grad.abs().max() > 0) for p in network.parameters()]
        assert sum(learned) > 0.9 * len(learned)
    assert method.further_networks == (method.second.network,)
    images = batches()["mr"].images
    expected = method.network({"mr": images})["mr"].logits
    assert torch.equal(method.predict(images, "mr"), expected)
    assert set(method.network.state_dict()) == set(UNET.build(NAMES, 1, C, 2).state_dict()), "what is exported"


def test_without_unlabeled_images_it_is_the_method_itself() -> None:
    method = built()
    alone = method.method(batches(), 0.5)
    wrapped = method(batches(), 0.5)
    assert torch.equal(wrapped.loss, alone.loss)
    assert list(wrapped.terms) == list(alone.terms)
    plain = SupervisedConfig()
    torch.manual_seed(0)
    assert torch.equal(plain.build(UNET.build(NAMES, 1, C, 2), C)(batches(), 0.5).loss, wrapped.loss), "no draw moved"


def test_methods_that_own_parts_own_them_twice() -> None:
    method = built(replace(CONFIG, method=SSCConfig(scales=("encoder2", "encoder1"))))
    first, second = ({id(p) for p in member.parameters()} for member in (method.method, method.second))
    assert not first & second
    assert len(first) == len(second)


def test_wrappers_wrap_each_other() -> None:
    config = MeanTeacherConfig(CONFIG, noise=0.0)
    torch.manual_seed(0)
    method = config.build(UNET.build(NAMES, 1, C, 2), C)
    terms = method(batches(ct=1), 0.5).terms
    assert {"mean_teacher/ct", "cross_pseudo/ct", "second", "dice/ct"} <= set(terms)
    inner = built(replace(CONFIG, method=MeanTeacherConfig(SupervisedConfig())))
    inner(batches(ct=1), 0.5)
    inner.after_step()
    steps = [module.get_extra_state().item() for module in inner.modules() if hasattr(module, "teacher")]
    assert steps == [1, 1], "each network's teacher moves once"
