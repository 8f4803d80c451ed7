"""SAM-Med3D's encoder with CMC's adapters in numpy, one image; `weights` by the names of the house's encoder."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from oracles.convolution_loops import Array, Weights, below, convolve
from oracles.transformer_loops import gelu, layer_norm, linear, mlp, softmax

EPS = 1e-6


def decomposed_bias(q: Array, tables: Sequence[Array], released: bool) -> Array:
    """B[d, h, w, i, j, k] of a head, for a query at (d, h, w) and a key at (i, j, k) of a cube.

    rel_a[d, h, w, key] is the query's product with the vector of its offset to `key` along axis a. Intended is the sum
    of rel_d at i, rel_h at j and rel_w at k. The released code adds rel_d[d, h, w, k], rel_h[d, h, i, k] and
    rel_w[d, h, j, k].
    """
    n = len(q)
    rel = np.zeros((3, n, n, n, n))
    for place in itertools.product(range(n), repeat=3):
        for axis, key in itertools.product(range(3), range(n)):
            rel[(axis, *place, key)] = q[place] @ tables[axis][place[axis] - key + len(tables[axis]) // 2]
    B = np.zeros((n,) * 6)
    for d, h, w, i, j, k in itertools.product(range(n), repeat=6):
        if released:
            B[d, h, w, i, j, k] = rel[0, d, h, w, k] + rel[1, d, h, i, k] + rel[2, d, h, j, k]
        else:
            B[d, h, w, i, j, k] = rel[0, d, h, w, i] + rel[1, d, h, w, j] + rel[2, d, h, w, k]
    return B


def cube_attention(x: Array, seen: Array, weights: Weights, heads: int, released: bool) -> Array:
    """Attention over one cube of tokens; nobody sees those that `seen` (a mask of the cube) leaves out."""
    n, C = len(x), x.shape[-1]
    tables = [weights[f"relative_{axis}"] for axis in "dhw"]
    y, d = np.zeros_like(x), C // heads
    q, k, v = np.split(linear(x, below(weights, "qkv")), 3, axis=-1)
    for head in range(heads):
        own = slice(head * d, head * d + d)
        bias = decomposed_bias(q[..., own], tables, released).reshape(n**3, n**3)
        scores = q[..., own].reshape(-1, d) @ k[..., own].reshape(-1, d).T / math.sqrt(d) + bias
        kept = seen.flatten()
        y[..., own] = (softmax(scores[:, kept]) @ v[..., own].reshape(-1, d)[kept]).reshape(n, n, n, d)
    return linear(y, below(weights, "proj"))


def attention(x: Array, weights: Weights, window: int | None, heads: int, released: bool) -> Array:
    """Over a whole cube of tokens (None), or in windows; the released code's padding is seen by all."""
    n = len(x)
    side = window or n
    padded = -(-n // side) * side
    tokens, real = np.zeros((padded,) * 3 + x.shape[3:]), np.zeros((padded,) * 3, dtype=bool)
    tokens[:n, :n, :n], real[:n, :n, :n] = x, True
    y = np.zeros_like(tokens)
    for corner in itertools.product(range(0, padded, side), repeat=3):
        inside = tuple(slice(c, c + side) for c in corner)
        seen = np.ones((side,) * 3, dtype=bool) if released else real[inside]
        y[inside] = cube_attention(tokens[inside], seen, weights, heads, released)
    return y[:n, :n, :n]


def adapter(x: Array, weights: Weights) -> Array:
    """x + s Up(GELU(Down(x)))."""
    return x + weights["scale"] * linear(gelu(linear(x, below(weights, "down"))), below(weights, "up"))


def encoder(
    x: Array, weights: Weights, patch: int, heads: int, windows: Sequence[int | None], released: bool
) -> list[Array]:
    """The map after each block, then the neck's; `windows` has one entry for each block, None for a global one."""
    x = np.moveaxis(convolve(x, below(weights, "embedding"), (patch,) * 3, (0, 0, 0)), 0, -1) + weights["positions"][0]
    maps = []
    for number, window in enumerate(windows):
        own = below(weights, f"blocks.{number}")
        normed = layer_norm(x, below(own, "norm1"), EPS)
        x = x + attention(normed, below(own, "attention"), window, heads, released)
        x = x + mlp(layer_norm(x, below(own, "norm2"), EPS), below(own, "mlp"))
        x = adapter(x, below(own, "adapter"))
        maps.append(np.moveaxis(x, -1, 0))
    y = maps[-1]
    for convolution, norm, padding in ((0, 1, 0), (2, 3, 1)):
        y = convolve(y, below(weights, f"neck.{convolution}"), (1, 1, 1), (padding,) * 3)
        y = np.moveaxis(layer_norm(np.moveaxis(y, 0, -1), below(weights, f"neck.{norm}"), EPS), -1, 0)
    return [*maps, y]
