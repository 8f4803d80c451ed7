"""What highdicom is told of a series: one slice of nobody's for each frame, with its place and nothing else.

highdicom takes patient, study, geometry and references from the files of a series, and fails where one of them lacks
what the standard asks for. The index knows all that counts; so a segmentation is built upon stand-ins, and refers to
the series' own images afterwards.
"""

from typing import TYPE_CHECKING, Any

from unpaired.dicom.index import Frame, Series
from unpaired.dicom.source import EQUIPMENT, REQUIRED, frame_of_reference, image_reference, image_references

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ROOT = "2.25."
"""Of stand-ins' UIDs; what follows is the frame's number in the series."""


def stand_ins(series: Series, source: "Dataset") -> "list[Dataset]":
    """A single-frame image without pixels for each frame of a volume, in the order of its slices."""
    return [_stand_in(number, frame, series, source) for number, frame in enumerate(series.frames)]


def refer_to_images(segmentation: Any, series: Series) -> None:
    """Let a segmentation of stand-ins refer to the images of the series, frame by frame."""
    from pydicom.dataset import Dataset

    groups = segmentation.PerFrameFunctionalGroupsSequence
    items = (item for group in groups for each in group.DerivationImageSequence for item in each.SourceImageSequence)
    for item in {id(item): item for item in items}.values():  # frames of several segments share one
        number = int(item.ReferencedSOPInstanceUID.removeprefix(ROOT))
        item.update(image_reference(series.frames[number], series))
    images = image_references(series)
    referenced = Dataset()
    referenced.SeriesInstanceUID, referenced.ReferencedInstanceSequence = series.uid, images
    segmentation.SourceImageSequence, segmentation.ReferencedSeriesSequence = images, [referenced]


def _stand_in(number: int, frame: Frame, series: Series, source: "Dataset") -> "Dataset":
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage

    assert frame.position is not None  # a volume's frames have a place
    first = series.frames[0]
    directions, gap = (*(first.row or ()), *(first.column or ())), (series.spacing_mm or (1.0, 1.0, 1.0))[2]
    columns_mm, rows_mm = first.spacing_mm or (1.0, 1.0)
    image = Dataset()
    for word in REQUIRED:
        setattr(image, word, "")
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"{ROOT}{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = series.study_uid, series.uid
    image.FrameOfReferenceUID, image.Modality = frame_of_reference(series), series.modality
    image.Columns, image.Rows = first.size
    image.ImagePositionPatient, image.ImageOrientationPatient = _decimals(frame.position), _decimals(directions)
    image.PixelSpacing, image.SpacingBetweenSlices = _decimals((rows_mm, columns_mm)), _decimals((gap,))[0]
    image.SliceThickness = image.SpacingBetweenSlices
    for word in EQUIPMENT if number == 0 else ():
        if word in source:
            setattr(image, word, source.get(word))
    return image


def _decimals(numbers: tuple[float, ...]) -> list[Any]:
    from pydicom.valuerep import DSfloat

    return [DSfloat(number, auto_format=True) for number in numbers]
