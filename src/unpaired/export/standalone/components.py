# pyright: basic
"""Connected parts of a mask with numpy alone. Written by `unpaired export`."""

from itertools import product

import numpy as np


def keep_largest(labels, groups):
    """Of each group of classes its largest connected part alone, at faces, edges and corners; the rest is 0."""
    for classes in groups:
        mask = np.isin(labels, classes)
        labels[mask & ~largest_part(mask, corners=True)] = 0
    return labels


def largest_part(mask, corners):
    """The largest connected part of a mask (of equal ones the first), connected at faces alone or at corners too."""
    number = np.full(mask.shape, -1, np.int64)
    number[mask] = np.arange(int(mask.sum()))
    pairs = [np.zeros((2, 0), np.int64)]
    for step in product((-1, 0, 1), repeat=3):
        if step > (0, 0, 0) and (corners or sum(map(abs, step)) == 1):
            pair = np.stack([number[cut] for cut in shifted(step)]).reshape(2, -1)
            pairs.append(pair[:, (pair >= 0).all(0)])
    first, second = np.concatenate(pairs, axis=1)
    root = np.arange(int(mask.sum()))
    while (different := root[first] != root[second]).any():  # the larger root goes to the smaller, then all look up
        first, second = first[different], second[different]
        low, high = np.minimum(root[first], root[second]), np.maximum(root[first], root[second])
        np.minimum.at(root, high, low)
        while not np.array_equal(further := root[root], root):
            root = further
    result = np.zeros(mask.shape, bool)
    if len(root):
        result[mask] = root == np.bincount(root).argmax()
    return result


def shifted(step):
    """The two cuts of an array whose voxels lie `step` apart."""
    ends = [(slice(None, -s), slice(s, None)) if s > 0 else (slice(-s, None), slice(None, s or None)) for s in step]
    return tuple(here for here, _ in ends), tuple(there for _, there in ends)
