"""Smooth random maps: quadratic B-splines through Gaussian control points, in 2D and 3D, on the CPU."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def smooth_map(size: Sequence[int], spacing: int, generator: torch.Generator | None = None) -> Tensor:
    """A map of that size, float32, whose control points, `spacing` voxels apart, are N(0, 1).

    Drawn from `generator`, or from torch's global random state.
    """
    values = torch.randn([math.ceil(length / spacing) + 3 for length in size], generator=generator)
    with torch.autocast("cpu", enabled=False):
        for axis, length in enumerate(size):
            values = (values.movedim(axis, -1) @ b_spline(length, spacing).T).movedim(-1, axis)
    return values


def b_spline(length: int, spacing: int) -> Tensor:
    """The weight of each control point at each of `length` voxels, (voxel, point): quadratic, rows sum to 1.

    Control points are `spacing` voxels apart, the first half of that before the first voxel's edge.
    """
    places = (torch.arange(length) + 0.5) / spacing
    away = (places.unsqueeze(1) + 0.5 - torch.arange(math.ceil(length / spacing) + 3)).abs()
    return torch.where(away <= 0.5, 0.75 - away.square(), 0.5 * (1.5 - away).clamp(min=0).square())
