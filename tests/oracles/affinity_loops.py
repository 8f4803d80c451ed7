"""CSA Eq. 2-4 as the paper prints them, one entry at a time, for two or more modalities: slow and plain."""

import itertools

import torch
from torch import Tensor


def nearest_mask(label_map: Tensor, c: int, grid: tuple[int, ...], shift: float = 0.0) -> Tensor:
    """M^c on the feature grid: cell i takes voxel floor((i + shift) * size / cells)."""
    mask = torch.zeros(len(label_map), *grid, dtype=torch.float64)
    for cell in itertools.product(range(len(label_map)), *[range(n) for n in grid]):
        where = [int((i + shift) * size / n) for i, size, n in zip(cell[1:], label_map.shape[1:], grid, strict=True)]
        mask[cell] = float(label_map[(cell[0], *where)] == c)
    return mask


def area_mask(label_map: Tensor, c: int, grid: tuple[int, ...]) -> Tensor:
    """M^c as the share of each block, for sizes that are multiples of the grid."""
    mask = torch.zeros(len(label_map), *grid, dtype=torch.float64)
    for cell in itertools.product(range(len(label_map)), *[range(n) for n in grid]):
        steps = [size // n for size, n in zip(label_map.shape[1:], grid, strict=True)]
        block = tuple(slice(i * step, (i + 1) * step) for i, step in zip(cell[1:], steps, strict=True))
        mask[cell] = (label_map[cell[0]][block] == c).double().mean()
    return mask


def center_mask(label_map: Tensor, c: int, grid: tuple[int, ...]) -> Tensor:
    """M^c on the feature grid: each cell takes the voxel in the middle of its block."""
    return nearest_mask(label_map, c, grid, shift=0.5)


def affinity_matrix(F_l: Tensor, F_k: Tensor, mask: Tensor, roi_size: str) -> Tensor:
    """CSA Eq. 2-3: a_{m,n} = (1 / S_c) cos(F_m ⊙ M, F_n ⊙ M), every entry for itself."""
    M, N = F_l.shape[1], F_k.shape[1]
    S = mask.sum() if roi_size == "pixels" else 1.0
    entries = []
    for m in range(M):
        f = (F_l[:, m] * mask).flatten()
        for n in range(N):
            k = (F_k[:, n] * mask).flatten()
            lengths = f.square().sum().sqrt().clamp(min=1e-6) * k.square().sum().sqrt().clamp(min=1e-6)
            entries.append((f * k).sum() / lengths / S)
    return torch.stack(entries).reshape(M, N)


def distance(A1: Tensor, A2: Tensor, consistency: str) -> Tensor:
    """One class's part of CSA Eq. 4."""
    P = A1.numel()
    total = torch.zeros((), dtype=A1.dtype)
    for a1, a2 in zip(A1.flatten(), A2.flatten(), strict=True):
        if consistency == "literal":
            total = total + (a1 - a2) / P
        elif consistency == "elementwise":
            total = total + (a1 - a2) ** 2 / P
        else:
            total = total + ((a1 - a2) / P) ** 2
    return total**2 if consistency == "literal" else total


def cross_fitted_loss(
    modalities: list[tuple[Tensor, Tensor, Tensor]], classes: list[int], consistency: str = "elementwise"
) -> Tensor:
    """<A_a^1 - A_a^2, A_b^1 - A_b^2> / P over the first and the second half of the images: mean over classes and pairs.

    "literal": of the mean entries. Classes that one of the four halves lacks are not compared.
    """
    products = []
    for (F_l, F_k, labels), (G_l, G_k, others) in itertools.combinations(modalities, 2):
        for c in classes:
            differences = []
            for half in (slice(0, len(labels) // 2), slice(len(labels) // 2, None)):
                masks = [nearest_mask(of[half], c, tuple(F_l.shape[2:])) for of in (labels, others)]
                if all(mask.sum() > 0 for mask in masks):
                    A = affinity_matrix(F_l[half], F_k[half], masks[0], "one")
                    differences.append(A - affinity_matrix(G_l[half], G_k[half], masks[1], "one"))
            if len(differences) == 2:
                a, b = differences
                products.append(a.mean() * b.mean() if consistency == "literal" else (a * b).sum() / a.numel())
    return torch.stack(products).mean() if products else torch.zeros((), dtype=torch.float64)


def csa_loss(
    modalities: list[tuple[Tensor, Tensor, Tensor]],
    classes: list[int],
    consistency: str = "elementwise",
    roi_size: str = "one",
    pooling: str = "batch",
    masks: str = "nearest",
    absent: str = "skip",
) -> Tensor:
    """CSA Eq. 4 over every pair of `(F_l, F_k, label_map)` and every class; the mean of the distances compared."""
    make_mask = {"nearest": nearest_mask, "center": center_mask, "area": area_mask}[masks]
    matrices: list[list[Tensor | None]] = []
    for F_l, F_k, label_map in modalities:
        of_modality: list[Tensor | None] = []
        for c in classes:
            mask = make_mask(label_map, c, tuple(F_l.shape[2:]))
            parts = [slice(0, len(mask))] if pooling == "batch" else [slice(i, i + 1) for i in range(len(mask))]
            found = [affinity_matrix(F_l[p], F_k[p], mask[p], roi_size) for p in parts if mask[p].sum() > 0]
            if found:
                of_modality.append(torch.stack(found).mean(dim=0))
            else:
                zero = torch.zeros(F_l.shape[1], F_k.shape[1], dtype=F_l.dtype)
                of_modality.append(zero if absent == "zero" else None)
        matrices.append(of_modality)
    distances = [
        distance(A1, A2, consistency)
        for first, second in itertools.combinations(matrices, 2)
        for A1, A2 in zip(first, second, strict=True)
        if A1 is not None and A2 is not None
    ]
    return torch.stack(distances).mean() if distances else torch.zeros((), dtype=torch.float64)
