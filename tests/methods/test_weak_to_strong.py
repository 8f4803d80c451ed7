"""Weak to strong: the teacher's sure labels in loops, images disturbed and mixed with their labels, a student alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_batches import random_batches
from torch import Tensor

from oracles.semi_supervision_loops import probabilities
from unpaired.methods.ramp import Ramp
from unpaired.methods.supervised import SupervisedConfig
from unpaired.methods.weak_to_strong import (
    WeakToStrong,
    WeakToStrongConfig,
    confident_labels,
    copy_paste,
    cut_mix,
    disturbed,
    pseudo_loss,
)
from unpaired.networks.unet import UNetConfig

C = 3
NAMES = ("ct", "mr")
CONFIG = WeakToStrongConfig(SupervisedConfig(), confidence=0.0, ramp=Ramp(length=0.5))
STILL = replace(CONFIG, contrast=0.0, brightness=0.0, gamma=0.0, noise=0.0, cutmix=0.0)


def built(config: WeakToStrongConfig = CONFIG) -> WeakToStrong:
    torch.manual_seed(0)
    return config.build(UNetConfig(width=2, widest=4, blocks=(1, 1)).build(NAMES, 1, C, 2), C)


def pseudo_loss_in_loops(logits: np.ndarray, labels: np.ndarray) -> float:
    """Cross-entropy and soft Dice (batch-pooled, squared p, all classes) over the voxels whose label is below C."""
    rows, known = probabilities(logits), labels.flatten()
    pairs = [(p, y) for p, y in zip(rows, known, strict=True) if y < C]
    ce = -sum(np.log(p[y]) for p, y in pairs) / max(len(pairs), 1)
    dice = []
    for c in range(C):
        overlap = sum(p[c] for p, y in pairs if y == c)
        total = sum(p[c] ** 2 for p, _ in pairs) + sum(y == c for _, y in pairs)
        dice.append(2 * overlap / (total + 1e-7))
    return ce + 1 - float(np.mean(dice))


def test_sure_labels_and_their_loss_equal_the_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    taught, said = (2 * torch.randn(2, C, 4, 5, generator=generator) for _ in range(2))
    labels = confident_labels(taught, 0.7)
    for p, label in zip(probabilities(taught.numpy()), labels.flatten().tolist(), strict=True):
        assert label == (int(np.argmax(p)) if max(p) >= 0.7 else C)
    assert set(labels.unique().tolist()) == {0, 1, 2, C}
    expected = pseudo_loss_in_loops(said.numpy().astype(float), labels.numpy())
    assert pseudo_loss(said, labels).item() == pytest.approx(expected, rel=1e-4)


def test_where_nothing_is_sure_nothing_is_learned() -> None:
    logits = torch.randn(2, C, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(pseudo_loss(logits, torch.full((2, 4, 4), C)), [logits])
    assert not gradient.any()


def test_undisturbed_it_is_the_loss_by_the_teachers_labels() -> None:
    method = built(STILL)
    data = random_batches(NAMES, (4, 4), unlabeled={"ct": 3}, seed=1)
    loss, terms = method(data, 0.2)
    unlabeled = data["ct"].unlabeled
    assert unlabeled is not None
    logits = method.network({"ct": unlabeled})["ct"].logits.detach()
    expected = pseudo_loss_in_loops(logits.numpy().astype(float), logits.argmax(dim=1).numpy())
    assert set(terms) == {"dice/ct", "ce/ct", "dice/mr", "ce/mr", "weak_to_strong/ct"}
    assert terms["weak_to_strong/ct"].item() == pytest.approx(expected, rel=1e-4)
    without = method.method(data, 0.2).loss.item()
    factor = 0.5 * STILL.ramp.factor(0.2)
    assert loss.item() == pytest.approx(without + factor * expected, rel=1e-4)


def test_the_teacher_sees_clean_images_and_has_no_gradient() -> None:
    method = built()
    seen: list[Tensor] = []
    method.teacher.register_forward_pre_hook(lambda module, given: seen.append(given[0]["ct"]))
    data = random_batches(NAMES, (8, 8), unlabeled={"ct": 2}, seed=1)
    method(data, 0.5).loss.backward()
    unlabeled = data["ct"].unlabeled
    assert unlabeled is not None
    assert len(seen) == 1
    assert torch.equal(seen[0], unlabeled)
    assert all(parameter.grad is None for parameter in method.teacher.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_each_image_is_disturbed_in_its_own_way_and_a_field_of_zero_leaves_it(dims: int) -> None:
    x = torch.randn(3, 1, *[6] * dims, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    torch.testing.assert_close(disturbed(x, STILL), x, rtol=1e-4, atol=1e-5)
    brighter = disturbed(x, replace(STILL, brightness=0.5)) - x
    shifts = brighter.flatten(1).mean(dim=1)
    torch.testing.assert_close(brighter, shifts.reshape(-1, *[1] * (dims + 1)).expand_as(x), rtol=1e-3, atol=1e-4)
    assert len(set(shifts.tolist())) == 3
    assert float(shifts.abs().max()) <= 0.5
    ratio = disturbed(x, replace(STILL, contrast=0.5)).flatten(1).std(dim=1) / x.flatten(1).std(dim=1)
    assert bool(((ratio >= np.exp(-0.5) - 1e-4) & (ratio <= np.exp(0.5) + 1e-4)).all())
    curved = disturbed(x, replace(STILL, gamma=0.5))
    torch.testing.assert_close(curved.amin(), x.amin(), rtol=1e-3, atol=1e-3)
    for before, after in zip(x.flatten(1), curved.flatten(1), strict=True):
        assert torch.equal(before.argsort(), after.argsort()), "a monotone curve"
    assert bool(disturbed(torch.zeros_like(x), CONFIG).isfinite().all())


def test_brightness_contrast_and_gamma_go_both_ways_as_far_as_they_may() -> None:
    """Of each image the number that was drawn, seen by what it did: 64 of them fill the reach of 0.5 to both sides."""
    x = torch.rand(64, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    axes = (1, 2, 3)
    torch.manual_seed(0)
    brighter, contrasted, curved = (
        disturbed(x, replace(STILL, **{name: 0.5})) for name in ("brightness", "contrast", "gamma")
    )
    torch.testing.assert_close(contrasted.mean(dim=axes), x.mean(dim=axes), rtol=0, atol=1e-4)
    low, high = x.amin(dim=axes, keepdim=True), x.amax(dim=axes, keepdim=True)
    before, after = ((y - low) / (high - low) for y in (x, curved))
    drawn = {
        "brightness": (brighter - x).mean(dim=axes),
        "contrast": (contrasted.std(dim=axes) / x.std(dim=axes)).log(),
        "gamma": exponent_of(before, after).log(),
    }
    for name, numbers in drawn.items():
        assert numbers.abs().max() <= 0.5 + 1e-3, name
        assert numbers.min() < -0.35, name
        assert numbers.max() > 0.35, name


def exponent_of(before: Tensor, after: Tensor) -> Tensor:
    """The power by which each image of values in 0..1 became another, alike at all of its values but the ends."""
    exponents = []
    for x, y in zip(before.flatten(1), after.flatten(1), strict=True):
        inner = (x > 0.1) & (x < 0.9)
        powers = y[inner].log() / x[inner].log()
        torch.testing.assert_close(powers, powers[:1].expand_as(powers), rtol=1e-2, atol=0)
        exponents.append(powers.mean())
    return torch.stack(exponents)


def test_noise_is_gaussian_of_the_deviation_asked_for() -> None:
    torch.manual_seed(0)
    noise = disturbed(torch.zeros(4, 1, 64, 64), replace(STILL, noise=0.3))
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.3, abs=0.01)
    within = (noise.abs() < 0.3).float().mean().item()
    assert within == pytest.approx(0.683, abs=0.02)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_box_comes_with_its_labels(dims: int) -> None:
    """Image k holds the value k everywhere, and so does its label map."""
    torch.manual_seed(0)
    values = torch.arange(4).reshape(4, *[1] * dims)
    labels = values.expand(4, *[12] * dims).clone()
    images = labels.unsqueeze(1).float()
    mixed, mixed_labels = cut_mix(images, labels, 1.0)
    assert torch.equal(mixed[:, 0].long(), mixed_labels)
    for number, image in enumerate(mixed_labels):
        assert set(image.unique().tolist()) == {number, (number - 1) % 4}
        share = float((image != number).float().mean())
        assert 0.2**dims <= share <= 0.5**dims
    same, same_labels = cut_mix(images, labels, 0.0)
    assert torch.equal(same, images)
    assert torch.equal(same_labels, labels)
    alone, _ = cut_mix(images[:1], labels[:1], 1.0)
    assert torch.equal(alone, images[:1])


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_a_box_of_few_slices_has_one(slices: int) -> None:
    labels = torch.arange(2).reshape(2, 1, 1, 1).expand(2, slices, 8, 8).clone()
    _, mixed = cut_mix(labels.unsqueeze(1).float(), labels, 1.0)
    changed = mixed != labels
    assert changed.flatten(2).any(dim=2).sum(dim=1).tolist() == [1, 1]


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (2, 3), (3, 2)])
def test_foreground_is_pasted_with_its_labels_as_in_loops(dims: int, channels: int) -> None:
    """Labels 0 to C, of which C is unknown; whom an image takes from is seen by its values, which are its own."""
    generator = torch.Generator().manual_seed(dims)
    size, count = (5, 4, 3)[:dims], 4
    images = torch.randn(count, channels, *size, generator=generator)
    labels = torch.randint(0, C + 1, (count, *size), generator=generator)
    torch.manual_seed(1)
    mixed, mixed_labels = copy_paste(images, labels, 0.5, C)
    before, after = images.numpy(), mixed.numpy()
    taken_from: list[int | None] = []
    for i in range(count):
        fitting: list[int | None] = []
        for j in (None, *(n for n in range(count) if n != i)):
            expected, expected_labels = before[i].copy(), labels[i].numpy().copy()
            for place in np.ndindex(size) if j is not None else ():
                label = int(labels[j][place])
                if 1 <= label < C:
                    expected_labels[place] = label
                    for channel in range(channels):
                        expected[(channel, *place)] = before[(j, channel, *place)]
            if (expected == after[i]).all() and (expected_labels == mixed_labels[i].numpy()).all():
                fitting.append(j)
        assert len(fitting) == 1, f"image {i} is none of what it may be"
        taken_from += fitting
    assert {source is None for source in taken_from} == {True, False}, "a share of them"


def test_pasting_a_share_of_zero_is_as_without_it_and_one_image_stays_alone() -> None:
    images, labels = torch.randn(3, 1, 4, 4), torch.randint(0, C + 1, (3, 4, 4))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert copy_paste(images, labels, 0.0, C) == (images, labels)
    assert torch.equal(torch.get_rng_state(), state), "nothing is drawn"
    alone = copy_paste(images[:1], labels[:1], 1.0, C)
    assert torch.equal(alone[0], images[:1])
    nothing = torch.where(torch.rand(3, 4, 4) < 0.5, 0, C)
    same, same_labels = copy_paste(images, nothing, 1.0, C)
    assert torch.equal(same, images)
    assert torch.equal(same_labels, nothing), "neither background nor what is unknown is pasted"


def test_each_modality_learns_what_was_pasted_within_it() -> None:
    """Pasted alone: what is shown differs from the clean image by another of the same modality, for each of two."""
    method = built(replace(STILL, copy_paste=1.0))
    seen: dict[str, Tensor] = {}
    method.network.register_forward_pre_hook(lambda module, given: seen.update(given[0]))
    data = random_batches(NAMES, (4, 4), unlabeled=dict.fromkeys(NAMES, 3), seed=1)
    objective = method(data, 0.5)
    objective.loss.backward()
    for name in NAMES:
        clean = data[name].unlabeled
        assert clean is not None
        assert not torch.allclose(seen[name], clean, atol=1e-3)
        own = (seen[name].unsqueeze(1) - clean.unsqueeze(0)).abs().amin(dim=1)
        assert float(own.max()) < 1e-4, "every value is that of the same place in some image of the modality"
        assert objective.terms[f"weak_to_strong/{name}"].isfinite()


def test_random_convolutions_change_the_share_of_images_that_they_are_for() -> None:
    images = torch.randn(200, 1, 4, 4)
    torch.manual_seed(0)
    still = replace(STILL, convolutions=0.25)
    seen = disturbed(images, still)
    changed = [not torch.allclose(a, b, atol=1e-4) for a, b in zip(images, seen, strict=True)]
    assert 30 < sum(changed) < 70
    means, deviations = seen.mean(dim=(1, 2, 3)), seen.std(dim=(1, 2, 3))
    assert torch.allclose(means, images.mean(dim=(1, 2, 3)), atol=1e-3)
    assert torch.allclose(deviations, images.std(dim=(1, 2, 3)), atol=1e-2)


def test_before_the_ramp_begins_nothing_is_looked_at() -> None:
    method = built(replace(CONFIG, ramp=Ramp(begin=0.3, length=0.2)))
    batches = random_batches(NAMES, (8, 8), unlabeled={"ct": 2})
    method.teacher.register_forward_hook(lambda *_: pytest.fail("the teacher was asked too early"))
    objective = method(batches, 0.29)
    assert objective.terms["weak_to_strong/ct"].item() == 0
    assert objective.loss.item() == pytest.approx(method.method(batches, 0.29).loss.item(), rel=1e-5)
