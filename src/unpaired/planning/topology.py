"""Patch, strides and stages of a U-Net from spacing and size, after nnU-Net's rules (Isensee et al. 2021, 2024)."""

import math
from collections.abc import Sequence

SMALLEST = 4
"""A map's axis isn't halved below so many voxels."""
FARTHEST = 2.0
"""An axis waits with its pooling while its voxels are so many times as long as the shortest ones, or longer."""


def pooling(patch: Sequence[int], spacing_mm: Sequence[float], most_stages: int) -> tuple[tuple[int, ...], ...]:
    """The strides of each stage after the first: axes are halved until they get small, those of long voxels later."""
    sizes, steps = list(patch), list(spacing_mm)
    strides: list[tuple[int, ...]] = []
    while len(strides) < most_stages - 1:
        able = [axis for axis, size in enumerate(sizes) if size >= 2 * SMALLEST]
        if not able:
            break
        shortest = min(steps[axis] for axis in able)
        halved = {axis for axis in able if steps[axis] < FARTHEST * shortest}
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(sizes))))
        for axis in halved:
            sizes[axis] //= 2
            steps[axis] *= 2
    return tuple(strides)


def fitted(
    patch: Sequence[int], spacing_mm: Sequence[float], most_stages: int
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The patch brought to multiples of what its own strides divide by (up to the next one), and these strides."""
    strides = pooling(patch, spacing_mm, most_stages)
    rounded = tuple(
        math.ceil(size / multiple) * multiple
        for size, multiple in zip(patch, multiples(strides, len(patch)), strict=True)
    )
    return rounded, strides


def multiples(strides: Sequence[Sequence[int]], axes: int) -> tuple[int, ...]:
    """What the sizes of a patch must be multiples of, for each axis."""
    return tuple(math.prod(stride[axis] for stride in strides) for axis in range(axes))


def patch_within(
    size: Sequence[float], spacing_mm: Sequence[float], voxels: int, most_stages: int
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The largest patch of at most `voxels` voxels that is no larger than `size`, and its network's strides.

    As in nnU-Net the axis that covers the largest part of `size` gives way first.
    """
    patch = [max(math.ceil(extent), 1) for extent in size]
    rounded, strides = fitted(patch, spacing_mm, most_stages)
    while math.prod(rounded) > voxels and max(patch) > SMALLEST:
        steps = multiples(strides, len(patch))
        axis = max(range(len(patch)), key=lambda axis: (patch[axis] / size[axis], patch[axis]))
        shrunk = (rounded[axis] - steps[axis]) if rounded[axis] > steps[axis] else rounded[axis] // 2
        patch[axis] = max(min(shrunk, patch[axis] - 1), 1)
        rounded, strides = fitted(patch, spacing_mm, most_stages)
    return rounded, strides
