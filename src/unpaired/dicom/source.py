"""What an object that is derived from a series has to know of it: its files' attributes without pixels, completed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpaired.data.formats.dicom_file import one_line
from unpaired.data.image import ImageError
from unpaired.dicom.index import Series

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

REQUIRED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
"""Attributes that may be empty but have to be there (type 2); anonymizers drop them."""
EXTENSION = "ISO 2022"
"""Character sets that are for several in one file; scanners name one of them alone, which highdicom refuses."""


def read_sources(series: Series) -> "list[Dataset]":
    """The attributes of the series' files in the order of its slices; what has to be there is, empty.

    A series without a Frame of Reference UID gets one of its own, made of its series UID. Raises ImageError for files
    that are damaged, or that lack the UIDs by which an object refers to them.
    """
    return [_source(path, series) for path in series.files]


def _source(path: Path, series: Series) -> "Dataset":
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    with one_line(path):
        dataset: Any = dcmread(path, force=True, stop_before_pixels=True)
        for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            if not dataset.get(name):
                raise ImageError(f"{path}: has no {name}, by which a segmentation would refer to it; export it again")
        for name in REQUIRED:
            if dataset.get(name) is None:
                setattr(dataset, name, "")
        if not dataset.get("FrameOfReferenceUID"):
            dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame of reference", series.uid])
        if dataset.get("SliceThickness") is None and series.spacing_mm is not None:
            dataset.SliceThickness = f"{series.spacing_mm[2]:.10g}"
        encoding = dataset.get("SpecificCharacterSet")
        if isinstance(encoding, str) and encoding.startswith(EXTENSION):
            dataset.decode()  # before the word changes that says how
            dataset.SpecificCharacterSet = "ISO_IR 192"  # UTF-8 holds them all
        if not dataset.get("SeriesNumber"):
            dataset.SeriesNumber = series.number
    return dataset
