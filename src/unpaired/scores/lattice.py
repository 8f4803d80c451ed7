"""Exact distances between two sets of points of a voxel grid: near ones by looking around, far ones by a k-d tree.

Surfaces of a prediction and a reference mostly lie within a voxel or two of each other. So each point first looks at
the grid points around it, nearest first, which are a few steps in memory away; the first hit is its nearest. Only
points with no neighbor that close ask a k-d tree. Both answers are exact, and which of them was asked changes nothing.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

AROUND = 100
"""At most so many neighbors are looked at before the tree is asked."""
WIDTH = {1: 8, 2: 6, 3: 4}
"""{dimension: how far away, in the finest voxels, a neighbor may be}."""
WORTH = 1 / 1000
"""Looking at one more neighbor costs this share of a question to the tree; it has to find that share of the points."""


class Lattice:
    """A grid of `shape` with `spacing_mm` per axis, kept as flat memory with empty points around it.

    Behind each axis lie as many empty points as the search looks far, so that a step to a neighbor is one number added
    to a flat position, at the border as well.
    """

    def __init__(self, shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
        self.shape = tuple(shape)
        self.spacing_mm = tuple(float(size) for size in spacing_mm)
        moves, lengths = _neighbors(self.spacing_mm)
        self.margins = tuple(max(1, int(reach)) for reach in np.abs(moves).max(axis=0))
        self.padded = tuple(size + margin for size, margin in zip(self.shape, self.margins, strict=True))
        self.strides = tuple(math.prod(self.padded[axis + 1 :]) for axis in range(len(self.padded)))
        self.lead = sum(margin * stride for margin, stride in zip(self.margins, self.strides, strict=True))
        self.size = math.prod(self.padded)
        # [(distance, steps in flat memory to the neighbors that far)], nearest first
        self.shells: list[tuple[float, list[int]]] = []
        for length, step in zip(lengths.tolist(), (moves @ np.array(self.strides)).tolist(), strict=True):
            if not self.shells or self.shells[-1][0] != length:
                self.shells.append((length, []))
            self.shells[-1][1].append(step)

    def place(self, array: np.ndarray) -> np.ndarray:
        """`array`, no larger than the grid, at the grid's origin in flat memory with empty points around it."""
        flat = self.empty(array.dtype)
        grid = self.core(flat).reshape(self.padded)
        grid[tuple(slice(0, size) for size in array.shape)] = array
        return flat

    def empty(self, dtype: np.dtype | type) -> np.ndarray:
        """Flat memory of the grid and its margins, zero."""
        return np.zeros(self.size + 2 * self.lead, dtype)

    def core(self, flat: np.ndarray, step: int = 0) -> np.ndarray:
        """A view of the grid's own part of `flat`, or of every point's neighbor `step` further on."""
        return flat[self.lead + step : self.lead + step + self.size]

    def distances(self, points: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The distance in mm of each of `points` (positions in `core`) to the nearest nonzero point of `targets`.

        `targets` is boolean flat memory of this lattice with at least one nonzero point, none of them in `points`.
        """
        nearest = np.empty(len(points))
        left, places = np.arange(len(points)), points + self.lead
        for distance, steps in self.shells:
            if not len(left):
                return nearest
            hit = targets.take(places + steps[0])
            for step in steps[1:]:
                hit |= targets.take(places + step)
            nearest[left[hit]] = distance
            before = len(left)
            np.logical_not(hit, out=hit)
            left, places = left[hit], places[hit]
            if before - len(left) < WORTH * len(steps) * before:
                break
        if len(left):
            # Made for points that are far off: with large leaves and loose boxes 1.5 times as fast as scipy's.
            surface = self._positions(np.flatnonzero(self.core(targets)))
            tree = KDTree(surface, leafsize=48, compact_nodes=False, balanced_tree=False)
            nearest[left] = tree.query(self._positions(points[left]))[0]
        return nearest

    def _positions(self, points: np.ndarray) -> np.ndarray:
        """Positions in mm of flat positions in `core`: (points, axes)."""
        positions = np.empty((len(points), len(self.shape)))
        for axis, index in enumerate(np.unravel_index(points, self.padded)):
            positions[:, axis] = index * self.spacing_mm[axis]
        return positions


def _neighbors(spacing_mm: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The moves (neighbors, axes) in voxels to the nearest neighbors of a point and their lengths in mm, nearest first.

    They are complete: no neighbor that is left out is nearer than one that is there.
    """
    reach = (WIDTH[len(spacing_mm)] + 1) * min(spacing_mm)
    axes = [np.arange(-count, count + 1) for count in (math.ceil(reach / size) for size in spacing_mm)]
    moves = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    lengths = np.sqrt(((moves * spacing_mm) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")[1:]  # without the point itself
    moves, lengths = moves[order], lengths[order]
    count = int(np.searchsorted(lengths, reach * (1 - 1e-9)))
    if count > AROUND:  # whole shells only; equal lengths may differ in their last digit
        count = int(np.searchsorted(lengths, lengths[AROUND] * (1 - 1e-9)))
    return moves[:count], lengths[:count]
