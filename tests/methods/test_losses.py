import math

import pytest
import torch
from torch import Tensor

from oracles import segmentation_loops
from unpaired.methods.losses import (
    ClassWeighting,
    MeanOver,
    cross_entropy,
    label_weights,
    one_hot,
    possible_classes,
    soft_dice_loss,
)

EYE = torch.eye(4, dtype=torch.bool)
SETS = torch.cat([EYE, torch.tensor([[True, False, True, False], [False, True, True, True], [True, True, True, True]])])


def example(label_sets: Tensor, shape: tuple[int, ...] = (2, 3, 5), seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape[0], 4, *shape[1:], generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(0, len(label_sets), shape, generator=generator)


def value_and_gradient(loss: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 2, 3, 2)], ids=["2d", "3d"])
@pytest.mark.parametrize("label_sets", [EYE, SETS], ids=["classes", "sets"])
class TestAgainstLoops:
    def test_dice(self, label_sets: Tensor, shape: tuple[int, ...]) -> None:
        logits, labels = example(label_sets, shape)
        expected = segmentation_loops.soft_dice_loss(logits, labels, label_sets)
        got = soft_dice_loss(logits, labels, label_sets)
        torch.testing.assert_close(value_and_gradient(got, logits), value_and_gradient(expected, logits))

    @pytest.mark.parametrize("clip", [None, 0.05])
    @pytest.mark.parametrize("weighting", ["frequency", "none"])
    @pytest.mark.parametrize("mean_over", ["labeled", "all"])
    def test_cross_entropy(
        self,
        label_sets: Tensor,
        shape: tuple[int, ...],
        weighting: ClassWeighting,
        clip: float | None,
        mean_over: MeanOver,
    ) -> None:
        logits, labels = example(label_sets, shape)
        expected = segmentation_loops.cross_entropy(
            logits, labels, label_sets, weighting == "frequency", clip, over_all=mean_over == "all"
        )
        got = cross_entropy(logits, labels, label_sets, weighting, clip, mean_over=mean_over)
        torch.testing.assert_close(
            value_and_gradient(got, logits), value_and_gradient(expected, logits), rtol=1e-6, atol=1e-9
        )


def test_cross_entropy_with_a_mapping_equals_the_loops() -> None:
    logits, labels = example(SETS)
    scores = torch.randn(SETS.shape, dtype=torch.float64, requires_grad=True)

    def mapping() -> Tensor:
        return scores.masked_fill(~SETS, -torch.inf).softmax(dim=1)

    got = cross_entropy(logits, labels, SETS, "none", mapping=mapping())
    expected = segmentation_loops.cross_entropy(logits, labels, SETS, False, mapping=mapping())
    torch.testing.assert_close(got, expected)
    leaves = [logits, scores]
    torch.testing.assert_close(torch.autograd.grad(got, leaves), torch.autograd.grad(expected, leaves))


def test_cross_entropy_without_weights_is_torchs() -> None:
    logits, labels = example(EYE)
    torch.testing.assert_close(
        cross_entropy(logits, labels, EYE, "none"), torch.nn.functional.cross_entropy(logits, labels)
    )


def test_weights_by_hand() -> None:
    labels = torch.tensor([[0, 0, 0, 1]])
    assert label_weights(labels, EYE).tolist() == [0.25, 0.75, 1.0, 1.0]


def test_dice_by_hand() -> None:
    labels = torch.tensor([[0, 1]])
    logits = torch.zeros(1, 2, 2)  # p = 1/2 everywhere: 2 * 0.5 / (2 * 0.25 + 1) = 2/3 for both classes
    loss = soft_dice_loss(logits, labels, torch.eye(2, dtype=torch.bool))
    assert loss.item() == pytest.approx(1 / 3, abs=1e-6)


def test_perfect_logits_lose_nothing() -> None:
    labels = torch.arange(4).reshape(1, 2, 2)
    logits = 50 * one_hot(labels, EYE)
    assert soft_dice_loss(logits, labels, EYE).item() == pytest.approx(0, abs=1e-6)
    assert cross_entropy(logits, labels, EYE).item() == pytest.approx(0, abs=1e-6)


def test_masks_of_sets() -> None:
    labels = torch.tensor([[1, 4, 6]])
    assert one_hot(labels, SETS)[0].T.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert possible_classes(labels, SETS)[0].T.tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]]


def test_a_label_that_is_every_class_is_ignored() -> None:
    logits, labels = example(EYE)
    hidden = labels.clone()
    hidden[:, 0] = 6
    for loss in (soft_dice_loss(logits, hidden, SETS), cross_entropy(logits, hidden, SETS)):
        assert torch.autograd.grad(loss, logits)[0][:, :, 0].abs().max() < 1e-12
    for loss in (soft_dice_loss, cross_entropy):
        torch.testing.assert_close(loss(logits, hidden, SETS), loss(logits[:, :, 1:], labels[:, 1:], EYE))


def test_half_of_a_batch_ignored_halves_the_cross_entropy_only_if_the_mean_is_over_all_voxels() -> None:
    logits = torch.zeros(1, 4, 6)  # p = 1/4 everywhere
    labels = torch.tensor([[0, 6, 2, 6, 1, 6]])
    assert cross_entropy(logits, labels, SETS, "none").item() == pytest.approx(math.log(4))
    assert cross_entropy(logits, labels, SETS, "none", mean_over="all").item() == pytest.approx(math.log(4) / 2)


def test_a_batch_that_is_ignored_altogether_loses_nothing() -> None:
    logits = torch.randn(1, 4, 6, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 6), 6), SETS)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, logits)[0].any()


def test_dice_of_a_merged_label_is_that_of_the_sum() -> None:
    """Classes 2 and 3 merged in all of the batch: as if they were one class, but for two constants without gradient."""
    merged = torch.cat([EYE, torch.tensor([[False, False, True, True]])])
    logits, labels = example(EYE)
    with_sets = torch.where(labels >= 2, 4, labels)
    got = soft_dice_loss(logits, with_sets, merged)
    summed = torch.cat([logits[:, :2], logits[:, 2:].logsumexp(1, keepdim=True)], dim=1)
    one_class = soft_dice_loss(summed, labels.clamp(max=2), torch.eye(3, dtype=torch.bool))
    torch.testing.assert_close(1 - got, (1 - one_class) * 3 / 5)
    pull = torch.autograd.grad(got, logits)[0]
    torch.testing.assert_close(pull, torch.autograd.grad(one_class, logits)[0] * 3 / 5)


def test_dice_by_hand_with_an_unknown_class() -> None:
    """Two voxels: class 0 for sure, and "0 or 1"; p = 1/2 everywhere. The second voxel says nothing at all."""
    pair = torch.cat([torch.eye(2, dtype=torch.bool), torch.tensor([[True, True]])])
    loss = soft_dice_loss(torch.zeros(1, 2, 2), torch.tensor([[0, 2]]), pair)
    # class 0: voxel 2 is left out, 2 * 0.5 / (0.25 + 1); class 1: 0; the pair is all classes
    assert loss.item() == pytest.approx(1 - (0.8 + 0) / 2, abs=1e-6)


def test_a_set_pulls_toward_any_of_its_classes() -> None:
    """Probability already inside the set is enough: no gradient moves it from one member to another."""
    logits = torch.tensor([[5.0, -9.0, 5.0, -9.0]]).unsqueeze(-1).requires_grad_()
    gradient = torch.autograd.grad(cross_entropy(logits, torch.tensor([[4]]), SETS, "none"), logits)[0]
    assert gradient.abs().max() < 1e-5


def test_clip_silences_the_very_wrong_voxels() -> None:
    logits = torch.tensor([[9.0, 0.0, 0.0, 0.0]]).unsqueeze(-1).requires_grad_()
    labels = torch.tensor([[1]])
    clipped = cross_entropy(logits, labels, EYE, "none", clip=0.005)
    assert clipped.item() == pytest.approx(-math.log(0.005))
    assert torch.autograd.grad(clipped, logits)[0].abs().max() == 0
    assert torch.autograd.grad(cross_entropy(logits, labels, EYE, "none"), logits)[0].abs().max() > 0.5


def test_half_precision_logits_lose_no_digits() -> None:
    logits, labels = example(EYE, (2, 64, 64))
    rough = logits.detach().bfloat16()
    for loss in (soft_dice_loss, cross_entropy):
        assert loss(rough, labels, EYE).dtype == torch.float32
        torch.testing.assert_close(loss(rough, labels, EYE), loss(rough.float(), labels, EYE), rtol=0, atol=0)


def test_huge_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0, 0.0]]).unsqueeze(-1).requires_grad_()
    for label in (1, 5):
        loss = cross_entropy(logits, torch.tensor([[label]]), SETS, "none")
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


def test_gradcheck() -> None:
    logits, labels = example(SETS, (1, 2, 3))
    assert torch.autograd.gradcheck(lambda z: soft_dice_loss(z, labels, SETS), (logits,))
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, labels, SETS, "none"), (logits,))
