"""Affinity matrices of several modalities laid beside each other: an order in which their structure shows, and how far
they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

from unpaired.errors import InputError

Matrices = Sequence[Sequence[np.ndarray | None]]
"""A^c (M, N) for each modality and, in it, each class; None where the modality's cases lack the class."""


@dataclass(frozen=True)
class Disagreement:
    """How far the modalities' matrices of one class are apart; None where fewer than two modalities have the class.

    `elementwise` is the mean squared difference of entries, `literal` the squared difference of the mean entries (what
    CSA Eq. 4 prints); both are means over all pairs of modalities.
    """

    elementwise: float | None
    literal: float | None


def disagreements(matrices: Matrices) -> list[Disagreement]:
    """The `Disagreement` of each class. Raises InputError if matrices of a class differ in shape."""
    of_classes: list[Disagreement] = []
    for of_class in zip(*matrices, strict=True):
        present = [matrix for matrix in of_class if matrix is not None]
        if len({matrix.shape for matrix in present}) > 1:
            raise InputError(
                f"expected matrices of one shape, got {', '.join(str(matrix.shape) for matrix in present)}"
            )
        if len(present) < 2:
            of_classes.append(Disagreement(None, None))
            continue
        stack = np.stack(present).astype(np.float64)
        pairs = len(present) * (len(present) - 1) / 2
        elementwise = len(present) * ((stack - stack.mean(axis=0)) ** 2).sum() / pairs / stack[0].size
        means = stack.mean(axis=(1, 2))
        literal = len(present) * ((means - means.mean()) ** 2).sum() / pairs
        of_classes.append(Disagreement(float(elementwise), float(literal)))
    return of_classes


def differences(matrices: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    """Of two modalities the first's matrix minus the second's, of more each minus the mean of all; None where there is
    nothing to subtract."""
    present = [matrix for matrix in matrices if matrix is not None]
    across = 1 if len(matrices) == 2 else len(matrices)
    if len(present) < 2:
        return [None] * across
    if across == 1:
        return [present[0] - present[1]]
    mean = np.mean(present, axis=0)
    return [None if matrix is None else matrix - mean for matrix in matrices]


def channel_order(matrices: Matrices) -> tuple[np.ndarray, np.ndarray]:
    """Rows (channels of layer l) and columns (of layer k) in an order that puts like beside like.

    Rows are clustered by their entries in all matrices laid side by side (average linkage of Euclidean distances) and
    the tree's leaves are turned so that neighbors are as close as can be; so are the columns. Without any matrix both
    are empty.
    """
    present = [matrix for of_modality in matrices for matrix in of_modality if matrix is not None]
    if not present:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    return _seriated(np.concatenate(present, axis=1)), _seriated(np.concatenate(present, axis=0).T)


def _seriated(rows: np.ndarray) -> np.ndarray:
    if len(rows) < 3:
        return np.arange(len(rows))
    tree = linkage(rows, method="average")
    return leaves_list(optimal_leaf_ordering(tree, rows)).astype(np.intp)
