"""Altered tissue: parts of one region alone, of the share and look that are promised, by the image's own number."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from unpaired.data.altered_tissue import EDGE, altered_tissue
from unpaired.data.randomization import Randomization, randomize
from unpaired.data.smooth_maps import smooth_map


def rings(size: tuple[int, ...]) -> Tensor:
    """Label maps (batch of one) with region 1 inside region 2 inside background."""
    axes = torch.meshgrid(*[torch.arange(n) - (n - 1) / 2 for n in size], indexing="ij")
    distance = torch.stack([axis.square() for axis in axes]).sum(dim=0).sqrt()
    reach = min(size) / 2
    return ((distance < 0.8 * reach).long() + (distance < 0.4 * reach).long()).mul(-1).remainder(3)[None]


@pytest.mark.parametrize("size", [(40, 36), (12, 20, 18)])
def test_parts_of_labeled_regions_change_and_nothing_else(size: tuple[int, ...]) -> None:
    labels = rings(size)
    image = (torch.tensor([0.0, 3.0, -2.0])[labels] + 0.1 * torch.randn(labels.shape)).unsqueeze(1)
    changed = {1: 0, 2: 0}
    for number in range(30):
        altered = altered_tissue(image, labels, [number])
        assert torch.equal(altered[labels.unsqueeze(1) == 0], image[labels.unsqueeze(1) == 0])
        assert torch.equal(altered, altered_tissue(image, labels, [number]))
        for region in changed:
            moved = (altered - image).abs()[labels.unsqueeze(1) == region] > 0.5
            changed[region] += bool(moved.any())
            assert moved.float().mean() < 0.85
    assert all(5 < count < 28 for count in changed.values())


def test_a_part_may_look_like_its_neighbor() -> None:
    """With flat regions, a value that is another region's mean is that very value in the heart of the part."""
    labels = rings((48, 48))
    image = torch.tensor([0.0, 3.0, -2.0])[labels].unsqueeze(1)
    values = torch.cat([altered_tissue(image, labels, [n])[labels.unsqueeze(1) == 2] for n in range(60)])
    like_blood = ((values - 3.0).abs() < 0.05).float().mean()
    untouched = ((values + 2.0).abs() < 0.05).float().mean()
    assert like_blood > 0.01
    assert untouched > 0.4
    assert values.min() > -2.01
    assert values.max() < 3.01


@pytest.mark.parametrize("number", range(6))
def test_a_part_is_altered_as_the_equation_says(number: int) -> None:
    """x' = x + w (v + c (x - mean) - x) in numpy, with the random numbers in the order they are drawn."""
    labels = rings((20, 18))
    noise = 0.5 * torch.randn(1, 2, 20, 18, generator=torch.Generator().manual_seed(9))
    image = torch.tensor([0.0, 3.0, -2.0])[labels].unsqueeze(1) + noise
    generator = torch.Generator().manual_seed(number)
    x, where = image[0].numpy().astype(float), labels[0].numpy()
    low, high = x.min(axis=(1, 2)), x.max(axis=(1, 2))
    means = [x[:, where == region].mean(axis=1) for region in range(3)]
    expected = x.copy()
    for region in range(3):
        rarely, kept, place, share, any_value, which, spacing = torch.rand(7, generator=generator).tolist()
        shape = smooth_map((20, 18), round(4 * (16 / 4) ** spacing), generator).numpy().astype(float)
        if region == 0 or rarely < 0.5:
            continue
        others = [mean for other, mean in enumerate(means) if other != region]
        v = others[int(2 * which)] if any_value < 0.5 else low + place * (high - low)
        inside = shape[where == region]
        cut = np.quantile(inside, 1 - (0.1 + 0.5 * share))
        w = (where == region) / (1 + np.exp(-(shape - cut) / (EDGE * inside.std())))
        texture = (0.5 + 0.5 * kept) * (x - means[region][:, None, None])
        expected += w * (v[:, None, None] + texture - expected)
    got = altered_tissue(image, labels, [number])[0].numpy()
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_each_image_by_its_own_number_and_no_random_state_moves() -> None:
    labels = rings((24, 24)).repeat(3, 1, 1)
    images = torch.randn(3, 2, 24, 24)
    state = torch.random.get_rng_state()
    together = altered_tissue(images, labels, [4, 5, 6])
    assert torch.equal(state, torch.random.get_rng_state())
    for i, number in enumerate([4, 5, 6]):
        assert torch.equal(together[i], altered_tissue(images[i : i + 1], labels[i : i + 1], [number])[0])


def test_background_alone_stays_as_it_is() -> None:
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(altered_tissue(images, torch.zeros(2, 8, 8, dtype=torch.long), [1, 2]), images)


def test_its_share_of_the_randomized_samples_is_altered_before_the_convolutions() -> None:
    labels = rings((24, 24)).repeat(200, 1, 1)
    images = torch.tensor([0.0, 3.0, -2.0])[labels].unsqueeze(1)
    still = Randomization(share=1.0, strength=0.0)  # g takes no part
    some = randomize(images, labels, list(range(200)), replace(still, altered=0.5))
    none = randomize(images, labels, list(range(200)), still)
    assert torch.allclose(none, images, atol=1e-4)
    moved = (some - images).abs().amax(dim=(1, 2, 3)) > 0.3
    assert 40 < int(moved.sum()) < 110  # half of them are drawn, and a quarter of those keep both regions


def test_whether_a_sample_is_altered_says_nothing_of_whether_it_gets_curves() -> None:
    labels = rings((16, 16)).repeat(120, 1, 1)
    noise = torch.randn(labels.shape, generator=torch.Generator().manual_seed(0))
    images = (torch.tensor([0.0, 3.0, -2.0])[labels] + noise).unsqueeze(1)
    still, numbers = Randomization(share=1.0, strength=0.0), list(range(120))

    def moved(config: Randomization) -> Tensor:
        return (randomize(images, labels, numbers, config) - images).abs().amax(dim=(1, 2, 3)) > 0.3

    curves, altered = moved(replace(still, curves=0.5)), moved(replace(still, altered=0.5))
    assert not moved(still).any()
    assert 45 < int(curves.sum()) < 75
    assert 10 < int((altered & curves).sum()) < 35
    assert 10 < int((altered & ~curves).sum()) < 35
