"""Read RTSTRUCT objects (PS3.3 A.19): which regions of interest (ROIs) there are, and the label map on a series' grid.

Contours are filled by the rule of `rasterize`, in the slices that they lie in. Holes are read as programs write them:
a channel that leads to the hole and back ("keyhole"), a contour inside another one, or contours that exclude each other
(CLOSEDPLANAR_XOR). Slices without a contour are background: nothing is interpolated.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.choices import counted
from unpaired.data.formats.dicom_file import DicomFile, one_line
from unpaired.data.formats.payload import require_affordable
from unpaired.data.image import ImageError
from unpaired.dicom.attributes import text, whole
from unpaired.dicom.codes import name_of
from unpaired.dicom.index import Series
from unpaired.dicom.placement import lps_grid
from unpaired.dicom.rasterize import combine
from unpaired.dicom.segments import (
    LabelMap,
    Segment,
    Segmentation,
    code_in,
    frame_numbers,
    items_in,
    open_object,
    paint,
    require_same_space,
)
from unpaired.errors import InputError

OFF_SLICE = 0.2
"""How far a contour's points may lie beside a slice, in distances between slices: rounding of positions."""
BESIDE_PIXELS = 1.0
"""How far a contour may run outside of a slice's edge: an outline along the edge. More was drawn on a larger scan."""
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
OPEN = ("OPEN_PLANAR", "OPEN_NONPLANAR")
"""These enclose nothing, and nor does a POINT, which marks a place."""
CONTOUR_DATA = 0x30060050
TAGS = (
    "SpecificCharacterSet",
    "Modality",
    "FrameOfReferenceUID",
    "StructureSetROISequence",
    "ROIContourSequence",
    "RTROIObservationsSequence",
    "ReferencedFrameOfReferenceSequence",
)


@dataclass(frozen=True)
class Contour:
    """A closed contour in voxels (column, row) of slice `level`; `exclusive` is CLOSEDPLANAR_XOR."""

    points: np.ndarray
    level: int
    exclusive: bool

    def key(self) -> tuple[int, bytes]:
        """The same for a contour that is stored twice, from whichever point on."""
        points = np.rint(self.points * 1000)
        return self.level, points[np.lexsort(points.T)].tobytes()


def read_regions(path: str | Path) -> Segmentation:
    """The regions of an RTSTRUCT, numbered from 1 as they stand there, and what they were drawn on.

    Raises ImageError for other files.
    """
    return _described(_open(path))


def read_structure_set(path: str | Path, series: Series, wanted: Collection[int] | None = None) -> LabelMap:
    """The label map of an RTSTRUCT on the grid of its series; `wanted` keeps these regions' numbers alone.

    Its notes say which regions have open contours or no closed ones, which miss slices in between, and whether a frame
    of reference was passed over. Raises InputError, with one line: where regions overlap (a voxel has one label), where
    contours lie beside the series' slices or beyond it, where they name other images, and for another frame of
    reference; ImageError for damage.
    """
    file = _open(path)
    described = _described(file)
    notes = list(require_same_space(described, series))
    inverse = np.linalg.inv(lps_grid(series))
    array = np.zeros(series.shape, np.min_scalar_type(len(described.segments)))
    require_affordable(array.nbytes, file.path)
    items = _contour_items(file)
    for segment in described.segments:
        own = items[segment.number - 1]
        if wanted is not None and segment.number not in wanted and (segment.drawn or not _open_ones(own)):
            continue
        slices: defaultdict[int, dict[Any, Contour]] = defaultdict(dict)
        for contour in _contours(own, inverse, series, segment, file.path):
            slices[contour.level][contour.key()] = contour
        for level, contours in slices.items():
            exclusive = all(contour.exclusive for contour in contours.values())
            mask = combine([contour.points for contour in contours.values()], series.shape[:2], exclusive)
            paint(array[..., level], mask, segment, described)
        notes += _notes(segment, sorted(slices), _open_ones(own))
    return LabelMap(array, tuple(notes))


def _open(path: str | Path) -> DicomFile:
    return open_object(Path(path), "RTSTRUCT", "StructureSetROISequence", TAGS)


def _described(file: DicomFile) -> Segmentation:
    with one_line(file.path):
        rois = items_in(file.elements, "StructureSetROISequence")
        observations = items_in(file.elements, "RTROIObservationsSequence")
        observed = {whole(item, "ReferencedROINumber", -1): item for item in observations}
        frames = items_in(file.elements, "ReferencedFrameOfReferenceSequence")
        studies = [study for frame in frames for study in items_in(frame, "RTReferencedStudySequence")]
        series = [item for study in studies for item in items_in(study, "RTReferencedSeriesSequence")]
        items = _contour_items(file)
        contours = [] if series else [each for of_region in items for each in of_region]
        instances = [each for item in (*series, *contours) for each in items_in(item, "ContourImageSequence")]
        drawn = [any(_kind(item) in CLOSED for item in of_region) for of_region in items]
        of_regions = {
            text(roi, "ReferencedFrameOfReferenceUID") for roi, is_drawn in zip(rois, drawn, strict=True) if is_drawn
        }
        of_frames = {text(item, "FrameOfReferenceUID") for item in frames}
    spaces = (
        of_regions - {""}
        or (of_frames if len(of_frames) == 1 else set())
        or {text(file.elements, "FrameOfReferenceUID")}
    )
    return Segmentation(
        file.path,
        tuple(
            _segment(number, roi, observed, is_drawn)
            for number, (roi, is_drawn) in enumerate(zip(rois, drawn, strict=True), 1)
        ),
        tuple(dict.fromkeys(text(item, "SeriesInstanceUID") for item in series)),
        frozenset(text(item, "ReferencedSOPInstanceUID") for item in instances),
        frozenset(spaces - {""}),
        "RTSTRUCT",
    )


def _segment(number: int, roi: Any, observed: dict[int, Any], drawn: bool) -> Segment:
    label = text(roi, "ROIName") or f"region {number}"
    observation = observed.get(whole(roi, "ROINumber", -1))
    type_ = None if observation is None else code_in(observation, "RTROIIdentificationCodeSequence")
    region = None if observation is None else code_in(observation, "AnatomicRegionSequence")
    modifiers = [
        code_in(item, "SegmentedPropertyTypeModifierCodeSequence")
        for item in items_in(observation, "RTROIIdentificationCodeSequence")
    ]
    sides = tuple(code for code in modifiers if code is not None)
    return Segment(number, label, (None if type_ is None else name_of(type_, sides, region)) or label, drawn)


def _contour_items(file: DicomFile) -> list[list[Any]]:
    """The contours of each region, in the order of the regions.

    Raises ImageError where it isn't known whose they are.
    """
    with one_line(file.path):
        of_number: defaultdict[int | None, list[Any]] = defaultdict(list)
        for item in items_in(file.elements, "ROIContourSequence"):
            if contours := items_in(item, "ContourSequence"):
                of_number[_number(item, "ReferencedROINumber")] += contours
        numbers = [_number(roi, "ROINumber") for roi in items_in(file.elements, "StructureSetROISequence")]
    if len(set(numbers)) < len(numbers):
        raise ImageError(f"{file.path}: two regions have one number (ROI Number); export it again")
    if None in of_number or not set(of_number) <= set(numbers):
        lost = " and ".join("without a number" if n is None else str(n) for n in of_number if n not in numbers)
        raise ImageError(f"{file.path}: has contours of region {lost}, which isn't described; export it again")
    return [of_number[number] for number in numbers]


def _number(item: Any, word: str) -> int | None:
    """The number by which contours say whose they are; None where there is none."""
    number = whole(item, word, -1)
    return None if number < 0 else number


def _kind(item: Any) -> str:
    """The type of a contour; closed where it says none."""
    return text(item, "ContourGeometricType") or CLOSED[0]


def _contours(items: list[Any], inverse: np.ndarray, series: Series, segment: Segment, path: Path) -> Iterator[Contour]:
    """The closed contours of a region, placed on the series' slices."""
    levels = _levels(series)
    for item in items:
        if (kind := _kind(item)) not in CLOSED:
            if kind not in (*OPEN, "POINT"):
                raise ImageError(
                    f"{path}: a contour of {segment.label!r} is of no known type ({kind}); export it again"
                )
            continue
        voxels = _points(item, path) @ inverse[:3, :3].T + inverse[:3, 3]
        level = round(float(voxels[:, 2].mean()))
        off = float(np.abs(voxels[:, 2] - level).max())
        if off > OFF_SLICE:
            raise InputError(
                f"{path}: a contour of {segment.label!r} lies {off:.2g} slices beside those of series {series.name}, "
                "as if drawn on another series or direction; export it on the series' own slices"
            )
        in_plane = voxels[:, :2]
        beside = max(float(-in_plane.min()) - 0.5, float((in_plane - series.shape[:2]).max()) + 0.5)
        if not 0 <= level < series.shape[2] or beside > BESIDE_PIXELS:
            raise InputError(
                f"{path}: {segment.label!r} goes beyond series {series.name}; the whole series that it was drawn on is "
                "needed"
            )
        if complaint := _other_slice(item, level, levels, path):
            raise InputError(
                f"{path}: a contour of {segment.label!r} lies on slice {level + 1} of series {series.name}, and names "
                f"{complaint}; which is meant can't be known: export it again"
            )
        yield Contour(in_plane, level, kind == CLOSED[1])


def _open_ones(items: list[Any]) -> int:
    return sum(_kind(item) in OPEN for item in items)


def _levels(series: Series) -> dict[tuple[str, int | None], set[int]]:
    """{(image's UID, number of its frame or None): on which slices it lies}."""
    levels: defaultdict[tuple[str, int | None], set[int]] = defaultdict(set)
    for level, frame in enumerate(series.frames):
        for number in (None, frame.number + 1):
            levels[frame.instance_uid, number].add(level)
    return levels


def _other_slice(item: Any, level: int, levels: dict[tuple[str, int | None], set[int]], path: Path) -> str | None:
    """What a contour names as its image, if that is another one than its slice's."""
    with one_line(path):
        images = [image for image in items_in(item, "ContourImageSequence") if text(image, "ReferencedSOPInstanceUID")]
        named = [
            (text(image, "ReferencedSOPInstanceUID"), number)
            for image in images
            for number in (frame_numbers(image) or [None])
        ]
    on = {each for name in named for each in levels.get(name, ())}
    if not named or level in on:
        return None
    return f"the image of slice {min(on) + 1}" if on else "an image that the series doesn't have"


def _points(item: Any, path: Path) -> np.ndarray:
    """The points (n, 3) of a contour in LPS mm."""
    with one_line(path):
        element = item.get_item(CONTOUR_DATA) if CONTOUR_DATA in item else None
        content = b"" if element is None else element.value
        parts = content.split(b"\\") if isinstance(content, bytes) else list(content or ())
    try:
        numbers = np.array([float(part) for part in parts])
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if len(numbers) % 3 or not len(numbers) or not np.isfinite(numbers).all() or np.abs(numbers).max() > 1e7:
        expected = f"expected x, y, z of each point of a contour, got {len(parts)} values"
        raise ImageError(f"{path}: {expected}; export it again")
    if (count := whole(item, "NumberOfContourPoints", len(numbers) // 3)) != len(numbers) // 3:
        message = f"a contour says that it has {counted(count, 'point')}, and has {len(numbers) // 3}"
        raise ImageError(f"{path}: {message}; export it again")
    return numbers.reshape(-1, 3)


def _notes(segment: Segment, levels: list[int], open_ones: int) -> Iterator[str]:
    if levels and open_ones:
        yield f"{segment.label!r} has {counted(open_ones, 'open contour')}, which encloses nothing: passed over"
    if not levels:
        yield f"{segment.label!r} has no closed contour: nothing was drawn of it"
    elif levels[-1] - levels[0] + 1 > len(levels):
        missing = counted(levels[-1] - levels[0] + 1 - len(levels), "slice")
        yield f"{segment.label!r} has no contour in {missing} between its first and its last: background there"
