"""Exact distances between two sets of points of a voxel grid: near ones by looking around, far ones by a k-d tree.

Surfaces of a prediction and a reference mostly lie within a voxel or two of each other. So each point first looks at
the grid points around it, nearest first, which are a few steps in memory away; the first hit is its nearest. Only
points with no neighbor that close ask a k-d tree. Both answers are exact, and which of them was asked changes nothing.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.spatial import KDTree

STEPS = {1: 8, 2: 4, 3: 2}
"""By dimension: how many of the finest voxels a point looks around itself before it asks the tree."""
WORTH = 1 / 400
"""Looking at one more neighbor costs this share of a question to the tree; it has to find that share of the points."""


class Lattice:
    """A grid of `shape` with `spacing_mm` per axis, kept as flat memory with empty points around it.

    Behind each axis lie as many empty points as the search looks far, so that a step to a neighbor is one number added
    to a flat position, at the border as well.
    """

    def __init__(self, shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
        self.shape = tuple(shape)
        self.spacing_mm = tuple(float(size) for size in spacing_mm)
        self.reach = (STEPS[len(self.shape)] + 1) * min(self.spacing_mm)
        self.margins = tuple(max(1, math.ceil(self.reach / size) - 1) for size in self.spacing_mm)
        self.padded = tuple(size + margin for size, margin in zip(self.shape, self.margins, strict=True))
        self.strides = tuple(math.prod(self.padded[axis + 1 :]) for axis in range(len(self.padded)))
        self.lead = sum(margin * stride for margin, stride in zip(self.margins, self.strides, strict=True))
        self.size = math.prod(self.padded)

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

        `targets` is boolean flat memory of this lattice and has at least one nonzero point.
        """
        found = np.empty(len(points))
        left, places = np.arange(len(points)), points + self.lead
        for distance, steps in self._shells:
            if not len(left):
                break
            hit = targets[places + steps[0]]
            for step in steps[1:]:
                hit |= targets[places + step]
            found[left[hit]] = distance
            np.logical_not(hit, out=hit)
            missing = int(np.count_nonzero(hit))
            hopeless = len(left) - missing < WORTH * len(steps) * len(left)
            left, places = left[hit], places[hit]
            if hopeless:
                break
        if len(left):
            # Surface voxels lie on a grid: unbalanced splits with large leaves are 1.5 times faster than the defaults.
            tree = KDTree(self._positions(np.flatnonzero(self.core(targets))), leafsize=24, balanced_tree=False)
            found[left] = tree.query(self._positions(points[left]))[0]
        return found

    def _positions(self, points: np.ndarray) -> np.ndarray:
        """Positions in mm of flat positions in `core`: (points, axes)."""
        positions = np.empty((len(points), len(self.shape)))
        for axis, index in enumerate(np.unravel_index(points, self.padded)):
            positions[:, axis] = index * self.spacing_mm[axis]
        return positions

    @cached_property
    def _shells(self) -> list[tuple[float, list[int]]]:
        """[(distance, steps in flat memory to the neighbors that far)] up to, not including, `reach`; nearest first."""
        axes = [np.arange(-margin, margin + 1) for margin in self.margins]
        moves = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
        lengths = np.sqrt(((moves * self.spacing_mm) ** 2).sum(axis=1))
        steps = moves @ np.array(self.strides)
        shells: dict[float, list[int]] = {}
        for index in np.argsort(lengths, kind="stable"):
            if lengths[index] < self.reach:
                shells.setdefault(float(lengths[index]), []).append(int(steps[index]))
        return list(shells.items())
