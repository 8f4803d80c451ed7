"""Windows: everything covered, seams blended, one window where one is enough; 2D and 3D alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unpaired.errors import InputError
from unpaired.inference.windows import probability_slabs, whole, window_starts, window_weights


def segment_volume(segment: Callable[..., Tensor], volume: np.ndarray, **options: Any) -> Tensor:
    return whole(probability_slabs(segment, volume, **options), volume.shape[0])


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


def test_weights_are_one_without_overlap_and_peak_in_the_middle_with_it() -> None:
    assert (window_weights((1, 8, 9), (False, False, False)) == 1).all()
    weights = window_weights((1, 9, 9), (True, True, False))
    assert weights[0, 4, 0] == weights.max() == weights[0, 4, 8]
    assert np.array_equal(weights, weights[:, ::-1])
    assert weights.min() >= 1e-3 * weights.max()


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
def test_slabs_are_finished_planes_one_window_deep(patch: tuple[int, ...], overlap: float) -> None:
    """Each slab against the sum over all windows of the whole volume."""
    volume = np.random.default_rng(2).normal(size=(11, 20, 23)).astype(np.float32)

    def by_position(images: Tensor) -> Tensor:
        return torch.stack([images[:, 0], images[:, 0] * torch.linspace(0, 1, images.shape[-1])], dim=1)

    slabs = list(probability_slabs(by_position, volume, patch_size=patch, overlap=overlap, windows_at_once=3))
    deepest = 1 if len(patch) == 2 else min(patch[0], 11)
    assert all(1 <= slab.shape[1] <= deepest for slab in slabs)
    size = (1, *patch)[-3:]
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
    np.testing.assert_allclose(torch.cat(slabs, dim=1).numpy(), total / norm, atol=1e-5)


def test_a_volume_whose_slabs_are_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected slabs of 4 planes, got 1"):
        whole([torch.zeros(2, 1, 3, 3)], 4)
