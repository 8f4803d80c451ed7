"""Convolutions in 3D as numpy sums over kernel voxels. Maps are (channel, depth, height, width), of one image.

`weights` are arrays by the names that a network's state dict has for them, below the layer in question (`below`).
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def below(weights: Weights, name: str) -> dict[str, Array]:
    return {key.removeprefix(name + "."): value for key, value in weights.items() if key.startswith(name + ".")}


def convolve(x: Array, weights: Weights, stride: Sequence[int], padding: Sequence[int]) -> Array:
    """y[o, p] = bias[o] + sum over channels c and kernel voxels k of w[o, c, k] x[c, stride p + k - padding]."""
    kernel = weights["weight"]
    x = np.pad(x, [(0, 0), *((n, n) for n in padding)])
    sides = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:], kernel.shape[2:], stride, strict=True)]
    y = np.zeros((len(kernel), *sides))
    for k in itertools.product(*(range(n) for n in kernel.shape[2:])):
        places = [slice(at, at + s * (n - 1) + 1, s) for at, s, n in zip(k, stride, sides, strict=True)]
        y += np.tensordot(kernel[(..., *k)], x[(slice(None), *places)], 1)
    return y + weights["bias"][:, None, None, None] if "bias" in weights else y


def convolve_transposed(x: Array, weights: Weights, stride: Sequence[int], size: Sequence[int]) -> Array:
    """Cell i adds w[c, :, k] x[c, i] to place stride i + k of a map of `size`; what falls outside is lost."""
    kernel = weights["weight"]
    y = np.zeros((kernel.shape[1], *size))
    for k in itertools.product(*(range(n) for n in kernel.shape[2:])):
        places = [range(at, n, s) for at, s, n in zip(k, stride, size, strict=True)]
        counts = [min(len(p), n) for p, n in zip(places, x.shape[1:], strict=True)]
        into = np.ix_(range(len(y)), *(p[:count] for p, count in zip(places, counts, strict=True)))
        cells = (slice(None), *(slice(count) for count in counts))
        y[into] += np.tensordot(kernel[(..., *k)].T, x[cells], 1)
    return y + weights["bias"][:, None, None, None] if "bias" in weights else y
