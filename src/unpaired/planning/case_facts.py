"""What a scan tells of itself: size, spacing, orientation, values, organs; a few numbers and a small picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import nibabel as nib
import numpy as np
from msgspec import Meta

from unpaired.configs import Count, Positive, Share
from unpaired.data.dataset import CaseEntry
from unpaired.data.image import Image
from unpaired.data.images import read_image, read_label_map, require_same_grid
from unpaired.data.label_map import count_values, encode_label_map
from unpaired.data.orientation import orientation, oriented
from unpaired.data.preprocess import body_box

PERCENTILES = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)
Percentiles = Annotated[tuple[float, ...], Meta(min_length=len(PERCENTILES), max_length=len(PERCENTILES))]
Sizes = tuple[Positive, Positive, Positive]
VALUES = 4096
"""How many values of a scan, evenly spread over organs or body, are kept for histograms while a page is drawn."""
THUMBNAIL = 112
"""Pixels of the longer side of a case's picture."""
BLOCKS = (8, 16, 16)
"""Into so many blocks a volume is cut at most, along each axis, to be compared with others."""
PLANES = ("sagittal", "coronal", "axial")
"""The plane across each axis of the body (left-right, front-back, head-feet)."""
OBLIQUE = 0.9
"""Slices are called after a plane if their normal has at least this cosine (26 degrees) with an axis of the body."""


@dataclass(frozen=True)
class CaseFacts:
    """One case. Triples are (depth, height, width), depth being the axis across the slices as they were acquired."""

    id: str
    patient: str
    modality: str
    labeled: bool
    shape: tuple[Count, Count, Count]
    spacing_mm: Sizes
    plane: str
    """The anatomical plane of the slices: axial, coronal, sagittal, or oblique where none is within `OBLIQUE`."""
    axes: str
    """The file's axes, such as LPS: where each points to."""
    percentiles: Percentiles
    """At `PERCENTILES`, of the values inside the organs, or inside the body of an unlabeled scan."""
    mean: float
    std: float
    body_share: Share
    """The share of the scan that the box around the body takes, 0 to 1."""
    body_mm: Sizes
    volumes_ml: Mapping[str, float]
    """{class: millilitres} of the classes that the label map shows for certain."""
    simulated: bool = False
    """Whether no person was scanned."""


@dataclass(frozen=True)
class CasePicture:
    """A slice as gray values of 8 bits (rows, columns), its organs' outline, and some values, for the page; and the
    means of at most `BLOCKS` blocks of the volume, float32, to find scans that look alike."""

    gray: np.ndarray
    outline: np.ndarray
    values: np.ndarray = field(repr=False)
    blocks: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class CaseJob:
    """What a worker needs to look at one case: {label value: class numbers} and the classes."""

    entry: CaseEntry
    classes: tuple[str, ...]
    encoding: Mapping[int, tuple[int, ...]]


def look_at(job: CaseJob) -> tuple[CaseFacts, CasePicture]:
    """The facts and the picture of one case. Raises InputError if its files can't be read or don't fit each other."""
    entry = job.entry
    image = read_image(entry.image)
    axes, flips = orientation(image.affine, image.array.shape, "native")
    volume = oriented(image.array, axes, flips)
    spacing = _triple(np.array(image.spacing_mm)[list(axes)])
    label = _classes_of(job, image, axes, flips)
    box = body_box(volume, np.array(spacing))
    organs = None if label is None else label > 0
    values = volume[organs] if organs is not None and organs.any() else volume[_slices(box)].reshape(-1)
    voxel_ml = float(np.prod(spacing)) / 1000
    counts = np.zeros(1, int) if label is None else count_values(label, len(job.classes) + 1)
    facts = CaseFacts(
        entry.id,
        entry.patient,
        entry.modality,
        entry.label is not None,
        _sizes(volume.shape),
        spacing,
        _plane(image.affine[:3, axes[0]]),
        "".join(nib.aff2axcodes(image.affine)),
        tuple(float(value) for value in np.percentile(values, PERCENTILES)),
        float(values.mean(dtype=np.float64)),
        float(values.std(dtype=np.float64)),
        float(np.prod([stop - start for start, stop in box]) / volume.size),
        _triple([(stop - start) * size for (start, stop), size in zip(box, spacing, strict=True)]),
        {
            name: float(counts[number]) * voxel_ml
            for number, name in enumerate(job.classes)
            if 0 < number < len(counts) and counts[number]
        },
        entry.simulated,
    )
    return facts, _picture(volume, label, values, spacing)


def _classes_of(
    job: CaseJob, image: Image, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> np.ndarray | None:
    """Class numbers (depth, height, width); 0 also where a value may be background; None without a label map.

    A value that may be one of several organs counts as none of them: it gets the number after the last class.
    """
    entry = job.entry
    if entry.label is None:
        return None
    label = read_label_map(entry.label)
    require_same_grid(image, label, entry.label)
    unsure = len(job.classes)
    numbers = {
        value: members[0] if len(members) == 1 else (0 if 0 in members else unsure)
        for value, members in job.encoding.items()
    }
    return oriented(encode_label_map(label.array, numbers, entry.label), axes, flips)


def _plane(normal: np.ndarray) -> str:
    cosines = np.abs(normal) / np.linalg.norm(normal)
    return PLANES[int(cosines.argmax())] if cosines.max() >= OBLIQUE else "oblique"


def _picture(
    volume: np.ndarray, label: np.ndarray | None, values: np.ndarray, spacing: tuple[float, float, float]
) -> CasePicture:
    """The slice with most of the organs, or the middle one, at equal millimetres along rows and columns."""
    depth = len(volume) // 2 if label is None else int(np.argmax((label > 0).sum(axis=(1, 2))))
    plane = volume[depth].astype(np.float32)
    low, high = np.percentile(plane, (0.5, 99.5))
    gray = np.clip((plane - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    inside = np.zeros(plane.shape, bool) if label is None else label[depth] > 0
    height, width = (size * step for size, step in zip(plane.shape, spacing[1:], strict=True))
    scale = THUMBNAIL / max(height, width)
    rows = np.linspace(0, plane.shape[0] - 1, max(int(height * scale), 1)).round().astype(int)
    columns = np.linspace(0, plane.shape[1] - 1, max(int(width * scale), 1)).round().astype(int)
    inside = inside[np.ix_(rows, columns)]
    edge = np.pad(inside, 1)
    core = edge[1:-1, 1:-1] & edge[:-2, 1:-1] & edge[2:, 1:-1] & edge[1:-1, :-2] & edge[1:-1, 2:]
    some = values[:: max(len(values) // VALUES, 1)][:VALUES].astype(np.float32)
    return CasePicture(gray[np.ix_(rows, columns)], inside & ~core, some, block_means(volume))


def block_means(volume: np.ndarray) -> np.ndarray:
    """The means of at most `BLOCKS` blocks of a volume (depth, height, width), of equal size but for rounding."""
    means = volume
    for axis, most in enumerate(BLOCKS):
        count, size = min(most, volume.shape[axis]), volume.shape[axis]
        starts = np.arange(count) * size // count
        sizes = np.diff(starts, append=size).astype(np.float32)
        sums = np.add.reduceat(means, starts, axis=axis, dtype=np.float32)
        means = sums / sizes.reshape([-1 if place == axis else 1 for place in range(3)])
    return means


def _slices(box: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in box)


def _triple(values: object) -> tuple[float, float, float]:
    depth, height, width = np.asarray(values, float).round(4).tolist()
    return depth, height, width


def _sizes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    depth, height, width = shape
    return depth, height, width
