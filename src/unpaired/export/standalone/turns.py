# pyright: basic
"""Scans turned in their slices, segmented too and turned back, with numpy alone.

Written by `unpaired export`.
"""

import numpy as np


def in_all_forms(slabs_of, volume, degrees, spacing):
    """Class probabilities in slabs: of the volume as it is, or averaged with those of its turned forms, in one slab.

    `slabs_of` has the slabs of a volume (depth, height, width); `spacing` is that of its voxels in mm.
    """
    if not degrees:
        return slabs_of(volume)
    alone = np.concatenate(list(slabs_of(volume)), axis=1)
    total = alone.copy()
    for angle in degrees:
        shown, _ = turned(volume, angle, spacing)
        back, seen = turned(np.concatenate(list(slabs_of(shown)), axis=1), -angle, spacing)
        total += np.where(seen, back, alone)
    return [total / np.float32(1 + len(degrees))]


def turned(values, degrees, spacing):
    """Values (..., height, width) turned about the middle of each slice, linearly, in mm, what comes in from outside
    repeating the border; and which pixels (height, width) come from inside."""
    height, width = values.shape[-2:]
    sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    y = (np.arange(height)[:, np.newaxis] - (height - 1) / 2) * spacing[1]
    x = (np.arange(width)[np.newaxis] - (width - 1) / 2) * spacing[2]
    rows = (cos * y + sin * x) / spacing[1] + (height - 1) / 2
    columns = (cos * x - sin * y) / spacing[2] + (width - 1) / 2
    seen = (rows >= -0.5) & (rows <= height - 0.5) & (columns >= -0.5) & (columns <= width - 0.5)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    upper = values[..., top, left] * (1 - across) + values[..., top, right] * across
    lower = values[..., bottom, left] * (1 - across) + values[..., bottom, right] * across
    return upper * (1 - down) + lower * down, seen
