"""Smooth maps against the B-spline written out."""

import pytest
import torch

from unpaired.data.smooth_maps import b_spline, smooth_map


def bump(t: float) -> float:
    """The quadratic B-spline: a box of length 1, convolved with itself twice."""
    t = abs(t)
    return 0.75 - t * t if t <= 0.5 else 0.5 * (1.5 - t) ** 2 if t <= 1.5 else 0.0


@pytest.mark.parametrize(("length", "spacing"), [(10, 4), (7, 7), (5, 9), (8, 1)])
def test_every_voxel_is_a_mean_of_its_nearest_control_points(length: int, spacing: int) -> None:
    weights = b_spline(length, spacing)
    for voxel in range(length):
        for point in range(weights.shape[1]):
            assert weights[voxel, point].item() == pytest.approx(bump((voxel + 0.5) / spacing + 0.5 - point), abs=1e-6)
    assert torch.allclose(weights.sum(dim=1), torch.ones(length))


def test_a_map_is_smooth_and_comes_from_its_generator() -> None:
    first, again = (smooth_map((20, 16), 8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.diff(dim=0).abs().max() < 0.6
    assert first.std() > 0.1
    assert smooth_map((5, 6, 7), 4).shape == (5, 6, 7)
