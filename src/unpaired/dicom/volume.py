"""The voxels of a series: every frame's values in their place, on one right-angled grid."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from unpaired.data.formats.dicom_file import TAGS, DicomFile, one_line, read_elements
from unpaired.data.formats.dicom_pixels import require_gray, rescale_of, stored_frames
from unpaired.data.formats.payload import require_affordable, scaled
from unpaired.data.image import TO_RAS, Image, ImageError, require_finite, require_placed
from unpaired.dicom.attributes import numbers, value
from unpaired.dicom.index import Frame, Series
from unpaired.dicom.stack import GAP_SHARE, Stack, stacked

Tilt = Literal["straighten", "refuse"]
PHILIPS_SLOPE = 0x2005100E
"""Scale Slope (private): it turns stored values of a Philips MR into what the scanner measured."""


def read_volume(series: Series, tilt: Tilt = "straighten") -> Image:
    """The volume of a series, with axes (column, row, slice) along the normal: values after slope and intercept.

    Each slice has its own slope and intercept. Values of Philips MR are the measured ones, by the private Scale Slope,
    as dcm2niix writes them. Reversed display (MONOCHROME1) leaves values as they are stored.
    A stack that a tilted gantry sheared is moved to a right-angled grid, slice by slice with linear interpolation;
    what lies outside becomes the lowest value. With `tilt` "refuse" it is an error.

    Raises ImageError for a series that is no volume, and for files that are damaged or changed since they were indexed.
    """
    if series.problem is not None:
        raise ImageError(f"series {series.name}: {series.problem}")
    stack = stacked(series.frames)
    if stack.tilt_degrees and tilt == "refuse":
        raise ImageError(
            f"series {series.name}: a tilted gantry ({stack.tilt_degrees:.1f} degrees) sheared it; let it be moved "
            "to a right-angled grid, or export it so",
            "affine",
        )
    where = f"series {series.name}"
    (columns, rows), count = series.frames[0].size, len(stack.frames)
    require_affordable(columns * rows * count * 4, series.frames[0].file)
    volume, notes = _assembled(stack.frames, (columns, rows))
    if stack.tilt_degrees:
        volume = straightened(volume, stack)
    image = Image(volume, TO_RAS @ stack.affine, (*series.notes, *notes))
    require_placed(image, where)
    require_finite(image.array, where)
    return image


def straightened(volume: np.ndarray, stack: Stack) -> np.ndarray:
    """A sheared volume (column, row, slice) on the right-angled grid of its stack, linear within each slice."""
    from scipy.ndimage import affine_transform

    low = volume.min()
    grid = np.empty((*stack.size, volume.shape[2]), np.float32, order="F")
    for number, shifts in enumerate(stack.shifts):
        slice_ = volume[..., number].astype(np.float32)
        grid[..., number] = affine_transform(slice_, np.ones(2), -shifts, stack.size, order=1, cval=float(low))
    return np.rint(grid).astype(volume.dtype) if volume.dtype.kind in "iu" else grid


def on_frames(label_map: np.ndarray, series: Series) -> np.ndarray:
    """A label map on a volume's grid (column, row, slice), at the pixels of the series' frames, in the same order.

    The same array but for a tilted gantry, where each pixel gets the label of the nearest voxel.
    """
    stack = stacked(series.frames)
    if label_map.shape != (*stack.size, len(stack.frames)):
        raise ImageError(
            f"expected a label map of shape {(*stack.size, len(stack.frames))} for series {series.name}, got "
            f"{label_map.shape}; use the volume's own grid"
        )
    columns, rows = series.frames[0].size
    moved = np.empty((columns, rows, len(stack.frames)), label_map.dtype)
    for number, shifts in enumerate(stack.shifts):
        column, row = (round(float(shift)) for shift in shifts)
        moved[..., number] = label_map[column : column + columns, row : row + rows, number]
    return moved


def _assembled(frames: Sequence[Frame], size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """The frames' values (column, row, slice) in the smallest type that holds them all, and what to know of them."""
    place = {(frame.file, frame.number): number for number, frame in enumerate(frames)}
    slices: list[np.ndarray | None] = [None] * len(frames)
    notes: dict[str, None] = {}
    rescaled: dict[bool, Path] = {}
    for path in dict.fromkeys(frame.file for frame in frames):
        file = read_elements(path, _tags())
        require_gray(file)
        if file.size != size:
            raise ImageError(f"{path}: has {file.size} pixels, the index says {size}: it changed, index it again")
        wanted = [number for other, number in place if other == path]
        if max(wanted) >= file.frames:
            raise ImageError(f"{path}: has {file.frames} frames, the index says more: it changed, index it again")
        for number, stored in stored_frames(file, wanted):
            rescaled.setdefault(file.has("RescaleIntercept", number), path)
            slices[place[path, number]] = scaled(stored[..., np.newaxis], *_scaling(file, number), path)[..., 0]
        notes |= dict.fromkeys(_notes(file, frames))
    if len(rescaled) == 2:
        raise ImageError(
            f"{rescaled[False]}: has no Rescale Intercept, though {rescaled[True].name} has; export it again"
        )
    kind = np.result_type(*{slice_.dtype for slice_ in slices if slice_ is not None})
    volume = np.empty((*size, len(frames)), np.float32 if kind.kind == "f" else kind, order="F")
    for number, slice_ in enumerate(slices):
        volume[..., number] = slice_
    return volume, list(notes)


def _scaling(file: DicomFile, frame: int) -> tuple[float, float]:
    """Slope and intercept of a frame; for Philips MR those of the measured values (Chenevert 2014)."""
    slope, intercept = rescale_of(file, frame)
    private = _philips(file, frame)
    if private is None:
        return slope, intercept
    return 1 / private, intercept / (slope * private)


def _philips(file: DicomFile, frame: int) -> float | None:
    """Philips' private Scale Slope of an MR frame; None where there is none."""
    elements = file.elements
    with one_line(file.path):
        maker = str(value(elements, "Manufacturer") or "").upper()
        if "PHILIPS" not in maker or value(elements, "Modality") != "MR":
            return None
    per_frame = value(elements, "PerFrameFunctionalGroupsSequence") or ()
    own = [per_frame[frame]] if frame < len(per_frame) else []
    holders = [item for group in own for item in value(group, 0x2005140F) or ()]
    for holder in (*holders, elements):
        content = value(holder, PHILIPS_SLOPE)
        scale = numbers([content] if content is not None else (), 1)
        if scale and scale[0] > 0:
            return scale[0]
    return None


def _notes(file: DicomFile, frames: Sequence[Frame]) -> Iterator[str]:
    """What programs treat differently, and how it is read here."""
    with one_line(file.path):
        if str(file.elements.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
            yield "shown in reverse (MONOCHROME1): its values are read as they are stored"
    if _philips(file, 0) is not None:
        yield "Philips: the measured values by the private Scale Slope, as dcm2niix has them"
    gap = file.number("SpacingBetweenSlices", "Spacing Between Slices", 0.0)
    first, last = np.array(frames[0].position), np.array(frames[-1].position)
    step = float(np.linalg.norm(last - first)) / (len(frames) - 1)
    if gap and abs(abs(gap) - step) > GAP_SHARE * step:
        stated = f"Spacing Between Slices says {gap:.4g} mm"
        yield f"slices lie {step:.4g} mm apart by their positions, {stated}; read by the positions"


def _tags() -> tuple[int, ...]:
    from pydicom.datadict import tag_for_keyword

    named = tuple(tag_for_keyword(word) or 0 for word in (*TAGS, "Modality", "Manufacturer"))
    return (*named, PHILIPS_SLOPE)
