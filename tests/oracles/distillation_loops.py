"""UMMKD's knowledge distillation voxel by voxel and pair by pair."""

import itertools
import math

from torch import Tensor


def soft_confusion(logits: Tensor, label_map: Tensor, T: float) -> list[list[float] | None]:
    """Row c: softmax of the mean logits over the voxels of class c; None where there are none."""
    C = logits.shape[1]
    voxels = logits.movedim(1, -1).reshape(-1, C).tolist()
    rows: list[list[float] | None] = []
    for c in range(C):
        members = [z for z, label in zip(voxels, label_map.flatten().tolist(), strict=True) if label == c]
        if not members:
            rows.append(None)
            continue
        mean = [sum(z[k] for z in members) / (len(members) + 1e-6) for k in range(C)]
        total = sum(math.exp(value / T) for value in mean)
        rows.append([math.exp(value / T) / total for value in mean])
    return rows


def distillation_loss(examples: list[tuple[Tensor, Tensor]], T: float, absent: str) -> float:
    """`examples`: (logits, label map) of each modality. The mean over pairs and classes that are compared."""
    C = examples[0][0].shape[1]
    matrices = [soft_confusion(logits, labels, T) for logits, labels in examples]
    divergences = []
    for one, other in itertools.combinations(matrices, 2):
        for p, q in zip(one, other, strict=True):
            if absent == "skip" and (p is None or q is None):
                continue
            p, q = p or [1 / C] * C, q or [1 / C] * C
            forth = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
            back = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
            divergences.append((forth + back) / 2)
    return sum(divergences) / len(divergences) if divergences else 0.0
