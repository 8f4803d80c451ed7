"""Co-training: amplitudes exchanged in plain loops, divergence and class-balanced labels by hand, the sum of terms."""

import cmath
import itertools
import math
from dataclasses import replace

import pytest
import torch
from random_batches import C, random_batches
from torch import Tensor

from unpaired.errors import InputError
from unpaired.methods.co_training import (
    CoTraining,
    CoTrainingConfig,
    co_training,
    divergence,
    drawn_targets,
    surest,
    with_amplitudes_of,
)
from unpaired.networks.unet import UNetConfig

NAMES = ("ct", "mr")


def built(config: CoTrainingConfig | None = None, names: tuple[str, ...] = NAMES) -> CoTraining:
    torch.manual_seed(0)
    network = UNetConfig(width=2, widest=4, blocks=(1, 1)).build(names, 1, C, 2)
    return (config or CoTrainingConfig()).build(network, C)


def spectrum(image: Tensor) -> dict[tuple[int, int], complex]:
    """Its discrete Fourier transform, term by term."""
    h, w = image.shape
    return {
        (u, v): sum(
            image[i, j].item() * cmath.exp(-2j * math.pi * (u * i / h + v * j / w))
            for i, j in itertools.product(range(h), range(w))
        )
        for u, v in itertools.product(range(h), range(w))
    }


def test_low_amplitudes_are_the_others_and_phases_stay() -> None:
    """A 5 x 4 image; a band of 0.2 cycles holds frequencies -1, 0, 1 of five and 0 of four."""
    generator = torch.Generator().manual_seed(0)
    image, style = (torch.randn(1, 1, 5, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    mixed = with_amplitudes_of(style, image, 0.2)
    of_image, of_style, of_mixed = (spectrum(x[0, 0]) for x in (image, style, mixed))
    for (u, v), value in of_mixed.items():
        low = u in (0, 1, 4) and v == 0
        assert abs(value) == pytest.approx(abs((of_style if low else of_image)[u, v]))
        if (u, v) != (0, 0):
            assert value / abs(value) == pytest.approx(of_image[u, v] / abs(of_image[u, v]))


@pytest.mark.parametrize("mean", [-0.4, 0.7])
def test_brightness_is_the_others_whatever_its_sign(mean: float) -> None:
    """Of z-scored images: with the sign of its own mean, dark would stay dark beside bright."""
    generator = torch.Generator().manual_seed(0)
    dark = torch.randn(1, 2, 5, 4, generator=generator, dtype=torch.float64) - 0.5
    style = torch.randn(1, 2, 5, 4, generator=generator, dtype=torch.float64)
    style = style - style.mean((2, 3), keepdim=True) + mean
    mixed = with_amplitudes_of(style, dark, 0.0)
    torch.testing.assert_close(mixed, dark - dark.mean((2, 3), keepdim=True) + mean)


@pytest.mark.parametrize("dims", [2, 3])
def test_an_image_in_its_own_amplitudes_is_itself(dims: int) -> None:
    images = torch.randn(2, 3, *(6, 5, 4)[:dims])
    torch.testing.assert_close(with_amplitudes_of(images, images, 0.5), images, atol=1e-5, rtol=1e-5)


def test_the_divergence_by_hand() -> None:
    """p = (1/2, 1/2) and q = (3/4, 1/4) in both directions, and 0 for what says the same."""
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.75, 0.25]).log()
    there = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    back = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    value = divergence(p.view(1, 2, 1, 1) + 3, q.view(1, 2, 1, 1))
    assert value.item() == pytest.approx((there + back) / 2, rel=1e-5)
    assert divergence(p.view(1, 2, 1, 1), p.view(1, 2, 1, 1) - 1).item() == pytest.approx(0, abs=1e-6)


def test_the_surest_half_of_every_class_is_known() -> None:
    """Four voxels of class 0, three of class 1, none of class 2: two of each are kept, the surest."""
    probabilities = torch.tensor(
        [
            [0.9, 0.6, 0.8, 0.7, 0.1, 0.2, 0.3],
            [0.05, 0.3, 0.1, 0.2, 0.8, 0.7, 0.6],
            [0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        ]
    )
    logits = probabilities.log().view(1, C, 1, 7)
    assert surest(logits, 0.5).flatten().tolist() == [0, C, 0, C, 1, 1, C]
    assert surest(logits, 1.0).flatten().tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert surest(logits, 0.0).flatten().tolist() == [C] * 7


def test_each_teaches_the_other_and_nobody_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(2, C, 3, 4, generator=generator).requires_grad_() for _ in range(2))
    term = co_training(p, q, 0.5)
    expected = 0.0
    for student, labels in ((q, surest(p, 0.5)), (p, surest(q, 0.5))):
        log_p = student.detach().log_softmax(dim=1)
        known = [(i, h, w) for i, h, w in itertools.product(range(2), range(3), range(4)) if labels[i, h, w] < C]
        expected -= sum(log_p[i, labels[i, h, w], h, w].item() for i, h, w in known) / len(known)
    assert term.item() == pytest.approx(expected, rel=1e-5)
    of_p, of_q = torch.autograd.grad(term, [p, q])
    assert (of_p.abs().sum(dim=1) > 0).equal(surest(q, 0.5) < C)
    assert (of_q.abs().sum(dim=1) > 0).equal(surest(p, 0.5) < C)


def test_every_modality_is_another_ones_target() -> None:
    assert drawn_targets(["ct", "mr"]) == {"ct": "mr", "mr": "ct"}
    assert drawn_targets(["ct"]) == {}
    torch.manual_seed(0)
    drawn = [drawn_targets(["a", "b", "c"]) for _ in range(20)]
    for targets in drawn:
        assert set(targets.values()) == {"a", "b", "c"}
        assert all(name != target for name, target in targets.items())
    assert len({tuple(targets.values()) for targets in drawn}) == 2


def test_images_get_the_targets_amplitudes_and_are_segmented_as_the_target() -> None:
    """With the mean alone in the band: an image of ct, with the mean of mr's, goes through the network as mr."""
    method = built()
    generator = torch.Generator().manual_seed(0)
    images = {name: mean + torch.randn(1, 1, 8, 8, generator=generator) for name, mean in (("ct", 2.0), ("mr", 5.0))}
    seen: list[dict[str, Tensor]] = []
    hook = method.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    said = method.translate(images, images, {"ct": "mr", "mr": "ct"})
    hook.remove()
    (given,) = seen
    for name, target in (("ct", "mr"), ("mr", "ct")):
        expected = images[name] - images[name].mean() + images[target].mean()
        torch.testing.assert_close(given[target], expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(said[name], method.network({target: given[target]})[target].logits)


def test_the_loss_is_the_sum_of_its_weighted_terms() -> None:
    config = CoTrainingConfig(translated_weight=0.3, consistency_weight=0.7, co_training_weight=0.2, dice_weight=2.0)
    loss, terms = built(config)(random_batches(NAMES, (8, 8), unlabeled={"ct": 3, "mr": 1}), 0.9)
    weights = {"dice": 2.0, "ce": 1.0, "translated_dice": 0.6, "translated_ce": 0.3, "consistency": 0.7}
    weights["co_training"] = 0.2
    assert {name.partition("/")[0] for name in terms} == set(weights)
    expected = sum(weights[name.partition("/")[0]] * term.item() for name, term in terms.items())
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_unlabeled_images_and_before_the_ramp_nobody_teaches() -> None:
    method = built()
    assert "co_training" not in method(random_batches(NAMES, (8, 8)), 0.9).terms
    silent = built(replace(CoTrainingConfig(), co_training_weight=0.0))
    data = random_batches(NAMES, (8, 8), unlabeled={"ct": 2})
    torch.manual_seed(1)
    early = method(data, 0.1).loss
    torch.manual_seed(1)
    assert early.item() == pytest.approx(silent(data, 0.9).loss.item(), rel=1e-6)


def test_a_step_of_one_modality_is_supervised() -> None:
    terms = built()(random_batches(["ct"], (8, 8), unlabeled={"ct": 2}), 0.9).terms
    assert set(terms) == {"dice/ct", "ce/ct"}


def test_one_modality_alone_is_refused() -> None:
    with pytest.raises(InputError, match="at least two modalities that train each other, got ct"):
        built(names=("ct",))
