"""Transformer layers in 3D in numpy, windows as lists of places: no torch, no mask, no roll, no index of offsets.

Tokens are (depth, height, width, channel), of one image; `weights` as in `convolution_loops`.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from oracles.convolution_loops import Array, Weights, below


def layer_norm(x: Array, weights: Weights, eps: float) -> Array:
    """Of the last axis; the variance is of the population."""
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + eps) * weights["weight"] + weights["bias"]


def gelu(x: Array) -> Array:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def linear(x: Array, weights: Weights) -> Array:
    return x @ weights["weight"].T + weights["bias"]


def mlp(x: Array, weights: Weights) -> Array:
    return linear(gelu(linear(x, below(weights, "fc1"))), below(weights, "fc2"))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q: Array, k: Array, v: Array, bias: Array) -> Array:
    """softmax(q k^T / sqrt(d) + bias) v of one head."""
    return softmax(q @ k.T / math.sqrt(q.shape[-1]) + bias) @ v


def window_attention(x: Array, weights: Weights, window: Sequence[int], shifted: bool, query: Array | None) -> Array:
    """Swin Eq. 4. Two tokens see each other if they lie in one cell of a lattice of windows, which begins at the corner
    of the map, or, shifted, at half a window from it; an axis that one window covers has one cell.

    With `query` the tokens of `x` answer, and `query` asks as it is (nnFormer's skip attention).
    """
    size, channels = x.shape[:-1], x.shape[-1]
    begin = [w // 2 if shifted and w < n else 0 for n, w in zip(size, window, strict=True)]
    table = weights["bias_table"].reshape(*(2 * w - 1 for w in window), -1)
    if query is None:
        q, k, v = np.split(linear(x, below(weights, "qkv")), 3, axis=-1)
    else:
        q, (k, v) = query, np.split(linear(x, below(weights, "kv")), 2, axis=-1)
    cells: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for place in itertools.product(*(range(n) for n in size)):
        cell = tuple((p - b) // w for p, b, w in zip(place, begin, window, strict=True))
        cells.setdefault(cell, []).append(place)
    y, d = np.zeros_like(x), channels // table.shape[-1]
    for places in cells.values():
        at = tuple(np.array(places).T)
        offsets = np.array(places)[:, None] - np.array(places)[None] + np.array(window) - 1
        bias = table[tuple(np.moveaxis(offsets, -1, 0))]
        for head in range(table.shape[-1]):
            own = slice(head * d, head * d + d)
            y[(*at, own)] = attention(q[(*at, own)], k[(*at, own)], v[(*at, own)], bias[..., head])
    return linear(y, below(weights, "proj"))


def channel_scale(E: Array, weights: Weights) -> Array:
    """SSC Eq. 13: W_agg sums the class vectors of E up, P_l (with a bias) leads to a layer's channels."""
    w = np.sum([share * e for share, e in zip(weights["aggregate.weight"][0], E, strict=True)], axis=0)
    return np.array([p @ w for p in weights["project.weight"]]) + weights["project.bias"]


def block(
    x: Array,
    weights: Weights,
    window: Sequence[int],
    shifted: bool,
    E: Array | None = None,
    modality: str = "",
    skip: Array | None = None,
) -> Array:
    """SSC Eq. 14-15 of an image of `modality`; without E the block of Swin. With `skip` nnFormer's skip attention:
    LN(x) asks, LN(skip) answers, the residual is x + skip."""
    diag: list[Array] = [np.ones(1), np.ones(1)]
    if E is not None:
        diag = [channel_scale(E, below(weights, f"scale{n}.by_modality.{modality}")) for n in (1, 2)]
    norm1, norm2, msa = (below(weights, name) for name in ("norm1.shared", "norm2.shared", "attention"))
    normed = layer_norm(x, norm1, 1e-5)
    if skip is None:
        x = x + diag[0] * window_attention(normed, msa, window, shifted, None)
    else:
        attended = window_attention(layer_norm(skip, norm1, 1e-5), msa, window, shifted, normed)
        x = x + skip + diag[0] * attended
    return x + diag[1] * mlp(layer_norm(x, norm2, 1e-5), below(weights, "mlp"))
