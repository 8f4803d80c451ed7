"""What an object that is derived from a series shares with it: whose it is, of which study, how it names its images.

Whatever of a patient or study is absent in the files, or damaged, is empty where it has to be there, and else left out.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpaired.data.formats.dicom_file import one_line, read_elements
from unpaired.data.image import ImageError
from unpaired.dicom.attributes import numbers, tag_of, value
from unpaired.dicom.index import Frame, Series
from unpaired.files import atomic

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

KEYS = ("PatientName", "PatientID", "StudyID", "AccessionNumber")
"""By these an archive knows patient and study: said as the scan says them, also against the standard's form."""
REQUIRED = (*KEYS, "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName")
"""Of patient and study; may be empty but have to be there (type 2). Anonymizers drop them."""
OPTIONAL = (
    "IssuerOfPatientID",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
EQUIPMENT = (
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
    "InstitutionName",
    "StationName",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""What a segmentation says of how its images were made."""
NAMED = {
    "SOPClassUID": "class_uid",
    "SOPInstanceUID": "instance_uid",
}
"""By these an object refers to an image: the attribute, and the field of a `Frame`."""
LEGAL = {"PatientSex": ("M", "F", "O"), "LossyImageCompression": ("00", "01")}
"""Attributes of a few values; others are left out."""
EXTENSION = "ISO 2022"
"""Character sets that are for several in one file; scanners name one of them alone, which readers refuse."""
UTF_8 = "ISO_IR 192"
MULTI_FRAME = (
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
    "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET
    "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET
)
MANUFACTURER = "unpaired"
"""Of all objects that are written here."""
NUMBER_OFFSET = 1000
"""Added to the number of a series: that of the series that is derived from it."""
LARGEST_NUMBER = 2**31 - 1


def read_source(series: Series) -> "Dataset":
    """What the series' first file says of patient, study and equipment; the attributes of `REQUIRED` at least.

    Raises ImageError for a damaged file, and for a series without the UIDs by which an object would refer to it.
    """
    from pydicom.dataset import Dataset

    require_uids(series)
    path = series.frames[0].file
    words = ("SpecificCharacterSet", *REQUIRED, *OPTIONAL, *EQUIPMENT)
    elements = read_elements(path, [tag_of(word) for word in words], pixels=False).elements
    source = Dataset()
    with one_line(path):
        for word in words:
            content = _kept(word, value(elements, word))
            if content is not None or word in REQUIRED:
                setattr(source, word, "" if content is None else content)
    return source


def share(dataset: "Dataset", source: "Dataset", series: Series, own_words: Iterable[str]) -> None:
    """Give an object the patient, the study, the frame of reference and the character set of its series.

    `own_words` are the texts that the object adds; where they need more than ASCII, the object is written in UTF-8.
    """
    with one_line(series.frames[0].file):
        for word in (*REQUIRED, *OPTIONAL):
            if word in source:
                setattr(dataset, word, source.get(word))
        dataset.StudyInstanceUID = series.study_uid
        dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = frame_of_reference(series), ""
        if all(word.isascii() for word in own_words) and "SpecificCharacterSet" in source:
            dataset.SpecificCharacterSet = source.SpecificCharacterSet
        elif not all(word.isascii() for word in own_words):
            dataset.SpecificCharacterSet = UTF_8


def save_object(dataset: "Dataset", path: str | Path) -> None:
    """Write an object, atomically; what its source says against the standard is written as it is, and not told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values, such as a patient's name
        with atomic(Path(path)) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)


def is_own(file: Path) -> bool:
    """Whether a file is an object that was written here."""
    if not file.is_file():
        return False
    elements = read_elements(file, [tag_of("Manufacturer"), tag_of("SpecificCharacterSet")], pixels=False).elements
    return str(value(elements, "Manufacturer") or "") == MANUFACTURER


def require_uids(series: Series) -> None:
    """Raise ImageError, with the file, unless a series and all its images have the UIDs that objects refer by, and no
    two images the same."""
    first: dict[str, Path] = {}
    for frame in series.frames:
        missing = [name for name, field in NAMED.items() if not getattr(frame, field)]
        missing += [] if series.uid else ["SeriesInstanceUID"]
        missing += [] if series.study_uid else ["StudyInstanceUID"]
        if missing:
            raise ImageError(
                f"{frame.file}: has no {missing[0]}, by which a segmentation would refer to it; export it again"
            )
        if first.setdefault(frame.instance_uid, frame.file) != frame.file:
            raise ImageError(
                f"{frame.file}: has the SOPInstanceUID of {first[frame.instance_uid].name}, so that no segmentation "
                "could refer to one of them; give each image its own"
            )


def frame_of_reference(series: Series) -> str:
    """The series' Frame of Reference UID; one made of its series UID where it has none."""
    from pydicom.uid import generate_uid

    return series.frame_of_reference_uid or str(generate_uid(entropy_srcs=["frame of reference", series.uid]))


def derived_number(series: Series) -> int:
    """The series number of what is derived from a series."""
    return min(max(series.number, 0), LARGEST_NUMBER - NUMBER_OFFSET) + NUMBER_OFFSET


def image_reference(frame: Frame, series: Series) -> "Dataset":
    """The item by which an object refers to a slice: its image, and the frame's number in a multi-frame one."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = frame.class_uid, frame.instance_uid
    of_many = frame.class_uid in MULTI_FRAME or any(f.number for f in series.frames if f.file == frame.file)
    if of_many:
        item.ReferencedFrameNumber = frame.number + 1
    return item


def image_references(series: Series) -> "list[Dataset]":
    """An item for every image of a series, each once, without frames' numbers."""
    from pydicom.dataset import Dataset

    items = []
    for instance_uid, class_uid in dict.fromkeys((frame.instance_uid, frame.class_uid) for frame in series.frames):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
        items.append(item)
    return items


def _kept(word: str, content: Any) -> Any:
    """An attribute as derived objects say it; None for one that the standard doesn't allow."""
    from pydicom.charset import python_encoding
    from pydicom.valuerep import PersonName

    if word == "SpecificCharacterSet" and content is not None:
        sets = [content] if isinstance(content, str) else list(content)
        alone = len(sets) == 1 and str(sets[0]).startswith(EXTENSION)
        return UTF_8 if alone or any(each not in python_encoding for each in sets) else content
    legal = content is not None and (word in KEYS or _is_legal(word, content))
    content = content if legal else None
    return str(content) if isinstance(content, PersonName) else content


def _is_legal(word: str, content: Any) -> bool:
    from pydicom.config import RAISE
    from pydicom.datadict import dictionary_VR
    from pydicom.multival import MultiValue
    from pydicom.valuerep import validate_value

    if word in LEGAL:
        return content in LEGAL[word]
    if word == "SliceThickness":
        return (numbers((content,), 1) or (0.0,))[0] > 0
    kind = dictionary_VR(word)
    try:
        for part in content if isinstance(content, MultiValue) else [content]:
            validate_value(kind, part, RAISE)
    except ValueError:
        return False
    return True
