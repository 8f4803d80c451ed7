"""Where the classes of two label maps lie: one box per class around its voxels in both."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects

Box = tuple[slice, ...]


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

    Background is not looked for: its entry is None.
    """
    boxes: list[Box | None] = [None]
    for ours, theirs in zip(find_objects(predicted, classes - 1), find_objects(true, classes - 1), strict=True):
        if ours is None or theirs is None:
            boxes.append(ours or theirs)
        else:
            both = zip(ours, theirs, strict=True)
            boxes.append(tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in both))
    return boxes
