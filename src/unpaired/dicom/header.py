"""What one DICOM file says, without its pixels: an image's slices, each with what may set it apart, or an object.

Nothing that a person may have written ends in a traceback: an attribute that can't be read counts as missing, a file
that can't be read raises ImageError with one line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unpaired.data.formats.dicom_file import one_line, read_elements
from unpaired.data.image import ImageError
from unpaired.dicom.attributes import image_type, numbers, plain, pseudonym, tag_of, text, value, whole
from unpaired.dicom.index import Frame, Series, StoredObject, Triple

MACROS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "StackID": "FrameContentSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "DiffusionGradientDirectionSequence": "MRDiffusionSequence",
    "FlipAngle": "MRTimingAndRelatedParametersSequence",
    "InversionTimes": "MRModifierSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "TemporalPositionTimeOffset": "TemporalPositionSequence",
    "ConvolutionKernel": "CTReconstructionSequence",
}
"""Where a multi-frame file keeps, for each frame or for all, what a classic one has at its top (PS3.3 C.7.6.16)."""
FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
KEYS = {
    "stack": ("StackID",),
    "echo time": ("EffectiveEchoTime", "EchoTime"),
    "b": ("DiffusionBValue", 0x0019100C, 0x20011003, 0x00431039),
    "gradient": ("DiffusionGradientOrientation", 0x0019100E),
    "inversion time": ("InversionTime", "InversionTimes"),
    "flip angle": ("FlipAngle",),
    "sequence": ("SequenceName",),
    "kernel": ("ConvolutionKernel",),
    "time point": ("TemporalPositionIndex", "TemporalPositionIdentifier", "TemporalPositionTimeOffset"),
    "cardiac phase": ("NominalCardiacTriggerDelayTime", "TriggerTime"),
    "acquisition": ("AcquisitionNumber", "FrameAcquisitionNumber"),
    "acquisition time": ("AcquisitionDateTime", "AcquisitionTime"),
    "content time": ("ContentTime",),
}
"""What may set the volumes of one series apart, and the attributes that say it; numbers are private (Siemens, Philips,
GE). The order is that in which `split` tries them."""
SERIES = (
    "SpecificCharacterSet",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "SOPInstanceUID",
    "SOPClassUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "SeriesDescription",
    "ProtocolName",
    "SequenceName",
    "SeriesNumber",
    "InstanceNumber",
    "ImageType",
    "Manufacturer",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ReferencedSeriesSequence",
    "ReferencedFrameOfReferenceSequence",
    "ContentLabel",
    "StructureSetLabel",
    "BitsAllocated",
    "ModalityLUTSequence",
)
OBJECTS = ("SEG", "RTSTRUCT", "SR", "PR", "KO", "RTPLAN", "RTDOSE", "REG", "FID", "DOC", "ANN", "AU", "SM", "RWV")
"""Modalities whose files aren't taken for scans."""
CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
}
"""SOP classes of segmentations, label maps and contours, which say what a file is where its modality says another."""
DIRECTORY = "1.2.840.10008.1.3.10"
"""The SOP class of a DICOMDIR, whatever its file is called."""


@dataclass(frozen=True)
class Slice:
    """A frame and what may set it apart from others at its place: {name of `KEYS`: value}."""

    frame: Frame
    keys: dict[str, Any]


@dataclass(frozen=True)
class ImageHeader:
    """An image's file: its series as far as one file says (without frames), its slices; why it is none of a volume."""

    series: Series
    slices: tuple[Slice, ...]
    problem: str | None = None


def read_header(path: Path) -> ImageHeader | StoredObject | None:
    """What a file says; None if it is no DICOM after all. Raises ImageError, in one line, for a damaged one."""
    file = read_elements(path, tags(), pixels=False)
    with one_line(path):
        elements = file.elements
        if "SOPClassUID" not in elements and "Rows" not in elements and "Modality" not in elements:
            meta = getattr(elements, "file_meta", None)
            if not meta or text(meta, "MediaStorageSOPClassUID") == DIRECTORY:
                return None
            raise ImageError(f"{path}: unreadable or truncated DICOM: doesn't say what it is; export it again")
        kind = CLASSES.get(text(elements, "SOPClassUID"), text(elements, "Modality"))
        if kind in OBJECTS or "Rows" not in elements:
            return _object(path, elements, kind)
        return _image(path, elements)


@cache
def tags() -> tuple[int, ...]:
    """The tags that are read of a file."""
    named = (*SERIES, *MACROS, *(word for words in KEYS.values() for word in words))
    return tuple(dict.fromkeys(map(tag_of, named)))


def _image(path: Path, elements: Any) -> ImageHeader:
    count = whole(elements, "NumberOfFrames", 1)
    per_frame = list(value(elements, "PerFrameFunctionalGroupsSequence") or ())
    shared = list(value(elements, "SharedFunctionalGroupsSequence") or ())
    problem = _pixel_problem(elements)
    if count > 1 and len(per_frame) != count:
        problem = problem or f"{count} frames in one file without a place for each of them"
        count = 1
    groups = [[per_frame[number], *shared] if number < len(per_frame) else shared for number in range(max(count, 1))]
    slices = tuple(_slice(path, elements, number, group) for number, group in enumerate(groups))
    return ImageHeader(_series(elements), slices, problem)


def _pixel_problem(elements: Any) -> str | None:
    kind = text(elements, "PhotometricInterpretation") or "MONOCHROME2"
    if whole(elements, "SamplesPerPixel", 1) != 1 or not kind.startswith("MONOCHROME"):
        return f"color ({kind}), not gray"
    if any("MOSAIC" in part for part in image_type(elements)):
        return "a mosaic of slices in one picture (Siemens); export it as enhanced DICOM, or convert it (dcm2niix)"
    if value(elements, "ModalityLUTSequence"):
        return "its values pass through a table (Modality LUT), which isn't read"
    return None


def _series(elements: Any) -> Series:
    return Series(
        uid=text(elements, "SeriesInstanceUID"),
        study_uid=text(elements, "StudyInstanceUID"),
        frame_of_reference_uid=text(elements, "FrameOfReferenceUID"),
        patient=pseudonym(elements),
        modality=text(elements, "Modality"),
        frames=(),
        description=text(elements, "SeriesDescription"),
        protocol=text(elements, "ProtocolName"),
        sequence=text(elements, "SequenceName"),
        number=whole(elements, "SeriesNumber", 0),
        image_type=image_type(elements),
        manufacturer=text(elements, "Manufacturer"),
    )


def _slice(path: Path, elements: Any, number: int, groups: list[Any]) -> Slice:
    def look(word: str | int) -> Any:
        for group in groups if isinstance(word, str) and word in MACROS else ():
            for macro in value(group, MACROS[str(word)]) or ():
                if (inside := value(macro, word)) is not None:
                    return inside
        return value(elements, word)

    between = numbers(look("PixelSpacing"), 2)
    directions = numbers(look("ImageOrientationPatient"), 6)
    frame = Frame(
        path,
        number,
        text(elements, "SOPInstanceUID"),
        text(elements, "SOPClassUID"),
        (whole(elements, "Columns", 0), whole(elements, "Rows", 0)),
        _triple(numbers(look("ImagePositionPatient"), 3)),
        _triple(directions[:3]) if directions else None,
        _triple(directions[3:]) if directions else None,
        (between[1], between[0]) if between and min(between) > 0 else None,
        whole(elements, "InstanceNumber", 0),
    )
    return Slice(frame, dict(_keys(look, groups, elements)))


def _keys(look: Any, groups: list[Any], elements: Any) -> Iterator[tuple[str, Any]]:
    kinds = [macro for group in groups for name in FRAME_TYPES for macro in value(group, name) or ()]
    frame_type = next((kind for macro in kinds if (kind := value(macro, "FrameType"))), None)
    yield "image type", tuple(map(str, frame_type)) if frame_type else image_type(elements)
    for name, words in KEYS.items():
        known = next((content for word in words if (content := look(word)) is not None), None)
        if known is not None:
            yield name, plain(known)
    for group in groups:
        for macro in value(group, "MRDiffusionSequence") or ():
            for gradient in value(macro, "DiffusionGradientDirectionSequence") or ():
                yield "gradient", plain(value(gradient, "DiffusionGradientOrientation"))


def _object(path: Path, elements: Any, kind: str) -> StoredObject:
    series = _series(elements)
    labels = (series.description, text(elements, "ContentLabel"), text(elements, "StructureSetLabel"))
    return StoredObject(
        path,
        text(elements, "SOPInstanceUID"),
        text(elements, "SOPClassUID"),
        series.uid,
        series.study_uid,
        series.frame_of_reference_uid or next(iter(_named(elements, "FrameOfReferenceUID")), ""),
        series.patient,
        kind,
        next((label for label in labels if label), ""),
        tuple(dict.fromkeys(_named(elements, "SeriesInstanceUID"))),
    )


def _named(elements: Any, word: str) -> Iterator[str]:
    """The UIDs called `word` in what an object refers to: SEG at the top, RTSTRUCT two sequences below."""
    for item in value(elements, "ReferencedSeriesSequence") or ():
        yield from filter(None, [text(item, word)])
    for frame in value(elements, "ReferencedFrameOfReferenceSequence") or ():
        yield from filter(None, [text(frame, word)])
        for study in value(frame, "RTReferencedStudySequence") or ():
            for item in value(study, "RTReferencedSeriesSequence") or ():
                yield from filter(None, [text(item, word)])


def _triple(parts: tuple[float, ...] | None) -> Triple | None:
    return None if parts is None else (parts[0], parts[1], parts[2])
