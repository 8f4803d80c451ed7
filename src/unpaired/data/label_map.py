"""The values of a label map: file values turned into indices of label sets, counted, and sampled for patches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.choices import some_of
from unpaired.errors import InputError

FOREGROUND_SAMPLES = 4096
"""Voxels remembered per label value: enough to center patches on, small enough to load at once."""
COUNTED_AT_ONCE = 1 << 20
"""Voxels whose values are counted together."""
UNKNOWN = 255
"""Marks a file value that the case's label map doesn't know; hence at most 255 label sets."""


def encode_label_map(label_map: np.ndarray, encoding: Mapping[int, int], file: Path) -> np.ndarray:
    """File values turned into indices of label sets (uint8, same shape and memory order).

    Raises InputError naming a value that isn't in the map, the file, and what would help.
    """
    low, high = int(label_map.min()), int(label_map.max())
    if low >= 0 and high < 2**16:
        table = np.full(high + 1, UNKNOWN, np.uint8)
        for value, index in encoding.items():
            if 0 <= value <= high:
                table[value] = index
        encoded = table[label_map]
    else:
        encoded = np.full_like(label_map, UNKNOWN, dtype=np.uint8)
        for value, index in encoding.items():
            encoded[label_map == value] = index
    unknown = np.unique(label_map[encoded == UNKNOWN]).tolist()
    if unknown:
        which = f"label value {unknown[0]} is" if len(unknown) == 1 else f"label values {some_of(unknown, 5)} are"
        raise InputError(
            f"{file}: {which} not in the case's label map (it knows {', '.join(map(str, sorted(encoding)))}); "
            "add what is missing to label_maps in the manifest"
        )
    return encoded


def count_values(values: np.ndarray, length: int) -> np.ndarray:
    """How many voxels have each of the whole numbers from 0 to `length` - 1, which are all that there may be.

    A stretch of memory at a time, as bincount makes eight bytes of each voxel.
    """
    counts = np.zeros(length, np.int64)
    flat = values.ravel(order="K")
    for start in range(0, flat.size, COUNTED_AT_ONCE):
        counts += np.bincount(flat[start : start + COUNTED_AT_ONCE], minlength=length)
    return counts


def count_labels(label_map: np.ndarray) -> list[int]:
    """How many voxels of a uint8 label map have each value 0..255."""
    return count_values(label_map, 256).tolist()


def present_labels(label_map: np.ndarray) -> dict[str, int]:
    """{value: number of voxels} of the values that do occur, as JSON has it."""
    return {str(value): count for value, count in enumerate(count_labels(label_map)) if count}


def cut_labels(label_map: np.ndarray, kept: np.ndarray, values: tuple[int, ...]) -> dict[str, int]:
    """{value: voxels of it that are in a label map but not in the part that is kept}, of `values` alone."""
    if kept.size == label_map.size:
        return {}
    pairs = zip(count_labels(label_map), count_labels(kept), strict=True)
    return {
        str(value): before - after for value, (before, after) in enumerate(pairs) if value in values and before > after
    }


def foreground_sample(label_map: np.ndarray, values: tuple[int, ...]) -> dict[str, Any]:
    """A seeded sample of the voxels of each of `values`, in memory order."""
    positions = np.flatnonzero(label_map)
    labels = label_map.ravel()[positions]
    result: dict[str, Any] = {}
    for value in values:
        voxels = positions[labels == value]
        if len(voxels) > FOREGROUND_SAMPLES:
            voxels = np.sort(np.random.default_rng(value).choice(voxels, FOREGROUND_SAMPLES, replace=False))
        if len(voxels):
            result[str(value)] = np.stack(np.unravel_index(voxels, label_map.shape), axis=1).astype(np.int32)
    return result
