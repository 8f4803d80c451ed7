"""SSC Eq. 1-12 one number at a time, for two or more modalities: slow and plain.

`weights` are the matrices of one scale of one modality's EAM by the letters of the paper, each applied as W x:
"W_Q", "W_K", "W_V", "W_O" (channel x channel), "W_i" (class x channel x head), "f_s" (one number per head).
"""

import itertools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from oracles import segmentation_loops


def dot(a: Tensor, b: Tensor) -> Tensor:
    total = torch.zeros((), dtype=a.dtype)
    for x, y in zip(a, b, strict=True):
        total = total + x * y
    return total


def times(W: Tensor, x: Tensor) -> Tensor:
    return torch.stack([dot(row, x) for row in W])


def softmax(values: list[Tensor]) -> list[Tensor]:
    total = sum((v.exp() for v in values), torch.zeros((), dtype=values[0].dtype))
    return [v.exp() / total for v in values]


def attention_logits(E: Tensor, F_image: Tensor, W_Q: Tensor, W_K: Tensor, H: int, sqrt_d: bool) -> Tensor:
    """Q K^T / sqrt(d) of an image: [head][class][position]."""
    positions = F_image.flatten(1).T
    Q, K = [times(W_Q, e) for e in E], [times(W_K, f) for f in positions]
    d = len(W_Q) // H
    scale = math.sqrt(d) if sqrt_d else 1.0
    return torch.stack(
        [
            torch.stack([torch.stack([dot(q[h * d : h * d + d], k[h * d : h * d + d]) / scale for k in K]) for q in Q])
            for h in range(H)
        ]
    )


def attention(logits: Tensor) -> Tensor:
    """Eq. 1: S, softmax over the positions."""
    return torch.stack([torch.stack([torch.stack(softmax(list(row))) for row in head]) for head in logits])


def cross_attention(S: Tensor, F_image: Tensor, W_V: Tensor, W_O: Tensor) -> Tensor:
    """Eq. 2-3: Concat(S_h V_h) W_O for each class."""
    V = torch.stack([times(W_V, f) for f in F_image.flatten(1).T])
    H, N, _ = S.shape
    d = len(W_V) // H
    rows = []
    for n in range(N):
        concatenated = [dot(S[h, n], V[:, h * d + i]) for h in range(H) for i in range(d)]
        rows.append(times(W_O, torch.stack(concatenated)))
    return torch.stack(rows)


def updated(
    E: Tensor,
    collected: Tensor,
    norm: str,
    first_norm: Callable[[Tensor], Tensor],
    ffn: Callable[[Tensor], Tensor] | None,
    ffn_norm: Callable[[Tensor], Tensor],
) -> Tensor:
    """Eq. 4-5 of each class, `collected` being MCA."""
    rows = []
    for e, c in zip(E, collected, strict=True):
        e = first_norm(e + c) if norm == "post" else e + c
        if ffn is not None and norm == "post":
            e = ffn_norm(e + ffn(e))
        elif ffn is not None:
            e = e + ffn(ffn_norm(e))
        rows.append(e)
    return torch.stack(rows)


def semantic_maps(kind: str, logits: Tensor, S: Tensor) -> Tensor:
    return {"logits": logits, "attention": S, "scaled": S * S.shape[-1]}[kind]


def correlations(
    E: Tensor, W_i: Tensor, filtered: Tensor, S: Tensor, gate: str, aggregation: str, sqrt_heads: bool
) -> Tensor:
    """Eq. 6-8: R of an image. `filtered` and `S`: [head][class][position]; W_i: [class][channel][head]."""
    H, N, L = S.shape
    rows = []
    for i in range(N):
        kernel = [dot(E[i], W_i[i][:, h]) for h in range(H)]
        M = [
            [
                sum((kernel[h] * filtered[h, j, x] for h in range(H)), torch.zeros((), dtype=S.dtype))
                / (math.sqrt(H) if sqrt_heads else 1.0)
                for x in range(L)
            ]
            for j in range(N)
        ]
        if gate == "classes":
            columns = [softmax([M[j][x] for j in range(N)]) for x in range(L)]
            gates = [[columns[x][j] for x in range(L)] for j in range(N)]
        else:
            gates = [softmax(M[j]) for j in range(N)]
        G = [[[gates[j][x] * S[h, j, x] for x in range(L)] for h in range(H)] for j in range(N)]
        r = torch.stack([torch.stack([value for head in G[j] for value in head]).sum() for j in range(N)])
        if aggregation == "l1":
            r = r / sum(r)
        elif aggregation == "l2":
            r = r / sum(value**2 for value in r) ** 0.5
        else:
            r = r / H
        rows.append(r)
    return torch.stack(rows)


def auxiliary_loss(
    predictions: list[Tensor], label_map: Tensor, label_sets: Tensor, weighted: bool, grid: str = "labels"
) -> Tensor:
    """Eq. 9: CE + Dice of each scale's logits (batch, class, *grid), summed."""
    total = torch.zeros((), dtype=predictions[0].dtype)
    for prediction in predictions:
        labels = label_map
        if grid == "labels":
            mode = "bilinear" if prediction.ndim == 4 else "trilinear"
            prediction = F.interpolate(prediction, size=label_map.shape[1:], mode=mode, align_corners=False)
        else:
            labels = torch.zeros(len(label_map), *prediction.shape[2:], dtype=torch.long)
            for cell in itertools.product(*[range(n) for n in labels.shape]):
                sizes = zip(cell[1:], label_map.shape[1:], prediction.shape[2:], strict=True)
                labels[cell] = label_map[(cell[0], *[(2 * i + 1) * size // (2 * n) for i, size, n in sizes])]
        total = total + segmentation_loops.soft_dice_loss(prediction, labels, label_sets)
        total = total + segmentation_loops.cross_entropy(prediction, labels, label_sets, weighted)
    return total


def modality_consistency(vectors: list[Tensor], distance: str, classes: list[int]) -> Tensor:
    """Eq. 10 over every pair of modalities."""
    found = []
    for a, b in itertools.combinations(vectors, 2):
        for i in classes:
            x, y = a[i], b[i]
            if distance == "squared":
                found.append(dot(x - y, x - y))
            elif distance == "absolute":
                found.append((x - y).abs().sum())
            else:
                found.append(1 - dot(x, y) / (dot(x, x).sqrt() * dot(y, y).sqrt()))
    return torch.stack(found).sum() / len(found)


def image_consistency(
    matrices: list[list[Tensor]], present: list[Tensor], temperature: float, classes: list[int], skip_absent: bool
) -> Tensor:
    """Eq. 11 over every pair of modalities: `matrices[modality][scale]` is R (image, N, N), k-th image with k-th, as
    far as both have one."""
    total = torch.zeros((), dtype=matrices[0][0].dtype)
    for scale in range(len(matrices[0])):
        found = []
        for a, b in itertools.combinations(range(len(matrices)), 2):
            for k in range(min(len(matrices[a][scale]), len(matrices[b][scale]))):
                for i in classes:
                    if skip_absent and not (present[a][k, i] and present[b][k, i]):
                        continue
                    p, q = (softmax([matrices[m][scale][k, i, j] / temperature for j in classes]) for m in (a, b))
                    forth = sum(x * (x / y).log() for x, y in zip(p, q, strict=True))
                    back = sum(y * (y / x).log() for x, y in zip(p, q, strict=True))
                    found.append((forth + back) / 2)
        if found:
            total = total + torch.stack([torch.as_tensor(f) for f in found]).sum() / len(found)
    return total


def scale_of_image(
    E: Tensor, F_image: Tensor, weights: Mapping[str, Tensor], H: int, options: Mapping[str, str | bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """S, the auxiliary logits and R of one image at one scale, from `E` after reduction. LN has neither scale nor shift
    here. `options` are the fields of `EAMConfig`."""

    def norm(e: Tensor) -> Tensor:
        return (e - e.mean()) / (e.var(correction=0) + 1e-5).sqrt()

    asking = torch.stack([norm(e) for e in E]) if options["norm"] == "pre" else E
    logits = attention_logits(asking, F_image, weights["W_Q"], weights["W_K"], H, bool(options["divide_by_sqrt_d"]))
    S = attention(logits)
    shown = semantic_maps(str(options["auxiliary"]), logits, S)
    prediction = sum((weights["f_s"][h] * shown[h] for h in range(H)), torch.zeros((), dtype=S.dtype))
    kernels_from = torch.stack([norm(e) for e in E]) if options["kernel_norm"] else E
    R = correlations(
        kernels_from,
        weights["W_i"],
        semantic_maps(str(options["filtered"]), logits, S),
        S,
        str(options["gate"]),
        str(options["aggregation"]),
        bool(options["divide_by_sqrt_heads"]),
    )
    return S, prediction.unflatten(1, F_image.shape[1:]), R
