"""The smooth gain of a receive coil: what it keeps, how far it reaches, that every channel and no label has it."""

import math
from dataclasses import replace

import pytest
import torch

from unpaired.data.augment import NO_AUGMENTATION, augment
from unpaired.data.bias_field import smooth_gain, with_gain

ALWAYS = replace(NO_AUGMENTATION, bias_field=1.0)


@pytest.mark.parametrize("shape", [(24, 30), (6, 20, 16)])
def test_the_ratio_of_the_gain_is_drawn_up_to_the_largest(shape: tuple[int, ...]) -> None:
    ratios = []
    for _ in range(40):
        gain = smooth_gain(shape, 8.0)
        assert gain.min() * gain.max() == pytest.approx(1.0)
        ratios.append(math.log(gain.max() / gain.min()) / math.log(8.0))
        for axis in range(len(shape)):  # of order two: third differences of its logarithm are zero
            assert torch.diff(gain.log(), n=3, dim=axis).abs().max() < 1e-9
    assert 0 <= min(ratios) < 0.25
    assert 0.75 < max(ratios) <= 1.0 + 1e-9


def test_values_are_multiplied_from_the_smallest_and_normalized_again() -> None:
    image = torch.tensor([[[-1.0, 1.0], [0.0, 4.0]]])
    gain = torch.tensor([[5.0, 2.0], [1.0, 0.5]])
    lit = torch.tensor([0.0, 4.0, 1.0, 2.5])  # (value + 1) * gain
    old = torch.tensor([-1.0, 1.0, 0.0, 4.0])
    by_hand = (lit - lit.mean()) / lit.std(correction=0) * old.std(correction=0) + old.mean()
    assert with_gain(image, gain).flatten().tolist() == pytest.approx(by_hand.tolist(), abs=1e-6)


def test_an_even_channel_stays_even() -> None:
    image = torch.full((1, 4, 4), 2.0)
    assert torch.allclose(with_gain(image, smooth_gain((4, 4), 8.0).float()), image)


@pytest.mark.parametrize("patch", [(32, 32), (4, 16, 16)])
def test_channels_get_one_gain_and_labels_none(patch: tuple[int, ...]) -> None:
    slice_ = torch.rand(patch)
    labels = torch.randint(0, 4, patch)
    out, moved = augment(torch.stack([slice_, slice_]), labels, patch, ALWAYS, seed=4)
    assert torch.equal(moved, labels)
    assert torch.equal(out[0], out[1])
    assert not torch.allclose(out[0], slice_, atol=1e-2)
    assert torch.equal(out, augment(torch.stack([slice_, slice_]), labels, patch, ALWAYS, seed=4)[0])
