from dataclasses import replace
from typing import Any

import pytest
import torch
from random_batches import random_batches

from oracles import segmentation_loops
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import CSAConfig
from unpaired.methods.co_training import CoTrainingConfig
from unpaired.methods.cross_modality_collaboration import CMCConfig
from unpaired.methods.cross_pseudo_supervision import CrossPseudoSupervision, CrossPseudoSupervisionConfig
from unpaired.methods.knowledge_distillation import KnowledgeDistillationConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.method import MethodConfig
from unpaired.methods.pseudo_correlation import PseudoCorrelationConfig
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.methods.supervised import SupervisedConfig, halving_weights, supervised_terms
from unpaired.methods.weak_to_strong import WeakToStrongConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import NetworkOutput
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.unet import UNet, UNetConfig

SMALL = FCNConfig(width=2, dropout=0.0)
ROWS = {
    "Single": IndependentNetworksConfig(SMALL),
    "Joint": FCNConfig(width=2, dropout=0.0, modality_norm=False),
    "MSBN": SMALL,
}


@pytest.mark.parametrize("row", ROWS)
def test_equation_5_without_its_last_term(row: str) -> None:
    network = ROWS[row].build(("ct", "mr"), 1, 3, 2)
    method = SupervisedConfig(dice_weight=2.0, cross_entropy_weight=0.5).build(network, 3)
    data = random_batches(("ct", "mr"), (16, 16))
    objective = method(data, 0.0)
    assert list(objective.terms) == ["dice/ct", "ce/ct", "dice/mr", "ce/mr"]
    outputs = network({name: batch.images for name, batch in data.items()})
    expected = 0.0
    for name, (_, labels, label_sets, *_) in data.items():
        logits = outputs[name].logits.detach().double()
        dice = segmentation_loops.soft_dice_loss(logits, labels, label_sets)
        ce = segmentation_loops.cross_entropy(logits, labels, label_sets, weighted=True)
        assert objective.terms[f"dice/{name}"].item() == pytest.approx(dice.item(), rel=1e-4)
        assert objective.terms[f"ce/{name}"].item() == pytest.approx(ce.item(), rel=1e-4)
        expected += 2.0 * dice.item() + 0.5 * ce.item()
    assert objective.loss.item() == pytest.approx(expected, rel=1e-4)
    assert all(term.requires_grad for term in objective.terms.values()), "a diagnosis asks each for its gradient"


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)], ids=["dice", "ce"])
def test_each_term_trains_every_parameter(row: str, weights: tuple[float, float]) -> None:
    method = SupervisedConfig(*weights).build(ROWS[row].build(("ct", "mr"), 1, 3, 2), 3)
    method(random_batches(("ct", "mr"), (16, 16)), 0.0).loss.backward()
    still = [name for name, p in method.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize(("dims", "size"), [(2, (16, 16)), (3, (8, 8, 16))], ids=["2d", "3d"])
def test_it_learns(dims: int, size: tuple[int, ...]) -> None:
    """A few steps on one step's images, whose gray values say the class, must bring the loss down.

    From weights that versions of torch draw alike, in steps that go down from any such weights.
    """
    torch.manual_seed(0)
    network = replace(SMALL, initialization="he")
    method = SupervisedConfig().build(network.build(("ct", "mr"), 1, 3, dims), 3)
    data = {}
    for name, sign in (("ct", 1), ("mr", -1)):
        labels = torch.zeros(2, *size, dtype=torch.long)
        labels[..., 4:12], labels[..., 6:10] = 1, 2
        data[name] = Batch(sign * (labels.unsqueeze(1) - 1.0), labels, torch.eye(3, dtype=torch.bool))
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    losses = []
    for step in range(8):
        optimizer.zero_grad()
        loss = method(data, step / 8).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_any_number_of_modalities() -> None:
    names = ("ct", "bssfp", "lge")
    method = SupervisedConfig().build(SMALL.build(names, 1, 3, 2), 3)
    assert len(method(random_batches(names, (16, 16)), 0.0).terms) == 6
    assert list(method(random_batches(("lge",), (16, 16)), 0.0).terms) == ["dice/lge", "ce/lge"]


def test_deep_supervision_in_loops() -> None:
    """Each resolution with its weight; the coarse label map takes the voxel in the middle of each block of 3x3."""
    full, labels = torch.randn(2, 3, 12, 12), torch.randint(0, 3, (2, 12, 12))
    third = torch.randn(2, 3, 4, 4)
    batch = Batch(torch.zeros(2, 1, 12, 12), labels, torch.eye(3, dtype=torch.bool))
    config = SupervisedConfig(dice_weight=2.0, deep_supervision=(0.75, 0.25))
    objective = supervised_terms({"ct": NetworkOutput(full, {"logits/2": third})}, {"ct": batch}, config)
    expected = {"dice/ct": 0.0, "ce/ct": 0.0}
    for weight, logits, truth in ((0.75, full, labels), (0.25, third, labels[:, 1::3, 1::3])):
        sets = batch.label_sets
        expected["dice/ct"] += weight * segmentation_loops.soft_dice_loss(logits, truth, sets).item()
        expected["ce/ct"] += weight * segmentation_loops.cross_entropy(logits, truth, sets, weighted=True).item()
    assert {name: term.item() for name, term in objective.terms.items()} == pytest.approx(expected, rel=1e-4)
    assert objective.loss.item() == pytest.approx(2 * expected["dice/ct"] + expected["ce/ct"], rel=1e-4)


def test_deep_supervision_trains_every_head() -> None:
    config = NNFormerConfig(4, (1, 1, 1), (1, 1, 1), windows=(2, 2, 2), strides=(2, 2), patch_strides=(1, 2))
    network = config.build(("ct", "mr"), 1, 3, 2)
    SupervisedConfig(deep_supervision=(2 / 3, 1 / 3)).build(network, 3)(
        random_batches(("ct", "mr"), (16, 16)), 0.0
    ).loss.backward()
    assert len(network.outputs) == 2
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.outputs.parameters())
    with pytest.raises(InputError, match="no feature 'logits/4'"):
        SupervisedConfig(deep_supervision=(4 / 7, 2 / 7, 1 / 7)).build(network, 3)(
            random_batches(("ct", "mr"), (16, 16)), 0.0
        )


DEEP = UNetConfig(width=2, widest=6, blocks=(1, 1, 1, 1, 1), deep_supervision=True)
SETS = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
"""Three classes, a label that is one of two of them, and one that is ignored."""


@pytest.mark.parametrize(
    ("strides", "size", "factors"),
    [
        (((2, 2), (1, 2), (2, 2), (1, 2)), (8, 16), ((2, 2), (2, 4))),
        (((1, 2, 2), (2, 2, 2), (1, 2, 2), (1, 1, 1)), (2, 8, 16), ((1, 2, 2), (2, 4, 4))),
    ],
    ids=["2d", "3d"],
)
def test_a_u_nets_stages_are_supervised_on_their_own_grids_in_loops(
    strides: tuple[tuple[int, ...], ...], size: tuple[int, ...], factors: tuple[tuple[int, ...], ...]
) -> None:
    """nnU-Net's weights (1, 1/2, 1/4 over their sum) without a word in the method, and labels of the middle of blocks
    that are halved along some axes only; ignored voxels and labels of several classes count as at full resolution."""
    torch.manual_seed(0)
    network = replace(DEEP, strides=strides).build(("ct",), 1, 3, len(size))
    labels = torch.randint(0, len(SETS), (1, *size))
    batch = Batch(torch.randn(1, 1, *size), labels, SETS)
    method = SupervisedConfig(dice_weight=2.0).build(network, 3)
    objective = method({"ct": batch}, 0.0)
    output = network({"ct": batch.images})["ct"]
    maps = [output.logits, output.features["logits/2"], output.features["logits/4"]]
    expected = 0.0
    for weight, logits, factor in zip((4 / 7, 2 / 7, 1 / 7), maps, ((1,) * len(size), *factors), strict=True):
        middles = [torch.arange(step // 2, length, step) for length, step in zip(size, factor, strict=True)]
        truth = labels[0][torch.meshgrid(*middles, indexing="ij")].unsqueeze(0)
        assert truth.shape[1:] == logits.shape[2:]
        dice = segmentation_loops.soft_dice_loss(logits.detach(), truth, SETS).item()
        expected += weight * (2 * dice + segmentation_loops.cross_entropy(logits.detach(), truth, SETS, True).item())
    assert objective.loss.item() == pytest.approx(expected, rel=1e-4)
    alone = SupervisedConfig(dice_weight=2.0, deep_supervision=(1.0,)).build(network, 3)({"ct": batch}, 0.0)
    plain = supervised_terms({"ct": NetworkOutput(output.logits, {})}, {"ct": batch}, SupervisedConfig(dice_weight=2.0))
    assert alone.loss.item() == pytest.approx(plain.loss.item(), rel=1e-6)
    heads = list(network.auxiliary_outputs.parameters())
    alone.loss.backward()  # processes that train together wait for a gradient of each
    assert all(p.grad is not None and not p.grad.any() for p in heads)
    objective.loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in heads)


@pytest.mark.parametrize(
    ("options", "weighted", "clip", "over_all"),
    [
        ({"class_weighting": "none"}, False, None, False),
        ({"clip": 0.3}, True, 0.3, False),
        ({"cross_entropy_mean": "all"}, True, None, True),
    ],
    ids=["weighting", "clip", "mean"],
)
def test_the_cross_entropy_is_as_the_config_says_in_loops(
    options: dict[str, Any], weighted: bool, clip: float | None, over_all: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, len(SETS), (2, 4, 5), generator=generator)
    batch = Batch(torch.zeros(2, 1, 4, 5), labels, SETS)
    terms = supervised_terms({"ct": NetworkOutput(logits, {})}, {"ct": batch}, SupervisedConfig(**options)).terms
    expected = segmentation_loops.cross_entropy(logits, labels, SETS, weighted, clip, over_all=over_all)
    usual = segmentation_loops.cross_entropy(logits, labels, SETS, True)
    assert terms["ce/ct"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert expected.item() != pytest.approx(usual.item(), rel=1e-2)


def test_halving_weights_are_nnu_nets() -> None:
    assert halving_weights(1) == (1.0,)
    assert halving_weights(4) == pytest.approx((8 / 15, 4 / 15, 2 / 15, 1 / 15))


METHODS: tuple[MethodConfig, ...] = (
    CSAConfig(layer_pairs=(("encoder4", "encoder5"),)),
    SSCConfig(scales=("decoder2", "decoder1")),
    CMCConfig(layer="encoder5"),
    KnowledgeDistillationConfig(),
    CoTrainingConfig(),
    PseudoCorrelationConfig(views=2),
    MeanTeacherConfig(SupervisedConfig()),
    WeakToStrongConfig(SupervisedConfig()),
    CrossPseudoSupervisionConfig(SupervisedConfig()),
)


@pytest.mark.parametrize("config", METHODS, ids=lambda config: type(config).__name__)
def test_every_method_adds_the_losses_of_coarser_logits(config: MethodConfig) -> None:
    torch.manual_seed(0)
    method = config.build(DEEP.build(("ct", "mr"), 1, 3, 2), 3)
    data = {
        name: batch._replace(unlabeled=torch.randn(2, 1, 32, 32))
        for name, batch in random_batches(("ct", "mr"), (32, 32)).items()
    }
    method(data, 0.9).loss.backward()
    networks = [method.network, *([method.second.network] if isinstance(method, CrossPseudoSupervision) else [])]
    for network in networks:
        assert isinstance(network, UNet)
        assert len(network.auxiliary_outputs) == 2
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.auxiliary_outputs.parameters())
