"""Where the classes of two label maps lie: one box per class around its voxels in both."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import find_objects

Box = tuple[slice, ...]
SLAB = 1 << 19
"""Voxels that are looked at together: what they need fits into a processor's cache."""


def in_memory_order(
    predicted: np.ndarray, true: np.ndarray, spacing_mm: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Both arrays and the spacing with the axes in the prediction's memory order, which changes no score.

    NIfTI's first axis is the fastest in memory, numpy's the last.
    """
    axes = sorted(range(predicted.ndim), key=lambda axis: -predicted.strides[axis])
    return predicted.transpose(axes), true.transpose(axes), [spacing_mm[axis] for axis in axes]


def class_boxes(predicted: np.ndarray, true: np.ndarray, classes: int) -> list[Box | None]:
    """For each class number 0..classes - 1, the box around its voxels in both label maps; None where it has none.

    Both arrays have one shape and no negative values. Background is not looked for: its entry is None.
    """
    if classes > 64:  # more than a bit each
        return [None, *_found_objects(predicted, true, classes)]
    seen = _classes_along_axes(predicted, true, classes)
    boxes: list[Box | None] = [None]
    for number in range(1, classes):
        places = [np.flatnonzero(along & along.dtype.type(1 << number)) for along in seen]
        boxes.append(tuple(slice(int(p[0]), int(p[-1]) + 1) for p in places) if len(places[0]) else None)
    return boxes


def _classes_along_axes(predicted: np.ndarray, true: np.ndarray, classes: int) -> list[np.ndarray]:
    """For each axis and position along it, which classes occur there in either array: a bit per class.

    A pass over the rows that aren't all background, a slab at a time, is five times faster than `find_objects`.
    """
    bits = next(kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if np.iinfo(kind).bits >= classes)
    seen = [np.zeros(size, bits) for size in predicted.shape]
    row = predicted.shape[-1]
    slab = len(predicted) if predicted.ndim == 1 else max(1, SLAB // predicted[0].size)
    for start in range(0, len(predicted), slab):
        pair = [array[start : start + slab] for array in (predicted, true)]
        rows = [np.ascontiguousarray(part).reshape(-1, row) for part in pair]
        filled = np.flatnonzero(np.logical_or(*((part != 0).any(axis=1) for part in rows)))
        classes_at = np.zeros((len(filled), row), bits)
        for part in rows:  # labels of merged sets have numbers beyond the classes, and bits that nobody asks for
            classes_at |= np.left_shift(bits(1), part[filled].astype(bits))
        seen[-1] |= np.bitwise_or.reduce(classes_at, axis=0)
        by_row = np.zeros(len(rows[0]), bits)
        by_row[filled] = np.bitwise_or.reduce(classes_at, axis=1)
        by_row = by_row.reshape(pair[0].shape[:-1])
        for axis in range(predicted.ndim - 1):
            others = tuple(other for other in range(by_row.ndim) if other != axis)
            part = seen[axis][start : start + slab] if axis == 0 else seen[axis]
            part |= np.bitwise_or.reduce(by_row, axis=others)
    return seen


def _found_objects(predicted: np.ndarray, true: np.ndarray, classes: int) -> Iterator[Box | None]:
    boxes = zip(find_objects(predicted, classes - 1), find_objects(true, classes - 1), strict=True)
    for predicted_box, true_box in boxes:
        if predicted_box is None or true_box is None:
            yield predicted_box or true_box
        else:
            both = zip(predicted_box, true_box, strict=True)
            yield tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in both)
