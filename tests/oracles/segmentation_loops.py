"""Soft Dice and cross-entropy voxel by voxel, for label maps whose values may be sets of classes."""

import math

import torch
from torch import Tensor


def soft_dice_loss(logits: Tensor, label_map: Tensor, label_sets: Tensor) -> Tensor:
    """1 - mean over classes of 2 sum(p g) / (sum p^2 + sum g + 1e-7)."""
    C = logits.shape[1]
    voxels = logits.movedim(1, -1).reshape(-1, C)
    scores = []
    for c in range(C):
        overlap, squares, positives = (torch.zeros((), dtype=logits.dtype) for _ in range(3))
        for z, label in zip(voxels, label_map.flatten().tolist(), strict=True):
            members = [k for k in range(C) if label_sets[label, k]]
            if len(members) > 1 and c in members:
                continue
            p = z.exp()[c] / z.exp().sum()
            squares = squares + p**2
            if members == [c]:
                overlap = overlap + p
                positives = positives + 1
        scores.append(2 * overlap / (squares + positives + 1e-7))
    return 1 - torch.stack(scores).mean()


def cross_entropy(
    logits: Tensor, label_map: Tensor, label_sets: Tensor, weighted: bool, clip: float | None = None
) -> Tensor:
    """Mean over voxels of -w log(sum of p over the label's set)."""
    C = logits.shape[1]
    voxels = logits.movedim(1, -1).reshape(-1, C)
    labels = label_map.flatten().tolist()
    said = [label for label in labels if int(label_sets[label].sum()) < C]
    total = torch.zeros((), dtype=logits.dtype)
    for z, label in zip(voxels, labels, strict=True):
        members = [k for k in range(C) if label_sets[label, k]]
        p = z.exp()[members].sum() / z.exp().sum()
        log_p = p.log() if clip is None or p.item() > clip else torch.tensor(math.log(clip), dtype=logits.dtype)
        w = 1 - said.count(label) / len(said) if weighted else 1.0
        total = total - w * log_p
    return total / len(labels)
