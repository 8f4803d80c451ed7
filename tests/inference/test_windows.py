"""Windows: everything covered, seams blended, one window where one is enough; 2D and 3D alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from unpaired.data.restore import Box
from unpaired.errors import InputError
from unpaired.inference import blending
from unpaired.inference.windows import leanest_order, probability_boxes, whole, window_starts, window_weights


def segment_volume(segment: Callable[..., Tensor], volume: np.ndarray, **options: Any) -> Tensor:
    return whole(probability_boxes(segment, volume, **options), volume.shape)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize(("length", "window"), [(10, 4), (11, 4), (4, 4), (100, 33), (5, 1), (7, 6)])
def test_windows_cover_every_voxel_and_share_enough(length: int, window: int, overlap: float) -> None:
    starts = window_starts(length, window, overlap)
    covered = {v for start in starts for v in range(start, start + window)}
    assert covered == set(range(length))
    gaps = np.diff(starts)
    assert (gaps >= 1).all()
    assert (window - gaps >= int(window * overlap) - (window == 1)).all()


def test_a_larger_window_is_centered_as_in_training() -> None:
    assert window_starts(5, 8, 0.5) == [-2]
    assert window_starts(192, 224, 0.5) == [-16]
    assert window_starts(4, 5, 0.5) == [0]  # voxel 2 of 4 on voxel 2 of 5


def test_weights_are_one_without_overlap_and_peak_in_the_middle_with_it() -> None:
    assert (window_weights((1, 8, 9), (False, False, False)) == 1).all()
    weights = window_weights((1, 9, 9), (True, True, False))
    assert weights[0, 4, 0] == weights.max() == weights[0, 4, 8]
    assert np.array_equal(weights, weights[:, ::-1])
    assert weights.min() >= 1e-3 * weights.max()


def test_weights_are_a_gaussian_of_an_eighth_of_the_window_and_a_thousandth_at_least() -> None:
    weights = window_weights((1, 2, 12), (False, False, True))
    density = norm.pdf(np.arange(12), loc=5.5, scale=12 / 8) / norm.pdf(0, scale=12 / 8)
    np.testing.assert_allclose(weights[0], [density, density], rtol=1e-5)
    far = window_weights((1, 1, 64), (False, False, True))[0, 0]
    assert far[0] == far[-1] == pytest.approx(1e-3 * far.max())
    assert far[3] > far[0]
    both = window_weights((1, 12, 12), (False, True, True))[0]
    np.testing.assert_allclose(both[4:8, 4:8], np.outer(density, density)[4:8, 4:8], rtol=1e-5)


def pointwise(images: torch.Tensor) -> torch.Tensor:
    """Logits that depend on each voxel alone, so windows must not matter."""
    middle = images[:, images.shape[1] // 2]
    return torch.stack([middle, -middle, middle**2], dim=1)


@pytest.mark.parametrize("patch", [(16, 16), (40, 48), (4, 16, 16), (9, 40, 48)])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_a_voxelwise_network_gives_the_same_in_any_windows(patch: tuple[int, ...], overlap: float) -> None:
    volume = np.random.default_rng(0).normal(size=(7, 33, 37)).astype(np.float32)
    out = segment_volume(pointwise, volume, patch_size=patch, overlap=overlap)
    expected = pointwise(torch.from_numpy(volume)[None, None])[0].softmax(0)
    assert out.shape == (3, 7, 33, 37)
    assert torch.allclose(out, expected, atol=1e-6)
    assert torch.allclose(out.sum(0), torch.ones(7, 33, 37), atol=1e-5)


def test_overlapping_windows_are_averaged_with_their_weights() -> None:
    """Two windows along one axis, against a loop over windows."""
    volume = np.random.default_rng(1).normal(size=(1, 6, 9)).astype(np.float32)

    def by_position(images: torch.Tensor) -> torch.Tensor:
        ramp = torch.arange(images.shape[-1], dtype=torch.float32).expand(images.shape[0], *images.shape[2:])
        return torch.stack([images[:, 0], ramp / 3], dim=1)

    out = segment_volume(by_position, volume, patch_size=(6, 6), overlap=0.5)
    weights = window_weights((1, 6, 6), (False, False, True))[0, 0]
    total, norm = np.zeros((2, 6, 9)), np.zeros(9)
    for start in (0, 3):
        logits = np.stack([volume[0, :, start : start + 6], np.tile(np.arange(6) / 3, (6, 1))])
        soft = np.exp(logits) / np.exp(logits).sum(0)
        for x in range(6):
            total[:, :, start + x] += soft[:, :, x] * weights[x]
            norm[start + x] += weights[x]
    assert np.allclose(out[:, 0].numpy(), total / norm, atol=1e-6)


def test_neighbor_slices_reach_the_network_as_channels() -> None:
    volume = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 8, 8), np.float32)
    seen = []

    def record(images: torch.Tensor) -> torch.Tensor:
        seen.extend(images[:, :, 0, 0].tolist())
        return images[:, :2]

    segment_volume(record, volume, patch_size=(8, 8), context_slices=3)
    assert seen == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_memory_is_not_held_for_gradients() -> None:
    layer = torch.nn.Conv2d(1, 2, 1)
    assert not segment_volume(layer, np.zeros((2, 8, 8), np.float32), patch_size=(8, 8)).requires_grad


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_no_numbers_are_no_answer(value: float) -> None:
    def broken(images: torch.Tensor) -> torch.Tensor:
        logits = pointwise(images)
        logits[images[:, :1].expand_as(logits) > 2] = value
        return logits

    volume = np.zeros((2, 8, 8), np.float32)
    assert segment_volume(broken, volume, patch_size=(8, 8)).isfinite().all()
    volume[1, 3, 3] = 3
    with pytest.raises(InputError, match="logits are NaN or infinite in 3 of"):
        segment_volume(broken, volume, patch_size=(8, 8))


@pytest.mark.parametrize("patch", [(16, 16), (4, 16, 16), (3, 40, 48), (9, 40, 48)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_boxes_are_finished_averages_of_all_windows(
    patch: tuple[int, ...], overlap: float, order: tuple[int, int, int]
) -> None:
    """The boxes, of at most one window's size, against the sum over all windows of the whole volume."""
    volume = np.random.default_rng(2).normal(size=(11, 20, 23)).astype(np.float32)

    def by_position(images: Tensor) -> Tensor:
        return torch.stack([images[:, 0], images[:, 0] * torch.linspace(0, 1, images.shape[-1])], dim=1)

    boxes = list(
        probability_boxes(
            by_position, volume, patch_size=patch, overlap=overlap, windows_at_once=3, order=order, each_window=True
        )
    )
    size = (1, *patch)[-3:]
    largest = [min(size[axis], volume.shape[axis]) for axis in order]
    for box in boxes:
        assert all(1 <= got <= most for got, most in zip(box.probabilities.shape[1:], largest, strict=True))
    assert sum(box.probabilities[0].size for box in boxes) == volume.size
    answer = whole(boxes, [volume.shape[axis] for axis in order]).permute(0, *(1 + np.argsort(order)))
    axes = [window_starts(length, window, overlap) for length, window in zip(volume.shape, size, strict=True)]
    weights = window_weights(size, [len(starts) > 1 for starts in axes])
    total, norm = np.zeros((2, *volume.shape)), np.zeros(volume.shape)
    padded = np.pad(volume, 48, mode="edge")
    inside = (slice(48, 59), slice(48, 68), slice(48, 71))
    for start in np.ndindex(*(len(starts) for starts in axes)):
        corner = [axes[axis][index] + 48 for axis, index in enumerate(start)]
        place = tuple(slice(begin, begin + length) for begin, length in zip(corner, size, strict=True))
        logits = by_position(torch.from_numpy(padded[place][None, None]).float())[0]
        blended = np.zeros((2, *padded.shape))
        blended[:, *place] = logits.softmax(0).numpy() * weights
        covered = np.zeros(padded.shape)
        covered[place] = weights
        total += blended[:, *inside]
        norm += covered[inside]
    np.testing.assert_allclose(answer.numpy(), total / norm, atol=1e-5)


def test_a_volume_whose_boxes_are_missing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected boxes that fill \(4, 3, 3\), 27 voxels are missing"):
        whole([Box((0, 0, 0), np.zeros((2, 1, 3, 3), np.float32))], (4, 3, 3))


@pytest.mark.parametrize("patch", [(8, 8), (2, 8, 8)])
def test_windows_of_one_value_are_segmented_once_and_say_what_they_would_have_said(patch: tuple[int, ...]) -> None:
    """Air, then a body, then air of another value: the answers of a network that also looks at the place."""
    volume = np.full((6, 24, 24), -1.0, np.float32)
    volume[2:4, 5:20, 5:20] = np.random.default_rng(3).normal(size=(2, 15, 15))
    volume[4:] = 0.5
    seen: list[Tensor] = []

    def by_position(images: Tensor) -> Tensor:
        seen.extend(images)
        return torch.stack([images[:, 0], images[:, 0] * torch.linspace(0, 1, images.shape[-1])], dim=1)

    def counted() -> tuple[int, int]:
        alike = sum(bool((image == image.flatten()[0]).all()) for image in seen)
        return alike, len(seen) - alike

    few = segment_volume(by_position, volume, patch_size=patch, windows_at_once=3)
    alike, others = counted()
    seen.clear()
    every = segment_volume(by_position, volume, patch_size=patch, windows_at_once=3, each_window=True)
    assert torch.equal(few, every)
    assert others == counted()[1]
    assert 2 <= alike <= 2 * 3 < counted()[0], "each value once, or as often as it is in the group that first shows it"


@pytest.mark.parametrize("at_once", [1, 2, 3, 6])
def test_windows_of_two_values_in_turn_get_each_their_own_answer(at_once: int) -> None:
    volume = np.zeros((6, 4, 4), np.float32)
    volume[1] = np.random.default_rng(5).normal(size=(4, 4))
    volume += np.array([3, 0, 3, 5, 3, 5], np.float32).reshape(6, 1, 1)

    def of_value(images: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(images), images], dim=1)

    answer = segment_volume(of_value, volume, patch_size=(4, 4), windows_at_once=at_once)
    np.testing.assert_allclose(answer[1].numpy(), 1 / (1 + np.exp(-volume)), atol=1e-6)


def test_the_order_that_holds_the_least_comes_from_the_sizes() -> None:
    assert leanest_order((300, 512, 512), (64, 96, 96)) == (1, 0, 2), "96 of 512 rows: a fifth; 64 of 300 planes: more"
    assert leanest_order((300, 512, 512), (192, 192)) == (0, 1, 2)
    assert leanest_order((40, 512, 600), (64, 96, 96)) == (2, 0, 1)


def test_what_is_held_is_what_neighboring_windows_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blending 20 classes of a large volume asks for a small part of it at a time."""
    sizes: list[int] = []
    empty = torch.empty

    def noted(*size: Any, **options: Any) -> Tensor:
        if isinstance(size[0], tuple):  # windows themselves are asked for number by number
            sizes.append(int(np.prod(size[0])))
        return empty(*size, **options)

    volume = np.random.default_rng(4).normal(size=(64, 64, 64)).astype(np.float32)
    boxes = probability_boxes(
        lambda images: images.repeat(1, 20, 1, 1, 1), volume, patch_size=(16, 16, 16), order=(1, 0, 2)
    )
    monkeypatch.setattr(blending.torch, "empty", noted)
    for _ in boxes:
        pass
    monkeypatch.undo()
    assert 0 < sum(sizes) <= 21 * (8 * 64 * 64 + 16 * 8 * 64 + 16 * 16 * 8)


@pytest.mark.parametrize("asked", [1, 5])
def test_how_many_at_once_may_be_said_of_the_first_windows(asked: int) -> None:
    shown, groups = [], []

    def pointwise_noted(images: Tensor) -> Tensor:
        groups.append(len(images))
        return pointwise(images)

    def at_once(images: Tensor) -> int:
        shown.append(images.shape)
        return asked

    volume = np.random.default_rng(5).normal(size=(4, 16, 16)).astype(np.float32)
    segment_volume(pointwise_noted, volume, patch_size=(8, 8), windows_at_once=at_once)
    assert shown == [(16, 1, 8, 8)]
    assert sum(groups) == 4 * 3 * 3
    assert max(groups) == asked
