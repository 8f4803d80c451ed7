"""Volumes small enough to embed in a page: the whole scan if it fits, else cut to its labels, else coarser in plane."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import nibabel as nib
import numpy as np
from isal import igzip

from unpaired.data.images import Image
from unpaired.data.orientation import orientation

MARGIN_MM = 25.0
COARSEST = 8


@dataclass(frozen=True)
class LabeledScan:
    """A scan and any number of label maps on its grid, by name; negative voxels of a map are of no single class."""

    image: Image
    labels: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Volumes:
    """NIfTI files (gzip, base64) of one case, all on one grid (`affine`), and what was done to make them fit."""

    image: str
    labels: Mapping[str, str]
    affine: np.ndarray
    changes: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many characters the volumes take in the page."""
        return len(self.image) + sum(map(len, self.labels.values()))


def fitting_volumes(scan: LabeledScan, limit: int) -> Volumes | None:
    """The most faithful version of a case that takes at most `limit` characters; None if there is none.

    Tried in this order: the whole scan; a box around all labels with a margin of 25 mm; that box with each 2 x 2,
    4 x 4 or 8 x 8 pixels of a slice as one (image: their mean; label maps: the upper left one). Values stay what they
    are if they are whole numbers of 16 bits, else they are rounded to 65,535 steps of their range.
    """
    for smaller, changes in _versions(scan):
        volumes = _encode(smaller, changes)
        if volumes.size <= limit:
            return volumes
    return None


def _versions(scan: LabeledScan) -> Iterator[tuple[LabeledScan, tuple[str, ...]]]:
    yield scan, ()
    box = label_box(scan)
    shape = scan.image.array.shape
    cut: tuple[str, ...] = ()
    if any(edge.stop - edge.start < size for edge, size in zip(box, shape, strict=True)):
        cut = (f"cut to the labels and {MARGIN_MM:g} mm around them",)
        scan = _crop(scan, box)
        yield scan, cut
    factor = 2
    while factor <= COARSEST:
        yield _coarser(scan, factor), (*cut, f"every {factor} × {factor} pixels of a slice shown as one")
        factor *= 2


def label_box(scan: LabeledScan) -> tuple[slice, slice, slice]:
    """The voxels around all labels of a case with the margin, inside the scan; all voxels if there is no label."""
    occupied = np.zeros(scan.image.array.shape, dtype=bool)
    for labels in scan.labels.values():
        occupied |= labels > 0
    if not occupied.any():
        occupied[...] = True
    edges: list[slice] = []
    for axis, spacing in enumerate(scan.image.spacing_mm):
        places = np.flatnonzero(occupied.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = int(np.ceil(MARGIN_MM / spacing))
        edges.append(slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + 1 + margin, occupied.shape[axis])))
    return edges[0], edges[1], edges[2]


def slicing_axis(image: Image) -> int:
    """The array axis along which the slices were acquired, as in the overlays."""
    return orientation(image.affine, image.array.shape)[0][0]


def telling_place_mm(image: Image, maps: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Where to look first, in RAS millimetres: the labeled voxel in the middle of the slice with most wrong voxels.

    Wrong is where the last of `maps` differs from the first, the reference. Without a wrong voxel it is the slice with
    the most labels, without labels the middle of the scan.
    """
    shape = image.array.shape
    occupied = np.zeros(shape, dtype=bool)
    for labels in maps:
        occupied |= labels > 0
    if not occupied.any():
        return _world(image, np.array(shape) // 2)
    axis = slicing_axis(image)
    others = tuple(other for other in range(3) if other != axis)
    wrong = (maps[0] != maps[-1]) & (maps[0] >= 0)
    counts = (wrong if wrong.any() else occupied).sum(axis=others)
    places = np.argwhere(occupied & np.isin(np.arange(shape[axis]), counts.argmax()).reshape(_along(axis)))
    distances = ((places - places.mean(axis=0)) * image.spacing_mm) ** 2
    return _world(image, places[distances.sum(axis=1).argmin()])


def _along(axis: int) -> list[int]:
    return [-1 if other == axis else 1 for other in range(3)]


def _world(image: Image, voxel: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in (image.affine @ [*voxel, 1.0])[:3])
    return x, y, z


def _crop(scan: LabeledScan, box: tuple[slice, slice, slice]) -> LabeledScan:
    affine = scan.image.affine.copy()
    affine[:3, 3] = (affine @ [*(edge.start for edge in box), 1])[:3]
    labels = {name: label_map[box] for name, label_map in scan.labels.items()}
    return LabeledScan(Image(scan.image.array[box], affine), labels)


def _coarser(scan: LabeledScan, factor: int) -> LabeledScan:
    """Every `factor` pixels along both axes of a slice as one; the last incomplete ones are dropped."""
    factors = [factor] * 3
    factors[slicing_axis(scan.image)] = 1
    array = scan.image.array
    factors = [min(step, size) for step, size in zip(factors, array.shape, strict=True)]
    whole = tuple(slice(0, size // step * step) for size, step in zip(array.shape, factors, strict=True))
    # A sum of shifted samples: many times faster than numpy's mean over axes of length two.
    total = np.zeros([edge.stop // step for edge, step in zip(whole, factors, strict=True)], np.float32)
    for shift in product(*(range(step) for step in factors)):
        total += array[whole][tuple(slice(start, None, step) for start, step in zip(shift, factors, strict=True))]
    means = total / np.float32(np.prod(factors))
    means = np.rint(means).astype(array.dtype) if array.dtype.kind in "iu" else means
    first = tuple(slice(0, edge.stop, step) for edge, step in zip(whole, factors, strict=True))
    affine = scan.image.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] += scan.image.affine[:3, :3] @ ((np.array(factors) - 1) / 2)
    return LabeledScan(Image(means, affine), {name: label_map[first] for name, label_map in scan.labels.items()})


def _encode(scan: LabeledScan, changes: tuple[str, ...]) -> Volumes:
    affine = scan.image.affine
    values, slope, intercept = sixteen_bits(scan.image.array)
    maps = {
        name: _nifti(np.where(labels > 0, labels, 0).astype(np.uint8), affine) for name, labels in scan.labels.items()
    }
    return Volumes(_nifti(values, affine, slope, intercept), maps, affine, changes)


def sixteen_bits(array: np.ndarray) -> tuple[np.ndarray, float, float]:
    """(whole numbers of at most 16 bits, slope, intercept) with array = numbers * slope + intercept.

    Exact for integers whose range fits; else within half a step of the range's 65,535th part.
    """
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind in "iu" and low >= -(2**15) and high < 2**15:
        return array.astype(np.uint8 if low >= 0 and high < 2**8 else np.int16), 1.0, 0.0
    slope = (high - low) / 65535 or 1.0
    numbers = np.rint((array.astype(np.float64) - low) / slope) - 2**15
    return numbers.astype(np.int16), slope, low + slope * 2**15


def _nifti(array: np.ndarray, affine: np.ndarray, slope: float = 1.0, intercept: float = 0.0) -> str:
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    image.header.set_slope_inter(slope, intercept)
    content = image.to_bytes()
    return b64encode(igzip.compress(content, compresslevel=3, mtime=0)).decode("ascii")
