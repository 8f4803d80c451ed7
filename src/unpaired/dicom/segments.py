"""What segmentations of any kind are read as: segments with names, and a label map on a series' grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpaired.choices import some_of
from unpaired.data.class_codes import Code
from unpaired.data.file_names import same_file_key
from unpaired.data.formats.dicom_file import DicomFile, read_elements
from unpaired.data.image import ImageError
from unpaired.dicom.attributes import text, value
from unpaired.dicom.index import Index, Series
from unpaired.errors import InputError


@dataclass(frozen=True)
class Segment:
    """One segment of a SEG object, or one region of interest (ROI) of an RTSTRUCT.

    `name` is the table's for its coded terms (`unpaired.dicom.codes`), such as "left kidney"; its own label for others.
    A region that is not `drawn` has a name and no closed contour, as templates leave those that nobody came to; a SEG's
    segment without a voxel says that there is none.
    """

    number: int
    label: str
    name: str
    drawn: bool = True


@dataclass(frozen=True)
class Segmentation:
    """What a SEG object or an RTSTRUCT says of itself.

    `series_uids` are the series that it was drawn on, `instance_uids` the images of these that it names, `frames` the
    frames of multi-frame ones that it names, each (image's UID, number from 1). `spaces` are the UIDs of the frames of
    reference that it lies in, as far as it says so: one, or several of an RTSTRUCT with regions of several scans.
    """

    path: Path
    segments: tuple[Segment, ...]
    series_uids: tuple[str, ...]
    instance_uids: frozenset[str]
    spaces: frozenset[str]
    kind: str
    """BINARY, FRACTIONAL or LABELMAP; RTSTRUCT for contours."""
    frames: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class LabelMap:
    """Segment numbers on a series' grid (column, row, slice); 0 is background. `notes` are what to know of it."""

    array: np.ndarray
    notes: tuple[str, ...] = ()


def open_object(path: Path, modality: str, sequence: str, tags: Sequence[str], pixels: bool = False) -> DicomFile:
    """The elements `tags` of a DICOM object of a modality, which holds `sequence`; ImageError for any other file."""
    from pydicom.datadict import tag_for_keyword

    if not path.is_file():
        raise ImageError(f"expected a DICOM {modality} object, found none at {path}; check the path", "missing")
    file = read_elements(path, tuple(tag_for_keyword(word) or 0 for word in tags), pixels=pixels)
    if text(file.elements, "Modality") != modality and sequence not in file.elements:
        other = text(file.elements, "Modality") or "nothing"
        raise ImageError(f"{path}: expected a DICOM {modality} object, got {other}; name the segmentation's file")
    return file


def segmented_series(segmentation: Segmentation, index: Index) -> Series:
    """The volume of an index that a segmentation was drawn on, by its references alone.

    Of the volumes of the series that it names, or else of those whose images it names, that with the most of these
    images and frames. Raises InputError where the tree has none of them, where several volumes fit alike, and where the
    images that it names are all of another series than the one that it names.
    """
    volumes = [series for uid in segmentation.series_uids for series in index.of_uid(uid)]
    if not segmentation.series_uids:
        volumes = [series for series in index.series if any(_named(segmentation, series))]
    usable = [series for series in volumes if series.problem is None]
    if not usable:
        if not segmentation.series_uids and not segmentation.instance_uids:
            raise InputError(f"{segmentation.path}: names neither a series nor images that it was drawn on")
        uids = " and ".join(segmentation.series_uids[:3]) or "of images that it names"
        why = f"which is no volume: {volumes[0].problem}" if volumes else f"not in {index.root}; add that series"
        raise InputError(f"{segmentation.path}: was drawn on series {uids}, {why}")
    named = {series: _named(segmentation, series) for series in usable}
    best = [series for series, count in named.items() if count == max(named.values())]
    if len(best) > 1:
        names = some_of([series.name for series in best])
        raise InputError(f"{segmentation.path}: fits several volumes alike ({names}); keep the one it was drawn on")
    others = [series for series in index.series if any(_named(segmentation, series))]
    if others and not any(named[best[0]]):
        raise InputError(
            f"{segmentation.path}: names series {best[0].name}, but images of series {others[0].name}; which it was "
            "drawn on can't be known: export it again"
        )
    return best[0]


def _named(segmentation: Segmentation, series: Series) -> tuple[int, int]:
    """How many of a volume's images, and of its frames, a segmentation names."""
    images = {frame.instance_uid for frame in series.frames}
    frames = {(frame.instance_uid, frame.number + 1) for frame in series.frames}
    return len(images & segmentation.instance_uids), len(frames & segmentation.frames)


def require_same_space(segmentation: Segmentation, series: Series) -> tuple[str, ...]:
    """Raise InputError where a segmentation says that it lies in another frame of reference than a series.

    Contours that name images of the series alone lie on these whatever they say: rt-utils wrote a random frame of
    reference for years. That is a note, the only one.
    """
    own, other = segmentation.spaces, series.frame_of_reference_uid
    if not own or not other or own == {other}:
        return ()
    images = {frame.instance_uid for frame in series.frames}
    if segmentation.kind == "RTSTRUCT" and segmentation.instance_uids and segmentation.instance_uids <= images:
        return ("says another frame of reference than its images have; it is read on these",)
    raise InputError(
        f"{segmentation.path}: lies in another frame of reference ({' and '.join(sorted(own))}) than series "
        f"{series.name} ({other}); it was drawn on another scan" + (", in part" if other in own else "")
    )


def paint(view: np.ndarray, mask: np.ndarray, segment: Segment, segmentation: Segmentation) -> None:
    """Give the voxels of a mask a segment's number. Raises InputError where a segment of another name has one of them:
    two lesions may touch."""
    alike = [each.number for each in segmentation.segments if same_file_key(each.name) == same_file_key(segment.name)]
    taken = view[mask]
    other = taken[(taken != 0) & ~np.isin(taken, alike)]
    if other.size:
        first = next(each for each in segmentation.segments if each.number == other[0])
        raise InputError(
            f"{segmentation.path}: {first.label!r} and {segment.label!r} overlap (in {other.size} voxels of a slice), "
            "and a voxel has one label: keep segments that don't overlap"
        )
    view[mask] = segment.number


def items_in(item: Any, word: str) -> list[Any]:
    return list(value(item, word) or ())


def frame_numbers(item: Any) -> list[int]:
    """The numbers, from 1, of an image's frames that a reference names."""
    content = value(item, "ReferencedFrameNumber")
    return [int(number) for number in ([content] if isinstance(content, str | int) else content or ())]


def code_in(item: Any, word: str) -> Code | None:
    """The first coded term of a sequence; None where it is missing or damaged."""
    for entry in items_in(item, word):
        try:
            scheme = "SCT" if text(entry, "CodingSchemeDesignator") in ("SCT", "SNM3") else None
            return Code(
                text(entry, "CodeValue"),
                text(entry, "CodeMeaning") or "unnamed",
                scheme or text(entry, "CodingSchemeDesignator"),
            )
        except InputError:
            return None
    return None
