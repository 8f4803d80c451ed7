"""Write a label map as RTSTRUCT (PS3.3 A.19): closed contours in patient coordinates, slice by slice, with holes.

Points lie halfway between the centers of neighboring pixels, so that filling them gives the label map back. A region
with a hole is one contour with a channel to it ("keyhole"), which every planning system reads, or contours of the type
CLOSEDPLANAR_XOR.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unpaired.data.class_codes import ClassCode, Code
from unpaired.dicom.codes import code_of
from unpaired.dicom.deidentify import deidentify
from unpaired.dicom.index import Frame, Series
from unpaired.dicom.rasterize import keyhole, outlines
from unpaired.dicom.segmentation import LONGEST, Algorithm
from unpaired.dicom.source import (
    MANUFACTURER,
    derived_number,
    frame_of_reference,
    image_reference,
    image_references,
    read_source,
    save_object,
    share,
)
from unpaired.dicom.volume import on_frames
from unpaired.errors import InputError

Holes = Literal["keyhole", "exclusive"]


def write_structure_set(
    path: str | Path,
    label_map: np.ndarray,
    series: Series,
    names: Mapping[int, str],
    codes: Mapping[str, ClassCode | str] | None = None,
    *,
    label: str = "segmentation",
    holes: Holes = "keyhole",
    algorithm: Algorithm | None = None,
    anonymous: bool = False,
) -> None:
    """Write the regions of a label map as an RTSTRUCT of the series that it lies on, atomically.

    label_map: integers on the volume's grid (column, row, slice), as `read_volume` has it.  names: {value: class}; a
    class without voxels becomes a region without contours.  codes: a manifest's own coded terms.  label: the structure
    set's, of at most 16 characters.  algorithm: what made the label map.  anonymous: without the patient's identity, by
    the standard's basic profile (`deidentify`).  Equal label maps of equal sources and weights have equal UIDs.  Raises
    InputError for a value without a name, and for a shape that isn't the volume's.
    """
    from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

    unnamed = sorted({int(value) for value in np.unique(label_map)} - {0, *names})
    if unnamed:
        raise InputError(f"{path}: expected a class for every value of the label map, got none for {unnamed[0]}")
    on_slices = on_frames(label_map, series)
    algorithm = algorithm or Algorithm("unpaired", version("unpaired"))
    file = _described(series, label, algorithm, [label, *names.values(), repr(codes)])
    file.ReferencedFrameOfReferenceSequence = [_references(series)]
    file.StructureSetROISequence, file.ROIContourSequence, file.RTROIObservationsSequence = [], [], []
    for number, (value, name) in enumerate(names.items(), start=1):
        code = code_of(name, codes)
        contours = list(_contours(on_slices == value, series, holes))
        file.StructureSetROISequence.append(_region(number, name, series))
        file.ROIContourSequence.append(_contour_item(number, code, contours))
        file.RTROIObservationsSequence.append(_observation(number, code))
    file.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # explicit, a contour may have 64 KB only
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    digest = sha256(np.ascontiguousarray(label_map).tobytes()).hexdigest()
    seeds = [series.name, label, holes, repr(dict(names)), repr(codes), *algorithm.weights, digest]
    file.SeriesInstanceUID = generate_uid(entropy_srcs=["structures", *seeds])
    file.SOPInstanceUID = generate_uid(entropy_srcs=["structure set", *seeds])
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    if anonymous:
        deidentify(file)
    save_object(file, path)


def _described(series: Series, label: str, algorithm: Algorithm, words: Iterable[str]) -> Any:
    """Patient, study and series of the object."""
    from pydicom.dataset import Dataset, FileMetaDataset

    file, now = Dataset(), datetime.now()
    file.file_meta = FileMetaDataset()
    share(file, read_source(series), series, words)
    file.Modality, file.SeriesNumber = "RTSTRUCT", derived_number(series)
    file.SeriesDescription, file.OperatorsName, file.InstanceNumber = label[:64], "", 1
    file.Manufacturer, file.ManufacturerModelName = MANUFACTURER, algorithm.name[:LONGEST]
    file.SoftwareVersions = algorithm.version[:LONGEST]
    file.DeviceSerialNumber = ("".join(algorithm.weights) or "none")[:LONGEST]
    file.StructureSetLabel = label[:16]
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    file.StructureSetDate, file.StructureSetTime = date, time
    file.SeriesDate, file.SeriesTime = date, time
    file.InstanceCreationDate, file.InstanceCreationTime = date, time
    file.ApprovalStatus = "UNAPPROVED"
    return file


def _references(series: Series) -> Any:
    """The frame of reference, study and series that the contours lie in, and all of its images."""
    referenced = _item(SeriesInstanceUID=series.uid, ContourImageSequence=image_references(series))
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",  # Detached Study Management, which programs expect here
        ReferencedSOPInstanceUID=series.study_uid,
        RTReferencedSeriesSequence=[referenced],
    )
    return _item(FrameOfReferenceUID=frame_of_reference(series), RTReferencedStudySequence=[study])


def _region(number: int, name: str, series: Series) -> Any:
    return _item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=frame_of_reference(series),
        ROIName=name[:64],
        ROIGenerationAlgorithm="AUTOMATIC",
    )


def _contour_item(number: int, code: ClassCode, contours: list[Any]) -> Any:
    item = _item(ROIDisplayColor=list(code.color or (255, 0, 0)), ReferencedROINumber=number)
    if contours:
        item.ContourSequence = contours
    return item


def _observation(number: int, code: ClassCode) -> Any:
    item = _item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="", ROIInterpreter="")
    type_ = _code(code.type)
    if code.modifier is not None:
        type_.SegmentedPropertyTypeModifierCodeSequence = [_code(code.modifier)]
    item.RTROIIdentificationCodeSequence = [type_]
    return item


def _code(code: Code) -> Any:
    return _item(CodeValue=code.value, CodingSchemeDesignator=code.scheme, CodeMeaning=code.meaning)


def _contours(mask: np.ndarray, series: Series, holes: Holes) -> Iterator[Any]:
    """The contours of a mask (column, row, slice), in the order of the slices."""
    for level in np.flatnonzero(mask.any(axis=(0, 1))):
        frame, parts = series.frames[level], list(outlines(mask[..., level]))
        if holes == "keyhole" or all(len(rings) == 1 for rings in parts):
            yield from (_contour(keyhole(rings), frame, series, "CLOSED_PLANAR") for rings in parts)
        else:  # all of a slice: the type says how its contours go together
            yield from (_contour(ring, frame, series, "CLOSEDPLANAR_XOR") for rings in parts for ring in rings)


def _contour(points: np.ndarray, frame: Frame, series: Series, kind: str) -> Any:
    """A contour's item; its points (n, 2) count in columns and rows of a frame."""
    assert frame.position is not None  # frames of a volume have a place
    assert frame.row is not None
    assert frame.column is not None
    assert frame.spacing_mm is not None
    across = np.array(frame.row) * frame.spacing_mm[0]
    down = np.array(frame.column) * frame.spacing_mm[1]
    places = np.array(frame.position) + points[:, :1] * across + points[:, 1:] * down
    return _item(
        ContourImageSequence=[image_reference(frame, series)],
        ContourGeometricType=kind,
        NumberOfContourPoints=len(places),
        ContourData=[f"{part:.5f}" for part in places.ravel() + 0.0],
    )


def _item(**attributes: Any) -> Any:
    from pydicom.dataset import Dataset

    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset
