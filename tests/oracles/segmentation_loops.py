"""Soft Dice and cross-entropy voxel by voxel, for label maps whose values may be sets of classes."""

import math

import torch
from torch import Tensor


def soft_dice_loss(logits: Tensor, label_map: Tensor, label_sets: Tensor) -> Tensor:
    """1 - mean over classes, and over larger sets that are labels, of 2 sum(p g) / (sum p^2 + sum g + 1e-7)."""
    C = logits.shape[1]
    voxels = logits.movedim(1, -1).reshape(-1, C)
    labels = label_map.flatten().tolist()
    meaning = [{k for k in range(C) if row[k]} for row in label_sets]
    scores = []
    for number, classes in enumerate(meaning):
        if number >= C and (number not in labels or len(classes) == C):
            continue
        overlap, squares, positives = (torch.zeros((), dtype=logits.dtype) for _ in range(3))
        for z, label in zip(voxels, labels, strict=True):
            p = z.exp()[sorted(classes)].sum() / z.exp().sum()
            if meaning[label] <= classes:
                overlap = overlap + p
                positives = positives + 1
                squares = squares + p**2
            elif not meaning[label] & classes:
                squares = squares + p**2
        scores.append(2 * overlap / (squares + positives + 1e-7))
    return 1 - torch.stack(scores).mean()


def cross_entropy(
    logits: Tensor,
    label_map: Tensor,
    label_sets: Tensor,
    weighted: bool,
    clip: float | None = None,
    mapping: Tensor | None = None,
    over_all: bool = False,
) -> Tensor:
    """Mean over voxels of -w log(sum of p over the label's set, weighted by the label's row of `mapping`).

    Over voxels whose label is not every class, or over all of them; those add nothing.
    """
    C = logits.shape[1]
    voxels = logits.movedim(1, -1).reshape(-1, C)
    labels = label_map.flatten().tolist()
    said = [label for label in labels if int(label_sets[label].sum()) < C]
    total = torch.zeros((), dtype=logits.dtype)
    for z, label in zip(voxels, labels, strict=True):
        members = [k for k in range(C) if label_sets[label, k]]
        if len(members) == C:
            continue
        row = mapping[label] if mapping is not None and len(members) > 1 and members[0] != 0 else None
        share = [1.0 if row is None else row[k] for k in members]
        p = sum(z.exp()[k] * w for k, w in zip(members, share, strict=True)) / z.exp().sum()
        assert isinstance(p, Tensor)
        log_p = p.log() if clip is None or p.item() > clip else torch.tensor(math.log(clip), dtype=logits.dtype)
        w = 1 - said.count(label) / len(said) if weighted else 1.0
        total = total - w * log_p
    return total / (len(labels) if over_all else len(said))
