"""How much surface lies between the voxels around a corner of the voxel grid, from the geometry of marching cubes.

A corner where voxels meet has 4 (2D) or 8 (3D) voxels around it; which of them belong to the mask is its code, a bit
per voxel. Between voxels that do and voxels that don't, the surface cuts the line from center to center in its middle.
The cuts join to line pieces (2D) or polygons (3D). Where a face has mask and background at opposite corners, the
choice is open: the rarer of the two stays apart, so that a code and its complement have the same surface. A polygon
that isn't flat is cut into the triangles with the largest area on a cube. Both choices are those of the table in
DeepMind's `surface-distance`, so that areas are equal.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

Corner = tuple[int, ...]
Cut = frozenset[Corner]
"""The two voxels, one in the mask and one not, between which the surface passes."""


def area_table(spacing_mm: Sequence[float]) -> np.ndarray:
    """The surface inside a cell, by code: length in mm (2D, 16 codes) or area in mm^2 (3D, 256 codes).

    The bit of the voxel at offset (i, j, k), each 0 or 1, is `bit_of`'s. Codes of no or all voxels have none.
    """
    return _area_table(tuple(float(size) for size in spacing_mm)).copy()


@cache
def _area_table(spacing_mm: tuple[float, ...]) -> np.ndarray:
    if len(spacing_mm) == 1:  # a line of voxels: each change between mask and background counts one
        return np.array([0.0, 1.0, 1.0, 0.0])
    spacing = np.asarray(spacing_mm, dtype=float)
    # An element's measure along each axis scales with the other axes' spacing (3D) or with its own (2D).
    scale = spacing if len(spacing) == 2 else np.prod(spacing) / spacing
    pieces = _line_pieces if len(spacing) == 2 else _triangles
    count = 2 ** len(_corners(len(spacing)))
    return np.array([sum(float(np.linalg.norm(piece * scale)) for piece in pieces(code)) for code in range(count)])


def bit_of(offset: Corner) -> int:
    """The bit in a code of the voxel at an offset of 0 or 1 along each axis."""
    return 1 << sum(step << place for place, step in enumerate(reversed(offset)))


@cache
def _corners(dimension: int) -> tuple[Corner, ...]:
    return tuple(itertools.product((0, 1), repeat=dimension))


def _mask(code: int, dimension: int) -> dict[Corner, bool]:
    """Which voxels of a code are in the rarer part; of a code and its complement, the same."""
    corners = _corners(dimension)
    rare = code.bit_count() <= len(corners) // 2
    return {corner: bool(code & bit_of(corner)) == rare for corner in corners}


@cache
def _line_pieces(code: int) -> tuple[np.ndarray, ...]:
    """The line pieces of a 2D code as vectors, on a square of size 1."""
    ring = ((0, 0), (0, 1), (1, 1), (1, 0))
    mask = _mask(code, 2)
    return tuple(_middle(first) - _middle(second) for first, second in _joined(ring, mask))


@cache
def _triangles(code: int) -> tuple[np.ndarray, ...]:
    """The triangles of a 3D code as area vectors (normal times area), on a cube of size 1."""
    smallest = []
    for polygon in _polygons(_mask(code, 3)):
        choices = [[_area_vector(polygon, corners) for corners in cut] for cut in _triangulations(0, len(polygon) - 1)]
        smallest += max(choices, key=lambda triangles: round(sum(np.linalg.norm(area) for area in triangles), 9))
    return tuple(smallest)


def _joined(ring: Sequence[Corner], mask: dict[Corner, bool]) -> Iterator[tuple[Cut, Cut]]:
    """The pairs of cuts that are joined across a face whose corners are `ring`, in order."""
    cuts = [Cut((corner, ring[(index + 1) % 4])) for index, corner in enumerate(ring)]
    crossed = [index for index in range(4) if mask[ring[index]] != mask[ring[(index + 1) % 4]]]
    if len(crossed) == 2:
        yield cuts[crossed[0]], cuts[crossed[1]]
    elif len(crossed) == 4:  # opposite corners: each of the mask's is cut off on its own
        for index in range(4):
            if mask[ring[index]]:
                yield cuts[index - 1], cuts[index]


def _polygons(mask: dict[Corner, bool]) -> Iterator[list[np.ndarray]]:
    """The closed polygons around a cell: cuts joined over all six faces, as points."""
    neighbors: dict[Cut, list[Cut]] = {}
    for axis, side in itertools.product(range(3), (0, 1)):
        square = ((0, 0), (0, 1), (1, 1), (1, 0))
        ring = [(*corner[:axis], side, *corner[axis:]) for corner in square]
        for first, second in _joined(ring, mask):
            neighbors.setdefault(first, []).append(second)
            neighbors.setdefault(second, []).append(first)
    while neighbors:
        cut: Cut | None = min(neighbors, key=sorted)
        polygon = []
        while cut is not None:
            polygon.append(_middle(cut))
            following = neighbors.pop(cut)
            cut = next((other for other in following if other in neighbors), None)
        yield polygon


def _triangulations(first: int, last: int) -> list[list[Corner]]:
    """Every way to cut the polygon of the points `first`..`last` into triangles."""
    if last - first < 2:
        return [[]]
    return [
        [*left, *right, (first, middle, last)]
        for middle in range(first + 1, last)
        for left in _triangulations(first, middle)
        for right in _triangulations(middle, last)
    ]


def _area_vector(points: Sequence[np.ndarray], corners: Corner) -> np.ndarray:
    first, second, third = (points[corner] for corner in corners)
    return np.cross(second - first, third - first) / 2


def _middle(cut: Cut) -> np.ndarray:
    return np.mean([np.array(corner) for corner in cut], axis=0)
