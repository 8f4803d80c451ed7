"""Distances between the surfaces of two masks, in millimeters, computed once; every surface score reads the same ones.

The surface is `voxel`: the mask's voxels that have a background voxel among their 6 (3D) or 4 (2D) neighbors; beyond
the volume there is background. Distances run between voxel centers and are exact (k-d tree).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unpaired.errors import InputError
from unpaired.scores.lattice import Lattice

HEADER_ROUNDING = 1 + 1e-6
"""Headers hold spacing in 32 bits: what is 0.3 mm away by them is 0.30000001 mm, and still within 0.3 mm."""


@dataclass(frozen=True)
class SurfaceDistances:
    """For each surface voxel of one mask, the distance in mm to the nearest surface voxel of the other. Never empty."""

    prediction_to_reference: np.ndarray
    reference_to_prediction: np.ndarray

    @property
    def hausdorff(self) -> float:
        """Hausdorff distance (HD): the larger of the two directed maxima, in mm."""
        return float(max(self.prediction_to_reference.max(), self.reference_to_prediction.max()))

    @property
    def hausdorff_95(self) -> float:
        """HD95: the larger of the two directed 95th percentiles (linear interpolation), in mm."""
        directed = (self.prediction_to_reference, self.reference_to_prediction)
        return float(max(np.percentile(distances, 95) for distances in directed))

    def pooled_percentile(self, percent: float) -> float:
        """A percentile of both directions' distances pooled (medpy's HD95, for one), in mm: not our HD95."""
        return float(
            np.percentile(np.concatenate([self.prediction_to_reference, self.reference_to_prediction]), percent)
        )

    @property
    def assd(self) -> float:
        """Average symmetric surface distance: the mean over both surfaces' distances pooled, in mm."""
        count = self.prediction_to_reference.size + self.reference_to_prediction.size
        return float((self.prediction_to_reference.sum() + self.reference_to_prediction.sum()) / count)

    @property
    def masd(self) -> float:
        """Mean average surface distance: the mean of the two directed means, in mm."""
        return float((self.prediction_to_reference.mean() + self.reference_to_prediction.mean()) / 2)

    def surface_dice(self, tolerance_mm: float) -> float:
        """NSD@t, normalized surface Dice: the share of both surfaces within `tolerance_mm` of the other."""
        directed = (self.prediction_to_reference, self.reference_to_prediction)
        within = sum(int(np.count_nonzero(distances <= tolerance_mm * HEADER_ROUNDING)) for distances in directed)
        return within / sum(distances.size for distances in directed)


def surface_distances(
    prediction_mask: np.ndarray, reference_mask: np.ndarray, spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Distances between the voxel surfaces of two masks of one shape, 2D or 3D, with `spacing_mm` per axis.

    Raises InputError if a mask is empty (whether that is a miss or nothing at all is the caller's to say: see
    `evaluate`), if the shapes differ, or if there is not one positive spacing per axis.
    """
    check_masks(prediction_mask, reference_mask, spacing_mm)
    box = joint_box(prediction_mask, reference_mask)
    return distances_in_box(prediction_mask[box], reference_mask[box], spacing_mm)


def distances_in_box(
    prediction_mask: np.ndarray, reference_mask: np.ndarray, spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """Do what `surface_distances` does, unchecked: for masks that have voxels, in a box that is already small."""
    lattice = Lattice(prediction_mask.shape, spacing_mm)
    predicted, true = (_surface(lattice, mask) for mask in (prediction_mask, reference_mask))
    on_predicted, on_true = lattice.core(predicted), lattice.core(true)
    # A voxel on both surfaces is at distance zero; only the others need a search, few of them for a good prediction.
    zeros = np.zeros(int(np.count_nonzero(on_predicted & on_true)))
    return SurfaceDistances(
        np.concatenate([lattice.distances(np.flatnonzero(on_predicted > on_true), true), zeros]),
        np.concatenate([lattice.distances(np.flatnonzero(on_true > on_predicted), predicted), zeros]),
    )


def surface(mask: np.ndarray) -> np.ndarray:
    """The mask's surface voxels: mask XOR its erosion by the 4 (2D) or 6 (3D) neighbors. An empty mask has none."""
    lattice = Lattice(mask.shape, (1.0,) * mask.ndim)
    surface_voxels = lattice.core(_surface(lattice, mask)).reshape(lattice.padded)
    return surface_voxels[tuple(slice(0, size) for size in mask.shape)].copy()


def joint_box(*masks: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds every mask; slices of length zero if all are empty. Beyond it lies background."""
    box: list[slice] = []
    for axis in range(masks[0].ndim):
        others = tuple(other for other in range(masks[0].ndim) if other != axis)
        occupied = np.flatnonzero(np.logical_or.reduce([mask.any(axis=others) for mask in masks]))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else slice(0, 0))
    return tuple(box)


def _surface(lattice: Lattice, mask: np.ndarray) -> np.ndarray:
    """The surface voxels of a mask that fills the lattice, in its flat memory."""
    placed = lattice.place(mask.astype(bool, copy=False))
    inside = lattice.core(placed).copy()
    for stride in lattice.strides:
        inside &= lattice.core(placed, stride)
        inside &= lattice.core(placed, -stride)
    core = lattice.core(placed)
    # Memory of its own: the margins of `placed` stay empty, and its core becomes the surface.
    np.greater(core, inside, out=core)
    return placed


def check_masks(prediction_mask: np.ndarray, reference_mask: np.ndarray, spacing_mm: Sequence[float]) -> None:
    """InputError unless both masks have voxels, one shape, and one positive spacing per axis."""
    if prediction_mask.shape != reference_mask.shape:
        raise InputError(f"expected two masks of one shape, got {prediction_mask.shape} and {reference_mask.shape}")
    spacing = [float(size) for size in spacing_mm]
    if len(spacing) != prediction_mask.ndim or not all(0 < size < float("inf") for size in spacing):
        raise InputError(f"expected {prediction_mask.ndim} positive spacings in mm, one per axis, got {spacing}")
    for name, mask in (("prediction", prediction_mask), ("reference", reference_mask)):
        if not mask.any():
            raise InputError(f"the {name} mask is empty, so it has no surface; score it as missed or false positive")
