"""Mean teacher's consistency and moving average, and cross pseudo supervision, as plain loops over voxels."""

import math
from collections.abc import Sequence

import numpy as np


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over axis 1 of (batch, class, *spatial), voxel by voxel: rows (voxel, class)."""
    rows = np.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1])
    found = []
    for row in rows:
        exponentials = [math.exp(value - max(row)) for value in row]
        found.append([value / sum(exponentials) for value in exponentials])
    return np.array(found)


def squared(student: np.ndarray, teacher: np.ndarray) -> float:
    """The mean over voxels and classes of the squared difference of probabilities."""
    differences = []
    for p, q in zip(probabilities(student), probabilities(teacher), strict=True):
        differences += [(a - b) ** 2 for a, b in zip(p, q, strict=True)]
    return sum(differences) / len(differences)


def divergence(student: np.ndarray, teacher: np.ndarray) -> float:
    """The mean over voxels of KL(teacher || student)."""
    found = []
    for p, q in zip(probabilities(student), probabilities(teacher), strict=True):
        found.append(sum(b * math.log(b / a) for a, b in zip(p, q, strict=True)))
    return sum(found) / len(found)


def pseudo_supervision(logits: np.ndarray, other: np.ndarray) -> float:
    """The mean over voxels of minus the log-probability of the class that the other network finds likeliest."""
    found = []
    for p, q in zip(probabilities(logits), probabilities(other), strict=True):
        label = max(range(len(q)), key=lambda c: q[c])
        found.append(-math.log(p[label]))
    return sum(found) / len(found)


def moving_average(first: float, weights: Sequence[float], decay: float) -> float:
    """The teacher's weight after the student went through `weights`: theta' <- alpha theta' + (1 - alpha) theta."""
    teacher = first
    for step, theta in enumerate(weights, start=1):
        alpha = min(1 - 1 / (step + 1), decay)
        teacher = alpha * teacher + (1 - alpha) * theta
    return teacher


def rise(progress: float, length: float) -> float:
    """exp(-5 (1 - t)^2), t the share of the rise that is done; then 1."""
    t = min(progress / length, 1.0)
    return math.exp(-5.0 * (1.0 - t) * (1.0 - t))
