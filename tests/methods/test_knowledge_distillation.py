from dataclasses import replace

import pytest
import torch
from torch import Tensor

from oracles import distillation_loops
from unpaired.data.batch import Batch
from unpaired.methods.knowledge_distillation import (
    KnowledgeDistillationConfig,
    class_mean_logits,
    distillation_loss,
    mean_symmetric_divergence,
)
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig

C = 3
SMALL = FCNConfig(width=2, dropout=0.0)
CONFIG = KnowledgeDistillationConfig()
NAMES = ("ct", "mr", "lge", "bssfp")


def example(
    count: int = 2, size: tuple[int, ...] = (4, 3), absent: tuple[str, ...] = ()
) -> tuple[dict[str, Tensor], dict[str, Batch]]:
    """Random logits in double precision with labels; the modalities named in `absent` have no class 1."""
    generator = torch.Generator().manual_seed(count)
    logits, batches = {}, {}
    for name in NAMES[:count]:
        labels = torch.randint(0, C, (2, *size), generator=generator)
        if name in absent:
            labels[labels == 1] = 2
        logits[name] = 3 * torch.randn(2, C, *size, generator=generator, dtype=torch.float64)
        batches[name] = Batch(torch.zeros(2, 1, *size), labels, torch.eye(C, dtype=torch.bool))
    return logits, batches


@pytest.mark.parametrize("size", [(4, 3), (2, 3, 2)], ids=["2d", "3d"])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("absent", [(), ("ct",), ("ct", "mr"), NAMES], ids=["all", "one lacks", "two lack", "no one"])
@pytest.mark.parametrize("handling", ["skip", "uniform"])
def test_it_equals_the_loop_over_pairs_classes_and_voxels(
    size: tuple[int, ...], count: int, absent: tuple[str, ...], handling: str
) -> None:
    logits, batches = example(count, size, absent)
    leaves = [z.requires_grad_() for z in logits.values()]
    config = replace(CONFIG, absent=handling, temperature=1.5)
    got = distillation_loss(logits, batches, config)
    examples = [(logits[name], batches[name].label_map) for name in logits]
    loops = distillation_loops.distillation_loss(examples, 1.5, handling)
    assert got > 0
    assert got.item() == pytest.approx(loops.item(), rel=1e-6)
    torch.testing.assert_close(torch.autograd.grad(got, leaves), torch.autograd.grad(loops, leaves))


def test_a_hand_computed_case() -> None:
    """One voxel of each of two classes; T = 2 halves the logits: softmax((1, 0)) against softmax((0, 0))."""
    labels = torch.tensor([[[0, 1]]])
    batch = Batch(torch.zeros(1, 1, 1, 2), labels, torch.eye(2, dtype=torch.bool))
    a = torch.tensor([[[[2.0, 0.0]], [[0.0, 0.0]]]], dtype=torch.float64)  # class 0's voxel: (2, 0); class 1's: (0, 0)
    b = torch.zeros_like(a)
    p = torch.e / (1 + torch.e)
    # KL(p||u) + KL(u||p) = sum (p - u) log(p / u) = (p - 1/2) (log p - log(1 - p)) = (p - 1/2) * 1
    expected = 0.5 * (0.5 * (p - 0.5))  # half of the symmetric sum, mean over two classes of which one agrees
    assert distillation_loss({"a": a, "b": b}, {"a": batch, "b": batch}, CONFIG).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_order_does_not_matter_and_equal_logits_agree() -> None:
    logits, batches = example(3)
    loss = distillation_loss(logits, batches, CONFIG)
    turned = [dict(reversed(list(values.items()))) for values in (logits, batches)]
    torch.testing.assert_close(distillation_loss(*turned, CONFIG), loss)
    same = dict.fromkeys(logits, logits["ct"])
    batches = dict.fromkeys(logits, batches["ct"])
    assert distillation_loss(same, batches, CONFIG).abs().item() < 1e-12


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    logits, batches = example()
    moved = {name: z + 7 for name, z in logits.items()}
    torch.testing.assert_close(distillation_loss(moved, batches, CONFIG), distillation_loss(logits, batches, CONFIG))


def test_gradients_reach_every_modality_and_are_right() -> None:
    logits, batches = example(3, (2, 2), ("mr",))
    leaves = [z.requires_grad_() for z in logits.values()]

    def loss(*values: Tensor) -> Tensor:
        return distillation_loss(dict(zip(logits, values, strict=True)), batches, CONFIG)

    assert torch.autograd.gradcheck(loss, leaves)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss(*leaves), leaves))


def test_an_absent_class_pulls_toward_uniform_only_as_released() -> None:
    """Class 1 is in mr alone: "skip" leaves mr's logits of its voxels alone, "uniform" doesn't."""
    logits, batches = example(2, absent=("ct",))
    of_class_1 = (batches["mr"].label_map == 1).unsqueeze(1)
    for handling, moved in (("skip", False), ("uniform", True)):
        leaf = logits["mr"].clone().requires_grad_()
        distillation_loss({**logits, "mr": leaf}, batches, replace(CONFIG, absent=handling)).backward()
        assert leaf.grad is not None
        assert bool((leaf.grad * of_class_1).abs().sum() > 0) is moved


def test_nothing_to_compare_is_zero() -> None:
    logits, batches = example(1)
    assert distillation_loss(logits, batches, CONFIG).item() == 0
    nowhere = torch.zeros(2, 4, dtype=torch.bool)
    assert mean_symmetric_divergence(torch.randn(2, 4, 3).log_softmax(-1), nowhere).item() == 0


def test_voxels_of_several_classes_take_no_part() -> None:
    logits, batches = example()
    sets = torch.cat([torch.eye(C, dtype=torch.bool), torch.tensor([[False, True, True]])])
    labels = batches["ct"].label_map.clone()
    merged = torch.zeros_like(labels, dtype=torch.bool)
    merged[0, 0] = True
    batch = Batch(batches["ct"].images, torch.where(merged, torch.tensor(3), labels), sets)
    changed = torch.where(merged.unsqueeze(1), torch.tensor(99.0, dtype=torch.float64), logits["ct"])
    means, present = class_mean_logits(changed, batch)
    known = ~merged
    for c in range(C):
        voxels = logits["ct"].movedim(1, -1)[known & (labels == c)]
        torch.testing.assert_close(means[c], voxels.mean(dim=0), rtol=1e-6, atol=1e-6)
    assert present.all()


def test_the_objective_is_the_supervised_one_and_the_weighted_term() -> None:
    network = SMALL.build(NAMES[:3], 1, C, 2)
    _, batches = example(3, (16, 16))
    objective = replace(CONFIG, weight=0.3).build(network, C)(batches, 0.0)
    supervised = SupervisedConfig().build(network, C)(batches, 0.0)
    assert objective.loss.item() == pytest.approx(supervised.loss.item() + 0.3 * objective.terms["kd"].item(), rel=1e-5)
    assert list(objective.terms) == [*supervised.terms, "kd"]
