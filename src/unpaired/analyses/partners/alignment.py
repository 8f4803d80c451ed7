"""Where a partner's scan lies beside a case's, and how to put it out of place on purpose.

A network that fuses modalities (CMC) looks at a case and at a partner's scan of another modality together, voxel by
voxel. What belongs together is decided here, once: the partner is brought to the case's prepared grid, and windows are
then cut from both at the same places.

    one patient       through scanner coordinates, where the two scans overlap there and, for slices, face one way
    other patients    the middles of the prepared volumes coincide, in mm and along the prepared axes. For slices, depth
                      is relative: the ends of the stacks coincide, so that each slice has a partner

A network of slices gets whole slices of the partner, the nearest along depth: two thick slices averaged are a picture
that it never saw. A network of volumes gets trilinear values. Beyond the partner's scan is its lowest value, as in
preparation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from zlib import crc32

import numpy as np
from scipy import ndimage

from unpaired.data.case import Geometry, UnlabeledCase
from unpaired.errors import InputError, nearest

Alignment = Literal["scanner", "centers"]
Missing = Literal["nearest", "blank"]
SHARE_COVERED = 0.5
"""The share of a case that its partner has to cover in scanner coordinates; with less, its header can't be right."""
SAME_DIRECTION = 0.87
"""The cosine (30 degrees) up to which slices of two scans face one way."""
HALF_VOXEL = 0.5 + 1e-6


@dataclass(frozen=True)
class Misalignment:
    """How far a partner is out of place: moved by a rigid motion about the case's middle, slices missing.

    The direction of a shift and the axis of a rotation are drawn per pair of scans: within the slice for networks of
    slices, anywhere in space for volumes. Raises InputError for an amount below 0, above 180 degrees or
    above a share of 1.
    """

    shift_mm: float = 0.0
    rotation_degrees: float = 0.0
    missing_share: float = 0.0
    """Of the partner's slices, drawn at random; larger shares miss the same ones and more. One always stays."""
    missing: str = "nearest"
    """What stands in for a missing slice. "nearest": the nearest one that is there; "blank": the lowest value."""

    def __post_init__(self) -> None:
        for name, most in (("shift_mm", np.inf), ("rotation_degrees", 180.0), ("missing_share", 1.0)):
            value = getattr(self, name)
            if not (np.isfinite(value) and 0 <= value <= most):
                limit = f" and at most {most:g}" if np.isfinite(most) else ""
                raise InputError(f"misalignment.{name}: expected 0 or more{limit}, got {value:g}")
        if self.missing not in get_args(Missing):
            raise InputError(f"missing slices {self.missing!r}: {nearest(self.missing, list(get_args(Missing)))}")


ALIGNED = Misalignment()


@dataclass(frozen=True)
class Placed:
    """A partner's volume on the case's prepared grid (depth, height, width), float32, and how it got there."""

    volume: np.ndarray
    alignment: Alignment


def place(
    partner: UnlabeledCase, case: UnlabeledCase, spatial_dims: int, misalignment: Misalignment = ALIGNED, seed: int = 0
) -> Placed:
    """The partner's scan on the case's grid; both prepared alike. `spatial_dims` is 2 for networks of slices.

    The same seed, case and partner's modality draw the same directions and slices, for every amount.
    """
    flat = spatial_dims == 2
    rng = np.random.default_rng([seed, crc32(case.id.encode()), crc32(partner.modality.encode())])
    motion = _motion(misalignment, flat, rng)
    volume = without_slices(partner.volume, misalignment.missing_share, misalignment.missing, rng)
    matrix = _through_scanner(partner, case, flat, motion)
    alignment: Alignment = "centers" if matrix is None else "scanner"
    if matrix is None:
        matrix = _through_centers(partner.geometry, case.geometry, flat, motion)
    return Placed(_sampled(volume, matrix, case.geometry.grid, flat), alignment)


def without_slices(volume: np.ndarray, share: float, missing: str, rng: np.random.Generator) -> np.ndarray:
    """A volume (depth, height, width) of which `share` of the slices, rounded, are replaced; one always stays."""
    depth = len(volume)
    order = rng.permutation(depth)
    gone = order[: min(round(share * depth), depth - 1)]
    result = volume.copy()
    if missing == "blank":
        result[gone] = volume.min()
        return result
    there = np.setdiff1d(np.arange(depth), gone)
    for index in gone:
        result[index] = volume[there[np.abs(there - index).argmin()]]
    return result


def _motion(misalignment: Misalignment, flat: bool, rng: np.random.Generator) -> np.ndarray:
    """(4, 4) in mm along the case's (depth, height, width), about its middle: where the content of a place comes from.

    The partner is turned, then shifted; this is the inverse.
    """
    direction, axis = _direction(rng), _direction(rng)
    if flat:
        direction[0] = 0
        direction /= np.linalg.norm(direction)
        axis = np.array([1.0 if axis[0] > 0 else -1.0, 0.0, 0.0])
    inverse = np.eye(4)
    inverse[:3, :3] = _rotation(axis, np.radians(misalignment.rotation_degrees)).T
    inverse[:3, 3] = -inverse[:3, :3] @ (direction * misalignment.shift_mm)
    return inverse


def _direction(rng: np.random.Generator) -> np.ndarray:
    """A unit vector, every direction equally likely."""
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def _rotation(axis: np.ndarray, radians: float) -> np.ndarray:
    """(3, 3) turn about a unit axis (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(radians) * cross + (1 - np.cos(radians)) * cross @ cross


def _from_middle(geometry: Geometry) -> np.ndarray:
    """(4, 4): mm from the middle of the prepared volume, along its axes -> prepared voxel."""
    matrix = np.diag([*(1 / np.array(geometry.spacing_mm)), 1.0])
    matrix[:3, 3] = (np.array(geometry.grid) - 1) / 2
    return matrix


def _through_centers(partner: Geometry, case: Geometry, flat: bool, motion: np.ndarray) -> np.ndarray:
    """(4, 4): the case's prepared voxel -> the partner's."""
    stretch = np.eye(4)
    if flat:
        stretch[0, 0] = partner.grid[0] * partner.spacing_mm[0] / (case.grid[0] * case.spacing_mm[0])
    return _from_middle(partner) @ stretch @ motion @ np.linalg.inv(_from_middle(case))


def _through_scanner(partner: UnlabeledCase, case: UnlabeledCase, flat: bool, motion: np.ndarray) -> np.ndarray | None:
    """(4, 4) as in `_through_centers`; None for other patients and where scanner coordinates can't be trusted."""
    if partner.patient != case.patient:
        return None
    case_affine, partner_affine = (np.asarray(scan.geometry.prepared_affine) for scan in (case, partner))
    if flat and _unit(case_affine[:3, 0]) @ _unit(partner_affine[:3, 0]) < SAME_DIRECTION:
        return None
    to_partner = np.linalg.inv(partner_affine) @ case_affine
    if _share_inside(to_partner, case.geometry.grid, partner.geometry.grid) < SHARE_COVERED:
        return None
    middle = _from_middle(case.geometry)
    return to_partner @ middle @ motion @ np.linalg.inv(middle)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _share_inside(matrix: np.ndarray, grid: Sequence[int], target: Sequence[int]) -> float:
    """The share of a grid's voxels (at most twelve looked at along each axis) that lie in the other one."""
    axes = (np.unique(np.linspace(0, count - 1, 12).round()) for count in grid)
    places = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    return float(_inside(matrix[:3, :3] @ places + matrix[:3, 3:], target).mean())


def _inside(places: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Which places (3, ...), in voxels, lie in a volume of this shape; the outer half of its outer voxels does."""
    ends = np.array(shape).reshape(3, *[1] * (places.ndim - 1))
    return np.all((places >= -HALF_VOXEL) & (places <= ends - 1 + HALF_VOXEL), axis=0)


def _sampled(volume: np.ndarray, matrix: np.ndarray, grid: Sequence[int], flat: bool) -> np.ndarray:
    """The volume's values at the places that a grid's voxels have there; plane by plane, so that memory stays small."""
    result = np.full(tuple(grid), volume.min(), np.float32)
    rows, columns = np.meshgrid(*(np.arange(count, dtype=float) for count in grid[1:]), indexing="ij")
    middle = [(count - 1) / 2 for count in grid[1:]]
    in_plane = np.tensordot(matrix[:3, 1:3], np.stack([rows, columns]), 1) + matrix[:3, 3].reshape(3, 1, 1)
    for depth, plane in enumerate(result):
        places = in_plane + depth * matrix[:3, 0].reshape(3, 1, 1)
        if flat:
            places[0] = np.rint(matrix[0] @ [depth, *middle, 1] - 1e-6)
        inside = _inside(places, volume.shape)
        places = places[:, inside].round(6)  # a place on a voxel is that voxel, whatever rounding made of it
        plane[inside] = ndimage.map_coordinates(volume, places, order=1, mode="nearest")
    return result
