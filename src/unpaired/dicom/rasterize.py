"""From contours to voxels and back: the rule by which a polygon holds a pixel, and a mask's outline that obeys it.

A pixel belongs to a polygon if its center lies inside, by the even-odd rule: a ray from it toward higher column numbers
crosses the polygon's edges an odd number of times. A center on an edge belongs to the polygon that lies on the side of
higher columns (along a row: of higher rows), so that of two polygons that share an edge exactly one has it.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

PARTS = 10_000
"""Points are taken to a ten-thousandth of a pixel: less is the rounding of contours written in decimal millimeters."""
AT_ONCE = 2**20
"""So many crossings of edges with rows are computed at a time."""


def fill(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixels (column, row) whose centers lie in a polygon; its points (n, 2) count in columns and rows.

    The polygon is closed by itself and may touch itself: a channel that leads to a hole and back ("keyhole") holds
    nothing. Fewer than three points hold nothing.
    """
    mask = np.zeros(shape, bool)
    if len(polygon) < 3:
        return mask
    ends = _snapped(np.stack([polygon, np.roll(polygon, -1, axis=0)], axis=1))  # edge, end, (column, row)
    ends = np.take_along_axis(ends, ends[..., 1:].argsort(axis=1, kind="stable"), axis=1)  # the same there and back
    (left, top), (right, bottom) = (
        np.clip(np.ceil(f(ends, axis=(0, 1))), 0, shape).astype(int) for f in (np.min, np.max)
    )
    crossings = np.zeros((right - left + 1, bottom - top), np.int32)
    for column, row in _crossings(ends, shape):
        np.add.at(crossings, (column - left, row - top), 1)
    to_the_right = crossings.sum(axis=0) - crossings.cumsum(axis=0)
    mask[left:right, top:bottom] = to_the_right[:-1] % 2
    return mask


def _crossings(ends: np.ndarray, shape: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(column of the first center to the right, row) of the places where edges cross rows of centers, some at a time:
    a million edges from top to bottom cross more rows than fit into memory."""
    (x0, y0), (x1, y1) = ends[:, 0].T, ends[:, 1].T
    columns, rows = shape
    above = np.clip(np.ceil(y0), 0, rows).astype(int)
    counts = np.maximum(np.clip(np.ceil(y1), 0, rows).astype(int) - above, 0)
    piece = counts.cumsum() // AT_ONCE
    for edges in np.split(np.arange(len(ends)), np.flatnonzero(np.diff(piece)) + 1):
        of_edge = counts[edges]
        edge = np.repeat(edges, of_edge)
        row = np.arange(len(edge)) - np.repeat(of_edge.cumsum() - of_edge, of_edge) + above[edge]
        x = _snapped(x0[edge] + (row - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge]))
        yield np.clip(np.ceil(x), 0, columns).astype(int), row


def _snapped(numbers: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(numbers, float) * PARTS) / PARTS


def combine(polygons: Sequence[np.ndarray], shape: tuple[int, int], exclusive: bool) -> np.ndarray:
    """One mask of a region's polygons on a slice, largest first.

    `exclusive` (contours of type CLOSEDPLANAR_XOR): pixels that an odd number of them hold. Else a polygon inside of
    what is there is a hole in it, one beside it a further part, and one that crosses its outline adds to it. Each is
    filled twice rather than kept: the masks of all that a file may hold don't fit into memory.
    """
    region = np.zeros(shape, bool)
    sizes = [int(fill(polygon, shape).sum()) for polygon in polygons] if len(polygons) > 1 else [0]
    for number in np.argsort(np.negative(sizes), kind="stable")[: len(polygons)]:
        mask = fill(polygons[number], shape)
        inside = bool(mask.any()) and bool(region[mask].all())
        region = region ^ mask if exclusive or inside else region | mask
    return region


def outlines(mask: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Of each part of a mask (column, row) its outer polygon and those of its holes, points (n, 2) as columns, rows.

    Points lie halfway between the centers of a pixel inside and one outside, so that `fill` gives the mask back.
    """
    from contourpy import FillType, contour_generator

    padded = np.pad(mask, 1).astype(float).T
    generator = contour_generator(z=padded, fill_type=FillType.OuterOffset)
    for points, offsets in zip(*generator.filled(0.5, 2.0), strict=True):
        rings = (points[start:stop] for start, stop in pairwise(offsets))
        yield [_corners(ring[:-1] - 1) for ring in rings]


def _corners(ring: np.ndarray) -> np.ndarray:
    """A ring without the points that lie on a straight line between their neighbors."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return ring[turns]


def keyhole(rings: Sequence[np.ndarray]) -> np.ndarray:
    """One polygon of an outer ring and its holes: each joined to what is there by the shortest channel, of no width.

    That is how PS3.3 C.8.8.6.3 writes a region with holes as one contour.
    """
    from scipy.spatial import KDTree

    joined = rings[0]
    for hole in sorted(rings[1:], key=lambda ring: -float(ring[:, 0].max())):
        distances, nearest = KDTree(joined).query(hole)
        start = int(distances.argmin())
        at, around = int(np.asarray(nearest)[start]), np.roll(hole, -start, axis=0)
        joined = np.concatenate([joined[: at + 1], around, around[:1], joined[at:]])
    return joined
