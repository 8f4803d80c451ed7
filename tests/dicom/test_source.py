"""What derived objects copy of a series' files: whose it is as the scan says it, nothing that stops their writing."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from synthetic_dicom import lps, volume, write_enhanced, write_series
from unpaired.data.image import ImageError
from unpaired.dicom.index import Series
from unpaired.dicom.segmentation import Algorithm, write_segmentation
from unpaired.dicom.segmentation_reader import read_segmentation
from unpaired.dicom.source import derived_number, image_reference, read_source, require_uids
from unpaired.dicom.structure_set import read_structure_set
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom

pytest.importorskip("highdicom")
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
PIXELS = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelData"),
)
PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
ALGORITHM = Algorithm("unpaired", "0.1.0", ("abc123",))
CLASSES = ("background", "liver", "spleen")


def changed(tree: Path, change) -> Series:
    """The only series of a tree after a change of each file."""
    for path in tree.rglob("*.dcm"):
        file = dcmread(path)
        change(file)
        file.save_as(path)
    (series,) = list_dicom(tree).series
    assert series.problem is None, series.problem
    return series


def keep(*words: str):
    def change(file: Dataset) -> None:
        for element in list(file):
            if element.keyword not in words:
                del file[element.tag]

    return change


def written(tmp_path: Path, series: Series, names=CLASSES) -> tuple[Dataset, Dataset]:
    """The series' SEG and RTSTRUCT after both gave back each voxel."""
    labels = np.random.default_rng(1).integers(0, 3, series.shape).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # warnings quote values
        write_segmentation(tmp_path / "seg", labels, series, names, ALGORITHM)
        write_structure_set(tmp_path / "rt", labels, series, dict(enumerate(names[1:], start=1)))
    assert np.array_equal(read_segmentation(tmp_path / "seg", series).array, labels)
    assert np.array_equal(read_structure_set(tmp_path / "rt", series).array, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg, structure_set = dcmread(tmp_path / "seg"), dcmread(tmp_path / "rt")
        seg.decode()
        structure_set.decode()
    return seg, structure_set


def test_a_series_that_says_no_more_than_its_place_and_pixels_is_enough(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume((6, 5, 3)), lps())
    series = changed(tmp_path / "in", keep(*UIDS, *PIXELS, *PLACES))
    for file in written(tmp_path, series):
        assert (file.PatientID, file.PatientName, file.StudyDate) == ("", "", "")
        assert file.FrameOfReferenceUID.startswith("1.2.826")
    seg, structure_set = dcmread(tmp_path / "seg"), dcmread(tmp_path / "rt")
    assert seg.FrameOfReferenceUID == structure_set.FrameOfReferenceUID


@pytest.mark.parametrize("shared", ["without orientation", "without pixel size", "absent"])
def test_an_enhanced_series_may_say_all_of_each_frame(tmp_path: Path, shared: str) -> None:
    """As Philips and Siemens write them: nothing in the group that all frames share, or no such group."""
    write_enhanced(tmp_path / "in" / "x.dcm", volume((6, 5, 3)), lps())
    moved = {"without orientation": ("PlaneOrientationSequence",), "without pixel size": ("PixelMeasuresSequence",)}
    words = moved.get(shared, ("PlaneOrientationSequence", "PixelMeasuresSequence"))

    def change(file: Dataset) -> None:
        (group,) = file.SharedFunctionalGroupsSequence
        for frame in file.PerFrameFunctionalGroupsSequence:
            for word in words:
                setattr(frame, word, group[word].value)
        for word in words:
            delattr(group, word)
        if shared == "absent":
            del file.SharedFunctionalGroupsSequence

    series = changed(tmp_path / "in", change)
    seg, _ = written(tmp_path, series)
    (measures,) = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert [float(number) for number in measures.PixelSpacing] == [0.7, 0.8]
    assert float(measures.SpacingBetweenSlices) == 2.5


@pytest.mark.parametrize("word", UIDS)
def test_a_series_without_what_objects_refer_by_is_one_line(tmp_path: Path, word: str) -> None:
    write_series(tmp_path, volume((6, 5, 3)), lps())
    series = changed(tmp_path, lambda file: delattr(file, word))
    with pytest.raises(ImageError, match=f"has no {word}, by which a segmentation would refer to it; export it again"):
        require_uids(series)


def test_images_that_share_a_uid_are_named_since_no_object_could_tell_them_apart(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps())
    series = changed(tmp_path, lambda file: setattr(file, "SOPInstanceUID", "1.2.3"))
    assert series.shape == (9, 7, 5)
    with pytest.raises(ImageError, match=r"1-002\.dcm: has the SOPInstanceUID of 1-001\.dcm, so that no segmentation"):
        require_uids(series)


def test_what_is_illegal_is_left_out_but_for_what_archives_know_a_patient_by(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume((6, 5, 3)), lps())

    def change(file: Dataset) -> None:
        file.PatientSex, file.PatientBirthDate, file.PatientAge, file.SeriesNumber = "female", "1.1.70", "0Y", -7
        file.AccessionNumber, file.PatientName = "A" * 30, "Doe"  # too long; no name's form
        file.StudyTime, file.SliceThickness, file.LossyImageCompression = "noon", -1, "NO"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = changed(tmp_path / "in", change)
    for file in written(tmp_path, series):
        assert (file.PatientSex, file.PatientBirthDate, file.StudyTime) == ("", "", "")
        assert "PatientAge" not in file
        assert (file.AccessionNumber, str(file.PatientName)) == ("A" * 30, "Doe")
        assert file.SeriesNumber == 1000


def test_numbers_of_what_is_derived_stay_numbers(tmp_path: Path) -> None:
    write_series(tmp_path, volume((6, 5, 3)), lps(), SeriesNumber=2**31 - 1)
    (series,) = list_dicom(tmp_path).series
    assert derived_number(series) == 2**31 - 1


def test_frames_of_an_unknown_multi_frame_class_are_named_by_number(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "x.dcm", volume((6, 5, 3)), lps())
    series = changed(tmp_path, lambda file: setattr(file, "SOPClassUID", "1.2.3.4"))
    numbers = [image_reference(frame, series).ReferencedFrameNumber for frame in series.frames]
    assert numbers == [1, 2, 3]
    written(tmp_path, series)


def test_a_name_and_classes_of_other_scripts_are_written_in_utf_8(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume((6, 5, 3)), lps())

    def change(file: Dataset) -> None:
        file.SpecificCharacterSet, file.PatientName = "ISO_IR 100", "Müller^Zoë"

    series = changed(tmp_path / "in", change)
    for file in written(tmp_path, series):
        assert (file.SpecificCharacterSet, str(file.PatientName)) == ("ISO_IR 100", "Müller^Zoë")
    for file in written(tmp_path, series, ("background", "肝", "spleen")):
        assert (file.SpecificCharacterSet, str(file.PatientName)) == ("ISO_IR 192", "Müller^Zoë")
    seg, structure_set = dcmread(tmp_path / "seg"), dcmread(tmp_path / "rt")
    assert seg.SegmentSequence[0].SegmentLabel == structure_set.StructureSetROISequence[0].ROIName == "肝"


@pytest.mark.parametrize("encoding", ["ISO 2022 IR 100", "LATIN"])
def test_a_character_set_that_readers_refuse_becomes_utf_8(tmp_path: Path, encoding: str) -> None:
    write_series(tmp_path, volume((6, 5, 3)), lps())

    def change(file: Dataset) -> None:
        file.SpecificCharacterSet, file.PatientName = encoding, "Müller^Zoë"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = changed(tmp_path, change)
    source = read_source(series)
    assert (source.SpecificCharacterSet, source.PatientName) == ("ISO_IR 192", "Müller^Zoë")
