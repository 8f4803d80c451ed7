"""Canvas: implicit shapes painted on any oblique grid, with soft edges (partial volume) and a hard label map.

A shape is a signed distance in mm (negative inside). Painting in order from outside to inside needs no boolean
algebra; each shape is evaluated only in the box of voxels it can reach. Shapes become organic because the points
themselves are displaced by a smooth random field before any distance is taken.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Box = tuple[slice, slice, slice]
Number = int | float
Point = Sequence[Number] | np.ndarray


class Waves:
    """A Gaussian random field of mean 0 and standard deviation 1: a sum of plane waves, fixed in world coordinates.

    Evaluating it on a grid is one matrix product, because a plane wave is an outer product along the grid's axes.
    """

    def __init__(self, rng: np.random.Generator, shortest_mm: Number, longest_mm: Number, count: int = 24) -> None:
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), size=(count, 1)))
        self.vectors = 2 * np.pi * directions / lengths
        self.phases = rng.uniform(0, 2 * np.pi, size=count)

    def on(self, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
        """The field at every voxel center of a grid, float32 of `shape`."""
        steps = self.vectors @ affine[:3, :3]
        start = self.vectors @ affine[:3, 3] + self.phases
        first, second, third = (
            np.exp(1j * steps[:, axis, None] * np.arange(shape[axis])).astype(np.complex64) for axis in range(3)
        )
        plane = (
            np.exp(1j * start)[:, None, None].astype(np.complex64) * first[:, :, None] * second[:, None, :]
        ).reshape(len(start), -1)
        field = plane.real.T @ third.real - plane.imag.T @ third.imag
        return (field * np.float32(np.sqrt(2 / len(start)))).reshape(shape)


def ellipsoid(points: np.ndarray, center: Point, semiaxes: Point, axes: np.ndarray | None = None) -> np.ndarray:
    """Signed distance in mm (first order near the surface) of points (3, ...) to an ellipsoid.

    `axes`: rows are the directions of the three semi-axes (default: the world's).
    """
    semiaxes = np.asarray(semiaxes, np.float32)
    offset = points - np.asarray(center, np.float32).reshape((3,) + (1,) * (points.ndim - 1))
    directions = np.eye(3, dtype=np.float32) if axes is None else axes.astype(np.float32)
    scaled = np.tensordot(directions / semiaxes[:, None], offset, 1)
    squares = scaled * scaled
    radius = np.sqrt(squares.sum(0)) + np.float32(1e-6)
    slope = np.sqrt(np.tensordot(1 / semiaxes**2, squares, 1)) + np.float32(1e-6)
    # The gradient vanishes at the center, where the quotient would understate how far inside a point is.
    return np.maximum((radius - 1) * radius / slope, -semiaxes.min())


def tube(points: np.ndarray, start: Point, stop: Point, start_mm: Number, stop_mm: Number | None = None) -> np.ndarray:
    """Signed distance in mm of points (3, ...) to a capsule whose radius runs from `start_mm` to `stop_mm`."""
    begin, axis = np.asarray(start, np.float32), np.asarray(stop, np.float32) - np.asarray(start, np.float32)
    offset = points - begin.reshape((3,) + (1,) * (points.ndim - 1))
    # What tensordot does, which takes longer to say so than to do it: a chest has hundreds of short vessels.
    along = np.dot(axis[None], offset.reshape(3, -1)).reshape(points.shape[1:])
    along = (along / np.float32(axis @ axis)).clip(0, 1)
    offset -= axis.reshape((3,) + (1,) * (points.ndim - 1)) * along
    radius = start_mm + (0.0 if stop_mm is None else stop_mm - start_mm) * along
    return np.sqrt((offset * offset).sum(0)) - radius.astype(np.float32)


class Canvas:
    """An image and a label map under construction, on the grid (`shape`, `affine` voxel -> RAS+ mm).

    `values` gives each tissue's signal. An edge is blurred over `edge_mm` (the voxel's width), which is partial
    volume without supersampling.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        affine: np.ndarray,
        values: Mapping[str, float],
        edge_mm: float,
        displacement: Sequence[Waves] = (),
        displacement_mm: float = 0.0,
    ) -> None:
        self.values, self.edge_mm, self.affine = values, edge_mm, affine
        grid = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in shape), indexing="ij", sparse=True)
        self.points = np.empty((3, *shape), np.float32)
        for axis, row in enumerate(affine[:3].astype(np.float32)):
            self.points[axis] = row[0] * grid[0] + row[1] * grid[1] + row[2] * grid[2] + row[3]
        for axis, waves in enumerate(displacement):
            self.points[axis] += np.float32(displacement_mm) * waves.on(shape, affine)
        self.image = np.full(shape, values["air"], np.float32)
        self.labels = np.zeros(shape, np.uint8)
        self._margin_mm = edge_mm + 3 * displacement_mm
        self._inverse = np.linalg.inv(affine)
        self._voxels_per_mm = np.linalg.norm(self._inverse[:3, :3], axis=1)

    def box(self, center: Point, radius_mm: Number) -> Box | None:
        """The voxels that a shape within `radius_mm` of `center` can touch; None if it lies outside the grid."""
        middle = self._inverse[:3, :3] @ np.asarray(center, float) + self._inverse[:3, 3]
        reach = self._voxels_per_mm * (radius_mm + self._margin_mm)
        low = np.maximum(np.floor(middle - reach), 0).astype(int)
        high = np.minimum(np.ceil(middle + reach) + 1, self.image.shape).astype(int)
        if (low >= high).any():
            return None
        return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])

    def everywhere(self) -> Box:
        """The box of the whole grid."""
        return slice(None), slice(None), slice(None)

    def paint(
        self, box: Box, distance: np.ndarray, tissue: str, label: int | None = 0, outline: np.ndarray | None = None
    ) -> None:
        """Paint `tissue` where `distance` < 0, and `label` (None: leave the labels as they are).

        `outline` is the distance that the label follows if it differs (an annotator's smooth contour around a
        trabeculated wall).
        """
        amount = (np.float32(0.5) - distance / np.float32(self.edge_mm)).clip(0, 1)
        image = self.image[box]
        image += amount * (np.float32(self.values[tissue]) - image)
        if label is not None:
            self.labels[box][(distance if outline is None else outline) < 0] = label

    def ellipsoid(
        self, tissue: str, center: Point, semiaxes: Point, label: int | None = 0, axes: np.ndarray | None = None
    ) -> None:
        """Paint an ellipsoid."""
        box = self.box(center, float(np.max(semiaxes)))
        if box is not None:
            self.paint(box, ellipsoid(self.points[:, *box], center, semiaxes, axes), tissue, label)

    def tube(
        self, tissue: str, path: Sequence[Point], radii_mm: Number | Sequence[Number], label: int | None = 0
    ) -> None:
        """Paint a tube along a polyline, with one radius or one radius per point of the path."""
        radii = [radii_mm] * len(path) if isinstance(radii_mm, int | float) else list(radii_mm)
        for start, stop, begin, end in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
            first, last = np.asarray(start, float), np.asarray(stop, float)
            box = self.box((first + last) / 2, float(np.linalg.norm(last - first) / 2 + max(begin, end)))
            if box is not None:
                self.paint(box, tube(self.points[:, *box], first, last, begin, end), tissue, label)
