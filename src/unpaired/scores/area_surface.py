"""Distances between surfaces made of small elements, each weighted by its area (3D, mm^2) or length (2D, mm).

After Nikolov et al., "Clinically applicable segmentation of head and neck anatomy for radiotherapy", JMIR 2021, and its
code, DeepMind's `surface-distance`: an element sits at every corner of the voxel grid whose surrounding voxels are not
all alike, and its area is that of the marching-cubes surface there. A surface of voxels counts a slanted wall more than
a straight one and a thin slice as much as a thick one; areas don't.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unpaired.scores.lattice import Lattice
from unpaired.scores.marching_cubes import area_table, bit_of
from unpaired.scores.surface import HEADER_ROUNDING, check_masks, joint_box


@dataclass(frozen=True)
class AreaDistances:
    """For each element of one surface the distance in mm to the nearest element of the other, and its area.

    Areas are mm^2 in 3D and mm in 2D. The scores have the names and units of `SurfaceDistances`.
    """

    prediction_to_reference: np.ndarray
    reference_to_prediction: np.ndarray
    prediction_area: np.ndarray
    reference_area: np.ndarray

    @property
    def hausdorff(self) -> float:
        """Hausdorff distance (HD): the larger of the two directed maxima, in mm; areas play no part."""
        return float(max(self.prediction_to_reference.max(), self.reference_to_prediction.max()))

    @cached_property
    def hausdorff_95(self) -> float:
        """HD95: the larger of the two directed distances within which 95 % of the area lies, in mm."""
        return max(
            _area_percentile(self.prediction_to_reference, self.prediction_area, 0.95),
            _area_percentile(self.reference_to_prediction, self.reference_area, 0.95),
        )

    @property
    def assd(self) -> float:
        """Average symmetric surface distance: the area-weighted mean over both surfaces pooled, in mm."""
        return float(sum(self._weighted) / (self.prediction_area.sum() + self.reference_area.sum()))

    @property
    def masd(self) -> float:
        """Mean average surface distance: the mean of the two directed area-weighted means, in mm."""
        of_prediction, of_reference = self._weighted
        return float((of_prediction / self.prediction_area.sum() + of_reference / self.reference_area.sum()) / 2)

    @property
    def _weighted(self) -> tuple[float, float]:
        return (
            float(self.prediction_to_reference @ self.prediction_area),
            float(self.reference_to_prediction @ self.reference_area),
        )

    def surface_dice(self, tolerance_mm: float) -> float:
        """NSD@t, normalized surface Dice: the share of both surfaces' area within `tolerance_mm` of the other."""
        limit = tolerance_mm * HEADER_ROUNDING
        predicted_area = self.prediction_area[self.prediction_to_reference <= limit].sum()
        reference_area = self.reference_area[self.reference_to_prediction <= limit].sum()
        return float((predicted_area + reference_area) / (self.prediction_area.sum() + self.reference_area.sum()))


def area_surface_distances(
    prediction_mask: np.ndarray, reference_mask: np.ndarray, spacing_mm: Sequence[float]
) -> AreaDistances:
    """Distances between the area-weighted surfaces of two masks of one shape, 2D or 3D, with `spacing_mm` per axis.

    Beyond the volume lies background. Raises InputError if a mask is empty, if the shapes differ, or if there is not
    one positive spacing per axis.
    """
    check_masks(prediction_mask, reference_mask, spacing_mm)
    box = joint_box(prediction_mask, reference_mask)
    return area_distances_in_box(prediction_mask[box], reference_mask[box], spacing_mm)


def area_distances_in_box(
    prediction_mask: np.ndarray, reference_mask: np.ndarray, spacing_mm: Sequence[float]
) -> AreaDistances:
    """Do what `area_surface_distances` does, unchecked: for masks that have voxels, in a box that is already small."""
    lattice = Lattice([size + 1 for size in prediction_mask.shape], spacing_mm)
    table = area_table(spacing_mm)
    predicted, true = (_codes(lattice, mask) for mask in (prediction_mask, reference_mask))
    predicted_surface, true_surface = (_elements(lattice, codes) for codes in (predicted, true))
    both = lattice.core(predicted_surface) & lattice.core(true_surface)
    return AreaDistances(
        _aligned(lattice, predicted_surface, true_surface, both),
        _aligned(lattice, true_surface, predicted_surface, both),
        table[predicted[lattice.core(predicted_surface)]],
        table[true[lattice.core(true_surface)]],
    )


def _codes(lattice: Lattice, mask: np.ndarray) -> np.ndarray:
    """For each corner of the grid, a bit for each of the voxels around it that are in the mask."""
    placed = lattice.place(mask.astype(bool, copy=False).view(np.uint8))
    codes = np.zeros(lattice.size, np.uint8)
    for offset in np.ndindex((2,) * mask.ndim):
        # Corner x touches the voxels x - 1 and x of each axis.
        step = -sum(back * stride for back, stride in zip(offset, lattice.strides, strict=True))
        codes |= lattice.core(placed, step) * np.uint8(bit_of(offset))
    return codes


def _elements(lattice: Lattice, codes: np.ndarray) -> np.ndarray:
    """Flat memory of the lattice that is True where the voxels around a corner are not all alike."""
    full = 2**2 ** len(lattice.shape) - 1
    flat = lattice.empty(bool)
    np.not_equal(codes, 0, out=lattice.core(flat))
    lattice.core(flat)[codes == full] = False
    return flat


def _aligned(lattice: Lattice, surface: np.ndarray, other: np.ndarray, both: np.ndarray) -> np.ndarray:
    """The distance of every element of `surface`, in order; those on both surfaces need no search."""
    core = lattice.core(surface)
    alone = ~both[core]
    distances = np.zeros(len(alone))
    distances[alone] = lattice.distances(np.flatnonzero(core)[alone], other)
    return distances


def _area_percentile(distances: np.ndarray, areas: np.ndarray, share: float) -> float:
    """The smallest distance within which at least `share` of the area lies."""
    order = np.lexsort((areas, distances))
    reached = np.cumsum(areas[order])
    index = int(np.searchsorted(reached / reached[-1], share))
    return float(distances[order][min(index, len(order) - 1)])
