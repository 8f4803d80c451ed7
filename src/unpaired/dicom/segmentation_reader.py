"""Read DICOM SEG objects (PS3.3 A.51, A.51.5): which segments there are, and the label map on a series' grid.

Binary, fractional (from half of its largest value on) and label map segmentations; frames in any order and direction,
of any part of the slices. What has no frame is background. Frames lie on the series' voxels exactly, or are refused.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.data.formats.dicom_file import DicomFile, one_line
from unpaired.data.formats.payload import require_affordable
from unpaired.data.image import ImageError
from unpaired.dicom.attributes import numbers, text, value, whole
from unpaired.dicom.codes import name_of
from unpaired.dicom.index import Series
from unpaired.dicom.placement import Plane, place_on
from unpaired.dicom.segment_pixels import frames_of
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

TYPE = "SegmentedPropertyTypeCodeSequence"
REGION = "AnatomicRegionSequence"
TAGS = (
    "SpecificCharacterSet",
    "Modality",
    "SegmentationType",
    "SegmentSequence",
    "MaximumFractionalValue",
    "ReferencedSeriesSequence",
    "SourceImageSequence",
    "FrameOfReferenceUID",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelData",
)


def read_segments(path: str | Path) -> Segmentation:
    """The segments of a SEG object and what they were drawn on, without its pixels. Raises ImageError for others."""
    return _described(_open(path, pixels=False))


def read_segmentation(path: str | Path, series: Series, wanted: Collection[int] | None = None) -> LabelMap:
    """The label map of a SEG object on the grid of its series; `wanted` keeps these segment numbers alone.

    Raises InputError, with one line: where segments overlap (a voxel has one label), where frames lie beside the
    series' voxels or outside of it, and for another frame of reference; ImageError for damage.
    """
    file = _open(path, pixels=True)
    described = _described(file)
    notes = require_same_space(described, series)
    segments = {segment.number: segment for segment in described.segments}
    array = np.zeros(series.shape, np.uint8 if max(segments, default=0) < 256 else np.uint16)
    require_affordable(array.nbytes, file.path)
    planes = _planes(file)
    for frame, pixels in frames_of(file):
        plane, shown = planes[frame]
        for number, mask in _masks(file, described.kind, shown, pixels):
            if number not in segments:
                raise ImageError(f"{file.path}: a frame shows segment {number}, which isn't described; export it again")
            if mask.any() and (wanted is None or number in wanted):
                _paint(array, series, plane, mask, segments[number], described)
    return LabelMap(array, notes)


def _open(path: str | Path, pixels: bool) -> DicomFile:
    return open_object(Path(path), "SEG", "SegmentSequence", TAGS, pixels)


def _described(file: DicomFile) -> Segmentation:
    with one_line(file.path):
        kind = text(file.elements, "SegmentationType")
        segments = tuple(_segment(item) for item in value(file.elements, "SegmentSequence") or ())
        series = items_in(file.elements, "ReferencedSeriesSequence")
        instances = [each for item in series for each in items_in(item, "ReferencedInstanceSequence")]
        groups = items_in(file.elements, "PerFrameFunctionalGroupsSequence")
        derivations = [each for group in groups for each in items_in(group, "DerivationImageSequence")]
        sources = [each for item in (file.elements, *derivations) for each in items_in(item, "SourceImageSequence")]
        frames = {
            (text(item, "ReferencedSOPInstanceUID"), number) for item in sources for number in frame_numbers(item)
        }
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise ImageError(f"{file.path}: expected a segmentation of binary, fractional or label map type, got {kind!r}")
    segments = tuple(segment for segment in segments if segment.number > 0)  # 0 is a label map's background
    numbers_ = [segment.number for segment in segments]
    if len(set(numbers_)) < len(numbers_):
        raise ImageError(f"{file.path}: two segments have one number; export it again")
    return Segmentation(
        file.path,
        segments,
        tuple(dict.fromkeys(text(item, "SeriesInstanceUID") for item in series)),
        frozenset(text(item, "ReferencedSOPInstanceUID") for item in (*instances, *sources)),
        frozenset(filter(None, [text(file.elements, "FrameOfReferenceUID")])),
        kind,
        frozenset(frames),
    )


def _segment(item: Any) -> Segment:
    type_, region = code_in(item, TYPE), code_in(item, REGION)
    modifiers = [
        code_in(holder, word)
        for holder, word in (
            *((each, "SegmentedPropertyTypeModifierCodeSequence") for each in (item, *items_in(item, TYPE))),
            *((each, "AnatomicRegionModifierSequence") for each in (item, *items_in(item, REGION))),
        )
    ]
    label = text(item, "SegmentLabel") or "segment"
    sides = tuple(code for code in modifiers if code is not None)
    name = None if type_ is None else name_of(type_, sides, region)
    return Segment(whole(item, "SegmentNumber", -1), label, name or label)


def _planes(file: DicomFile) -> list[tuple[Plane, int]]:
    """Of each frame its plane and its segment's number (0 in a label map)."""
    columns, rows = file.size
    with one_line(file.path):
        per_frame = list(value(file.elements, "PerFrameFunctionalGroupsSequence") or ())
        shared = list(value(file.elements, "SharedFunctionalGroupsSequence") or ())
        if len(per_frame) != file.frames and not (file.frames == 1 and not per_frame):
            raise ImageError(f"{file.path}: has {file.frames} frames, but says of {len(per_frame)} where they lie")
        return [
            _plane(file.path, [*([group] if group is not None else []), *shared], (columns, rows))
            for group in per_frame or [None]
        ]


def _plane(path: Path, groups: list[Any], size: tuple[int, int]) -> tuple[Plane, int]:
    def look(macro: str, word: str) -> Any:
        return next((c for group in groups for i in items_in(group, macro) if (c := value(i, word)) is not None), None)

    position = numbers(look("PlanePositionSequence", "ImagePositionPatient"), 3)
    directions = numbers(look("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    between = numbers(look("PixelMeasuresSequence", "PixelSpacing"), 2)
    if position is None or directions is None or between is None or min(between) <= 0:
        raise ImageError(f"{path}: a frame doesn't say where it lies in the patient; only such segmentations are read")
    segment = look("SegmentIdentificationSequence", "ReferencedSegmentNumber")
    row, column = np.array(directions[:3]), np.array(directions[3:])
    plane = Plane(np.array(position), row, column, (between[1], between[0]), size)
    return plane, 0 if segment is None else int(segment)


def _masks(file: DicomFile, kind: str, segment: int, pixels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(segment number, its pixels) of a frame."""
    if kind == "LABELMAP":
        yield from ((int(number), pixels == number) for number in np.unique(pixels) if number)
    elif kind == "FRACTIONAL" and file.whole("BitsAllocated") > 1:
        most = file.whole("MaximumFractionalValue", 0)
        if pixels.max(initial=0) > most:
            says = f"a fraction of {pixels.max()}, more than its largest value (Maximum Fractional Value {most})"
            raise ImageError(f"{file.path}: has {says}; export it again")
        yield segment, pixels.astype(np.uint32) * 2 >= max(most, 1)
    else:
        yield segment, pixels != 0


def _paint(
    array: np.ndarray, series: Series, plane: Plane, mask: np.ndarray, segment: Segment, described: Segmentation
) -> None:
    try:
        place = place_on(series, plane)
    except InputError as error:
        raise InputError(f"{described.path}: {error}") from error
    cut = place.cut(array, plane.size)
    if cut is None or mask.sum() > mask[cut[1]].sum():
        raise InputError(
            f"{described.path}: {segment.label!r} goes beyond series {series.name}; the whole series that it was drawn "
            "on is needed"
        )
    view, inside = cut
    paint(view, mask[inside], segment, described)
