"""SSC Eq. 1-12 from feature maps and logits of volumes to the loss, in numpy, as the house reads the text by default.

`weights` are those of one modality's EAM by the names of its state dict.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from oracles.convolution_loops import Array, Weights, below
from oracles.transformer_loops import layer_norm, linear, mlp, softmax


def attended(E: Array, maps: Array, weights: Weights, heads: int) -> tuple[Array, Array, Array]:
    """(auxiliary logits on the grid of `maps`, R, E_hat) of one image at one scale; `maps` (channel, *grid)."""
    if "reduce.weight" in weights:
        E = linear(E, below(weights, "reduce"))
    F = maps.reshape(len(maps), -1).T
    (L, C), N = F.shape, len(E)
    d = C // heads
    Q = layer_norm(E, below(weights, "norm"), 1e-5) @ weights["query.weight"].T
    K = F @ weights["key.weight"].T
    scores = np.stack([Q[:, h * d : h * d + d] @ K[:, h * d : h * d + d].T / math.sqrt(d) for h in range(heads)])
    S = softmax(scores)  # Eq. 1, over the positions
    prediction = np.tensordot(weights["predict.weight"][0], scores, 1)
    kernels = layer_norm(E, below(weights, "filters.norm"), 1e-5)
    R = np.zeros((N, N))
    for i in range(N):
        kernel = kernels[i] @ weights["filters.weight"][i]
        M = np.stack([np.sum([kernel[h] * L * S[h, j] for h in range(heads)], axis=0) for j in range(N)])  # Eq. 6
        gates = softmax(M.T).T  # Eq. 7, over the classes j at each position
        R[i] = [np.sum([gates[j] @ S[h, j] for h in range(heads)]) for j in range(N)]
        R[i] /= R[i].sum()  # Eq. 8
    if any(name.startswith("update.") for name in weights):
        V = F @ weights["update.value.weight"].T
        collected = np.concatenate([S[h] @ V[:, h * d : h * d + d] for h in range(heads)], axis=1)  # Eq. 2
        E = E + collected @ weights["update.output.weight"].T  # Eq. 3-4
        ffn = {f"fc{n}.{part}": weights[f"update.ffn.{i}.{part}"] for n, i in ((1, 0), (2, 2)) for part in _LINEAR}
        E = E + mlp(layer_norm(E, below(weights, "update.ffn_norm"), 1e-5), ffn)  # Eq. 5
    return prediction.reshape(N, *maps.shape[1:]), R, E


_LINEAR = ("weight", "bias")


def enlarged(x: Array, size: Sequence[int]) -> Array:
    """Trilinear, axis by axis: voxel p of `size` lies at (p + 1/2) n / size - 1/2 of n voxels, the outer ones last."""
    for axis, count in enumerate(size, start=1):
        n = x.shape[axis]
        parts = []
        for p in range(count):
            at = min(max((p + 0.5) * n / count - 0.5, 0), n - 1)
            low = math.floor(at)
            parts.append((1 - at + low) * x.take(low, axis) + (at - low) * x.take(min(low + 1, n - 1), axis))
        x = np.stack(parts, axis)
    return x


def segmentation_loss(logits: Array, labels: Array) -> float:
    """1 - mean soft Dice over classes, and cross-entropy with class c weighed by the share of all other voxels."""
    C = logits.shape[1]
    p = softmax(np.moveaxis(logits, 1, -1)).reshape(-1, C)
    g = np.eye(C)[labels.reshape(-1)]
    dice = [2 * (p[:, c] @ g[:, c]) / (p[:, c] @ p[:, c] + g[:, c].sum() + 1e-7) for c in range(C)]
    cross_entropy = [(1 - g[:, c].mean()) * (g[:, c] @ -np.log(p[:, c])) / len(g) for c in range(C)]
    return 1 - float(np.mean(dice)) + float(np.sum(cross_entropy))


def divergence(p: Array, q: Array) -> float:
    return float(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)))


def terms(
    maps: Mapping[str, Sequence[Array]],
    labels: Mapping[str, Array],
    embeddings: Mapping[str, Array],
    weights: Mapping[str, Weights],
    heads: Sequence[int],
    temperature: float,
) -> dict[str, float]:
    """L_aux of each modality, L_mod and L_img. `maps[modality][scale]` is (image, channel, *grid)."""
    result: dict[str, float] = {}
    correlations: dict[str, list[list[Array]]] = {}
    for modality, scales in maps.items():
        of_images = [embeddings[modality]] * len(labels[modality])
        correlations[modality], auxiliary = [], 0.0
        for number, of_scale in enumerate(scales):
            own = below(weights[modality], f"scales.{number}")
            answers = [attended(E, image, own, heads[number]) for E, image in zip(of_images, of_scale, strict=True)]
            predictions, of_pairs, of_images = (list(part) for part in zip(*answers, strict=True))
            size = labels[modality].shape[1:]
            auxiliary += segmentation_loss(np.stack([enlarged(x, size) for x in predictions]), labels[modality])
            correlations[modality].append(of_pairs)
        result[f"aux/{modality}"] = auxiliary  # Eq. 9
    pairs = list(combinations(maps, 2))
    N = len(next(iter(embeddings.values())))
    squares = [((embeddings[a][i] - embeddings[b][i]) ** 2).sum() for a, b in pairs for i in range(N)]
    result["mod"] = float(np.mean(squares))  # Eq. 10
    image_level = 0.0
    for number in range(len(heads)):
        values = []
        for a, b in pairs:
            for R_a, R_b in zip(correlations[a][number], correlations[b][number], strict=True):
                p, q = softmax(R_a / temperature), softmax(R_b / temperature)
                values += [(divergence(p[i], q[i]) + divergence(q[i], p[i])) / 2 for i in range(N)]
        image_level += float(np.mean(values))
    result["img"] = image_level  # Eq. 11
    return result
