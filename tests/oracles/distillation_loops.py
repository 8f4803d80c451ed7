"""UMMKD's knowledge distillation voxel by voxel and pair by pair."""

import itertools

import torch
from torch import Tensor

Row = list[Tensor]


def soft_confusion(logits: Tensor, label_map: Tensor, T: float) -> list[Row | None]:
    """Row c: softmax of the mean logits over the voxels of class c; None where there are none."""
    C = logits.shape[1]
    voxels = [list(z) for z in logits.movedim(1, -1).reshape(-1, C)]
    rows: list[Row | None] = []
    for c in range(C):
        members = [z for z, label in zip(voxels, label_map.flatten().tolist(), strict=True) if label == c]
        if not members:
            rows.append(None)
            continue
        mean = [torch.stack([z[k] for z in members]).sum() / (len(members) + 1e-6) for k in range(C)]
        total = torch.stack([(value / T).exp() for value in mean]).sum()
        rows.append([(value / T).exp() / total for value in mean])
    return rows


def distillation_loss(examples: list[tuple[Tensor, Tensor]], T: float, absent: str) -> Tensor:
    """`examples`: (logits, label map) of each modality. The mean over pairs and classes that are compared."""
    C = examples[0][0].shape[1]
    matrices = [soft_confusion(logits, labels, T) for logits, labels in examples]
    divergences = []
    for one, other in itertools.combinations(matrices, 2):
        for p, q in zip(one, other, strict=True):
            if absent == "skip" and (p is None or q is None):
                continue
            uniform = [torch.tensor(1 / C, dtype=torch.float64)] * C
            p, q = p or uniform, q or uniform
            forth = torch.stack([a * (a / b).log() for a, b in zip(p, q, strict=True)]).sum()
            back = torch.stack([b * (b / a).log() for a, b in zip(p, q, strict=True)]).sum()
            divergences.append((forth + back) / 2)
    return torch.stack(divergences).mean() if divergences else torch.zeros((), dtype=torch.float64)
