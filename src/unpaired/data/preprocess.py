"""From a file's grid to the network's: reorient, crop, resample, clip, normalize. `data.restore` is the exact way back.

Cropping comes first: resampling only what is kept is what makes a full-size CT cheap. Grids are laid voxel-centre to
voxel-centre, so values equal scipy's and SimpleITK's linear interpolation.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from unpaired.configs import Config, Count, Name
from unpaired.data.case import Geometry
from unpaired.data.dataset import Dataset, Modality, Normalization
from unpaired.data.formats.payload import LIMIT_VARIABLE, exceeded_limit
from unpaired.data.image import millimeters
from unpaired.data.images import Image
from unpaired.data.normalize import normalize_in_place
from unpaired.data.orientation import Plane, orientation, oriented
from unpaired.data.resample import resample
from unpaired.data.restore import check_shape
from unpaired.errors import InputError

Region = Literal["none", "body", "label", "center"]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
MOST_MM = 1e6
Extent = Annotated[float, Meta(ge=1e-6, le=MOST_MM)] | Annotated[int, Meta(ge=1, le=int(MOST_MM))] | None
Triple = Annotated[
    tuple[Extent, Extent, Extent],
    Meta(description="[depth, height, width], each a number from 0.000001 to 1000000 or null"),
]

Voxels = Annotated[
    tuple[Count | None, Count | None, Count | None],
    Meta(description="[depth, height, width], each a whole number of 1 or more or null"),
]


@dataclass(frozen=True)
class Preprocessing(Config):
    """How scans are brought to the network's grid. Triples are (depth, height, width); depth is the slicing axis."""

    plane: Plane = "native"
    """The anatomical plane that (height, width) spans. "native": as acquired, that is, depth is the file axis of
    length one, else of the largest spacing (a tie: the last file axis)."""
    spacing_mm: Triple | None = None
    """Target spacing; None, as a whole or for an axis, keeps the file's."""
    roi: Region = "none"
    """What is kept. "body": the box around everything brighter than air, found from the image alone. "center": a box
    around the middle of the scan. "label": a box around the reference: a LEAK at test time, as the published MM-WHS
    protocols have it; results made with it must say so."""
    roi_size_mm: Triple | None = None
    """Fixed extent of the box around its middle, padded where it reaches outside the scan; None (also for one axis)
    is as large as the body or reference plus margin."""
    size: Voxels | None = None
    """Fixed extent of the box in prepared voxels (CSA: 224 x 224 of the file's pixels); wins over `roi_size_mm`."""
    roi_margin_mm: Annotated[float, Meta(ge=0, le=MOST_MM)] | Annotated[int, Meta(ge=0, le=int(MOST_MM))] = 0.0
    """Added on each side of the body's or reference's box; not used along axes with a fixed extent."""
    normalization: Normalization | None = None
    """Overrides the normalization that the manifest gives to a modality."""
    windows: tuple[tuple[Name, float, float], ...] = ()
    """(modality, lowest, highest): values are clipped to it before they are normalized, whatever the manifest says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for modality, low, high in self.windows:
            if not low < high:
                raise InputError(f"Preprocessing.windows: expected ({modality}, lowest, highest), got {low} and {high}")
        fixed = self.roi_size_mm is not None or self.size is not None
        if self.roi == "none" and fixed:
            raise InputError("preprocessing: a fixed size needs a place: set roi to center, body or label")
        if self.roi == "center" and not fixed:
            raise InputError("preprocessing: roi 'center' needs roi_size_mm or size, or use roi 'none'")

    @property
    def leaks_reference(self) -> bool:
        """Whether the reference decides what the network gets to see."""
        return self.roi == "label"


def with_windows(dataset: Dataset, preprocessing: Preprocessing) -> Dataset:
    """The dataset with its modalities clipped as `preprocessing.windows` says; names that it hasn't are passed over."""
    modalities = dict(dataset.modalities)
    for name, low, high in preprocessing.windows:
        if name in modalities:
            modalities[name] = replace(modalities[name], clip=(low, high), clip_percentiles=None)
    return replace(dataset, modalities=modalities)


def apply(
    image: Image, preprocessing: Preprocessing, modality: Modality, label: Image | None = None
) -> tuple[np.ndarray, Geometry]:
    """The prepared volume (depth, height, width) float32 of an image, and the way back.

    Steps: reorient, crop, resample (trilinear), clip, normalize. Statistics come from voxels inside the scan; padding
    gets the lowest value inside. `label` (the reference, file axes) is used by roi "label" alone. Raises InputError
    for NaN, infinity and values beyond float32, an affine without inverse, and roi "label" without a reference.
    """
    view, geometry = _cropped_view(image, preprocessing, label)
    volume = resample(view, geometry.crop, geometry.grid)
    _check_finite(volume)
    inside = tuple(slice(start, stop) for start, stop in _inside(geometry))
    part = volume[inside]
    normalize_in_place(part, modality, preprocessing.normalization or modality.normalization)
    if part.shape != volume.shape:
        lowest = part.min()
        kept = part.copy()
        volume.fill(lowest)
        volume[inside] = kept
    return volume, geometry


def apply_to_label(label_map: np.ndarray, geometry: Geometry, outside: int = 0) -> np.ndarray:
    """A label map in file axes, brought to the prepared grid (depth, height, width) by nearest neighbor.

    `outside` fills what lies beyond the file. Raises InputError if the label map hasn't the file's shape.
    """
    check_shape(label_map.shape, geometry.shape, "label map")
    view = oriented(label_map, geometry.axes, geometry.flips)
    indices = [
        (centers // (2 * count)).clip(0, size - 1)
        for centers, count, size in zip(_centers(geometry), geometry.grid, view.shape, strict=True)
    ]
    prepared = view[np.ix_(*indices)]
    for axis, within in enumerate(_within(geometry)):
        if not within.all():
            np.moveaxis(prepared, axis, 0)[~within] = outside
    return np.ascontiguousarray(prepared)


def kept_part(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The view (depth, height, width) of what the crop keeps of an array in file axes, before any resampling."""
    check_shape(array.shape, geometry.shape, "array")
    view = oriented(array, geometry.axes, geometry.flips)
    return view[tuple(slice(max(start, 0), max(stop, 0)) for start, stop in geometry.crop)]


def _cropped_view(image: Image, preprocessing: Preprocessing, label: Image | None) -> tuple[np.ndarray, Geometry]:
    """The reoriented view of the whole file, and the geometry that says what of it is kept."""
    axes, flips = orientation(image.affine, image.array.shape, preprocessing.plane)
    view = oriented(image.array, axes, flips)
    spacing = np.array(image.spacing_mm)[list(axes)]
    if preprocessing.roi == "label":
        if label is None:
            raise InputError("roi 'label' needs the reference's label map, this case has none; use roi body or center")
        check_shape(label.array.shape, image.array.shape, "label map")
        box = box_of(oriented(label.array, axes, flips) != 0)
    elif preprocessing.roi == "body":
        box = body_box(view, spacing)
    else:
        box = tuple((0, size) for size in view.shape)
    crop, grid = _crop_and_grid(box, view.shape, spacing, preprocessing)  # type: ignore[arg-type]
    _require_affordable(crop, grid, spacing)
    rows = tuple(tuple(float(value) for value in row) for row in np.asarray(image.affine))
    return view, Geometry(image.array.shape, rows, axes, flips, crop, grid)  # type: ignore[arg-type]


def _crop_and_grid(
    box: Box, shape: tuple[int, ...], spacing: np.ndarray, preprocessing: Preprocessing
) -> tuple[Box, tuple[int, int, int]]:
    """Per axis: first and last file voxel kept, and the number of prepared voxels they become."""
    target = preprocessing.spacing_mm or (None, None, None)
    size_mm = preprocessing.roi_size_mm or (None, None, None)
    size = preprocessing.size or (None, None, None)
    crop: list[tuple[int, int]] = []
    grid: list[int] = []
    for axis, (start, stop) in enumerate(box):
        step = target[axis] or spacing[axis]
        count, extent = size[axis], size_mm[axis]
        if count is not None:
            extent = count * step
        if extent is not None:
            length = max(1, round(extent / spacing[axis]))
            start = (start + stop - length) // 2
            stop = start + length
        elif preprocessing.roi in ("body", "label"):
            margin = int(np.ceil(preprocessing.roi_margin_mm / spacing[axis]))
            start, stop = max(0, start - margin), min(shape[axis], stop + margin)
        crop.append((int(start), int(stop)))
        grid.append(count or max(1, round((stop - start) * spacing[axis] / step)))
    return (crop[0], crop[1], crop[2]), (grid[0], grid[1], grid[2])


def _require_affordable(crop: Box, grid: tuple[int, int, int], spacing: np.ndarray) -> None:
    """InputError for volumes that no memory holds, the prepared one (float32) or the label map put back: of a header's
    odd voxel sizes, or of a recipe's."""
    size = max(4 * math.prod(grid), math.prod(stop - start for start, stop in crop))
    limit = exceeded_limit(size)
    if limit is not None:
        raise InputError(
            f"the scan's voxels of {millimeters(spacing)} (depth, height, width) would become "
            f"{' x '.join(map(str, grid))}, with up to {size / 1e9:.3g} GB for them where {limit / 1e9:.3g} GB may be "
            "taken; check the header's voxel sizes, and the recipe's spacing_mm, size, roi_size_mm and roi_margin_mm, "
            f"or set {LIMIT_VARIABLE}"
        )


def box_of(mask: np.ndarray) -> Box:
    """The smallest box (start, stop per axis) that holds every true voxel; InputError if there is none."""
    box: list[tuple[int, int]] = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(hit):
            raise InputError(
                "expected foreground to put a box around, found none; use roi center or none for this case"
            )
        box.append((int(hit[0]), int(hit[-1]) + 1))
    return box[0], box[1], box[2]


def body_box(view: np.ndarray, spacing_mm: np.ndarray) -> Box:
    """The box around the largest thing that is brighter than air, looked for on a grid of about 4 mm.

    Air ends at -300 where values go below -200 (HU), else at a tenth of the 99th percentile above the minimum. A table
    that touches the body is kept: better too much than a cut arm. An image without such a thing is kept whole.
    """
    from scipy import ndimage

    strides = [max(1, int(4.0 / size)) for size in spacing_mm]
    firsts = [min(stride // 2, size - 1) for stride, size in zip(strides, view.shape, strict=True)]
    coarse = view[tuple(slice(first, None, stride) for first, stride in zip(firsts, strides, strict=True))]
    lowest = float(coarse.min())
    threshold = -300.0 if lowest < -200 else lowest + 0.1 * (float(np.percentile(coarse, 99)) - lowest)
    parts, _ = ndimage.label(coarse > threshold)  # type: ignore[misc]
    sizes = np.bincount(parts.ravel())[1:]
    if not len(sizes):
        return tuple((0, size) for size in view.shape)  # type: ignore[return-value]
    body = box_of(parts == 1 + sizes.argmax())
    return tuple(  # type: ignore[return-value]
        (max(0, (start - 1) * stride), min(size, (stop + 1) * stride))
        for (start, stop), stride, size in zip(body, strides, view.shape, strict=True)
    )


def _inside(geometry: Geometry) -> Box:
    """The prepared voxels whose centers lie within the file. InputError for a scan that is so thin that none does."""
    box: list[tuple[int, int]] = []
    spacing = zip(geometry.spacing_mm, geometry.source_spacing_mm, geometry.axes, strict=True)
    for within, name, (step, size, axis) in zip(_within(geometry), ("depth", "height", "width"), spacing, strict=True):
        hit = np.flatnonzero(within)
        if not len(hit):
            raise InputError(
                f"no prepared voxel of {step:.4g} mm has its center within the scan's "
                f"{size * geometry.shape[axis]:.4g} mm of {name}; leave that axis null in preprocessing.spacing_mm, or "
                "its fixed size"
            )
        box.append((int(hit[0]), int(hit[-1]) + 1))
    return box[0], box[1], box[2]


def _within(geometry: Geometry) -> list[np.ndarray]:
    """For each axis which prepared voxels have their center within the file; one on its edge has not."""
    sizes = (2 * count * geometry.shape[axis] for count, axis in zip(geometry.grid, geometry.axes, strict=True))
    return [(centers > 0) & (centers < size) for centers, size in zip(_centers(geometry), sizes, strict=True)]


def _centers(geometry: Geometry) -> list[np.ndarray]:
    """For each axis how far the prepared voxels' centers lie from the file's edge, in file voxels times twice the
    prepared voxels' number: a whole number, so that image and label map agree about centers on an edge."""
    return [
        2 * count * start + (2 * np.arange(count) + 1) * (stop - start)
        for (start, stop), count in zip(geometry.crop, geometry.grid, strict=True)
    ]


def _check_finite(volume: np.ndarray) -> None:
    if not all(np.isfinite(plane.sum(dtype=np.float64)) for plane in volume):
        count = int((~np.isfinite(volume)).sum())
        raise InputError(
            f"the image holds NaN, infinity or values beyond 3.4e+38 ({count} voxels of the prepared volume); repair "
            "the file"
        )
