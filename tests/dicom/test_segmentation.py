"""DICOM SEG written here and read back by highdicom, and by a plain loop over pydicom's frames: every voxel."""

import itertools
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

from synthetic_dicom import item, lps, oblique, volume, write_enhanced, write_series
from synthetic_seg import by_a_plain_loop, placed
from unpaired.data.class_codes import ClassCode, Code
from unpaired.dicom.index import Series
from unpaired.dicom.segmentation import Algorithm, Kind, write_segmentation
from unpaired.dicom.segmentation_reader import read_segments
from unpaired.dicom.segments import segmented_series
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import on_frames
from unpaired.errors import InputError

highdicom = pytest.importorskip("highdicom")
CLASSES = ("background", "liver", "left kidney", "blob")
ALGORITHM = Algorithm("unpaired", "0.1.0", ("abc123",))
TURNS = [
    np.diag(signs)[list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


def labels(shape, seed=1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def only(tree: Path) -> Series:
    (series,) = list_dicom(tree).series
    assert series.problem is None, series.problem
    return series


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("source", ["classic", "enhanced"])
def test_every_voxel_lies_where_its_slice_lies_and_names_it(tmp_path: Path, kind: Kind, source: str) -> None:
    affine = lps(turn=oblique())
    if source == "classic":
        write_series(tmp_path / "in", volume(), affine)
    else:
        write_enhanced(tmp_path / "in" / "x", volume(), affine)
    series, label_map = only(tmp_path / "in"), labels((9, 7, 5))
    write_segmentation(tmp_path / "seg.dcm", label_map, series, CLASSES, ALGORITHM, kind=kind)
    voxels = by_a_plain_loop(tmp_path / "seg.dcm")
    assert {place: segment for place, (segment, _) in voxels.items()} == placed(label_map, np.array(series.affine))
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    named = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in file.PerFrameFunctionalGroupsSequence]
    uids = {frame.position: frame.instance_uid for frame in series.frames}
    numbers = {frame.position: frame.number + 1 for frame in series.frames}
    for group, reference in zip(file.PerFrameFunctionalGroupsSequence, named, strict=True):
        position = tuple(float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient)
        (nearest,) = [place for place in uids if np.allclose(place, position, atol=1e-4)]
        assert reference.ReferencedSOPInstanceUID == uids[nearest]
        if source == "enhanced":
            assert reference.ReferencedFrameNumber == numbers[nearest]
    instances = file.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {entry.ReferencedSOPInstanceUID for entry in instances} == {frame.instance_uid for frame in series.frames}


@pytest.mark.parametrize("number", range(48))
def test_all_orientations_come_back_voxel_by_voxel(tmp_path: Path, number: int) -> None:
    turn = TURNS[number]
    affine = lps(turn=turn)
    write_series(tmp_path / "in", volume((4, 3, 2)), affine)
    series, label_map = only(tmp_path / "in"), labels((4, 3, 2))
    write_segmentation(tmp_path / "seg.dcm", label_map, series, CLASSES, ALGORITHM)
    voxels = by_a_plain_loop(tmp_path / "seg.dcm")
    assert {place: segment for place, (segment, _) in voxels.items()} == placed(label_map, np.array(series.affine))
    grid = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    assert placed(grid.array, grid.affine) == placed(label_map, np.array(series.affine))
    itk = sitk.ReadImage(str(tmp_path / "seg.dcm"), imageIO="GDCMImageIO")
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert np.array_equal(sitk.GetArrayFromImage(itk) > 0, file.pixel_array > 0)
    first = file.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    assert np.allclose(itk.GetOrigin(), [float(number) for number in first])


def test_highdicom_reads_the_same_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(), lps(turn=oblique()))
    series, label_map = only(tmp_path / "in"), labels((9, 7, 5))
    write_segmentation(tmp_path / "seg.dcm", label_map, series, CLASSES, ALGORITHM)
    read = highdicom.seg.segread(tmp_path / "seg.dcm")
    by_source = read.get_pixels_by_source_instance(
        [frame.instance_uid for frame in series.frames], combine_segments=True
    )
    assert np.array_equal(by_source.transpose(2, 1, 0), label_map)
    grid = read.get_volume(combine_segments=True)
    assert placed(grid.array, grid.affine) == placed(label_map, np.array(series.affine))


def test_labels_of_a_tilted_stack_lie_on_its_own_slices(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(), lps(), shift=lambda number: np.array([0, -0.5 * number, 0]))
    series = only(tmp_path / "in")
    label_map = labels((9, 10, 5))
    write_segmentation(tmp_path / "seg.dcm", label_map, series, CLASSES, ALGORITHM)
    read = highdicom.seg.segread(tmp_path / "seg.dcm")
    by_source = read.get_pixels_by_source_instance(
        [frame.instance_uid for frame in series.frames], combine_segments=True
    )
    assert np.array_equal(by_source.transpose(2, 1, 0), on_frames(label_map, series))
    positions = {
        tuple(float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient)
        for group in read.PerFrameFunctionalGroupsSequence
    }
    assert positions == {frame.position for frame in series.frames}


def test_one_of_several_volumes_of_an_enhanced_file_refers_to_its_own_frames(tmp_path: Path) -> None:
    write_enhanced(
        tmp_path / "in" / "x",
        volume((9, 7, 8)),
        lps(),
        of_frame=lambda number: {"MREchoSequence": item(EffectiveEchoTime=2.0 + number // 4)},
        at=lambda number: number % 4,
    )
    second = list_dicom(tmp_path / "in").series[1]
    label_map = labels((9, 7, 4))
    write_segmentation(tmp_path / "seg.dcm", label_map, second, CLASSES, ALGORITHM)
    voxels = by_a_plain_loop(tmp_path / "seg.dcm")
    assert {place: segment for place, (segment, _) in voxels.items()} == placed(label_map, np.array(second.affine))
    named = {
        float(group.PlanePositionSequence[0].ImagePositionPatient[2]): reference.ReferencedFrameNumber
        for group in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence
        for reference in group.DerivationImageSequence[0].SourceImageSequence
    }
    assert named == {5.0: 5, 7.5: 6, 10.0: 7, 12.5: 8}
    assert segmented_series(read_segments(tmp_path / "seg.dcm"), list_dicom(tmp_path / "in")) == second


def test_segments_are_coded_colored_and_say_what_made_them(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(), lps())
    own = {"blob": ClassCode(Code("108369006", "Neoplasm"), Code("49755003", "Morphologically Altered Structure"))}
    write_segmentation(tmp_path / "seg.dcm", labels((9, 7, 5)), only(tmp_path / "in"), CLASSES, ALGORITHM, codes=own)
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    liver, kidney, blob = file.SegmentSequence
    assert (liver.SegmentNumber, liver.SegmentLabel) == (1, "liver")
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    side = kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert (side.CodeValue, side.CodingSchemeDesignator) == ("7771000", "SCT")
    assert blob.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm"
    assert len(liver.RecommendedDisplayCIELabValue) == 3
    made = liver.SegmentationAlgorithmIdentificationSequence[0]
    assert (made.AlgorithmName, made.AlgorithmVersion, made.AlgorithmParameters) == (
        "unpaired",
        "0.1.0",
        "weights 1=abc123",
    )
    assert file.FrameOfReferenceUID == only(tmp_path / "in").frame_of_reference_uid
    assert (file.PatientID, file.StudyInstanceUID) == ("4711", only(tmp_path / "in").study_uid)
    assert file.SeriesNumber == 1001


def test_the_same_label_map_has_the_same_uids_and_another_one_others(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(), lps())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_segmentation(tmp_path / name, labels((9, 7, 5), seed), only(tmp_path / "in"), CLASSES, ALGORITHM)
    a, b, c = (pydicom.dcmread(tmp_path / name).SOPInstanceUID for name in "abc")
    assert a == b != c


def test_an_empty_label_map_is_an_object_too(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(), lps())
    nothing = np.zeros((9, 7, 5), np.uint8)
    write_segmentation(tmp_path / "seg.dcm", nothing, only(tmp_path / "in"), CLASSES, ALGORITHM)
    assert by_a_plain_loop(tmp_path / "seg.dcm") == {}


def test_a_deidentified_object_says_nobodys_name_and_keeps_its_references(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(), lps(), InstitutionName="Clinic", SeriesDescription="Doe liver")
    series = only(tmp_path / "in")
    write_segmentation(tmp_path / "seg.dcm", labels((9, 7, 5)), series, CLASSES, ALGORITHM, anonymous=True)
    content = (tmp_path / "seg.dcm").read_bytes()
    for word in (b"Doe", b"4711", b"19700101", b"Clinic", b"Who", b"20260101"):
        assert word not in content, word
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (file.PatientIdentityRemoved, file.PatientName) == ("YES", "")
    assert [method.CodeValue for method in file.DeidentificationMethodCodeSequence] == ["113100", "113105", "113110"]
    assert file.ReferencedSeriesSequence[0].SeriesInstanceUID == series.uid
    write_segmentation(tmp_path / "named.dcm", labels((9, 7, 5)), series, CLASSES, ALGORITHM)
    named = pydicom.dcmread(tmp_path / "named.dcm")
    assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID != named.SOPInstanceUID
    assert file.SeriesInstanceUID != named.SeriesInstanceUID


def test_wrong_label_maps_are_one_line(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(), lps())
    series = only(tmp_path / "in")
    with pytest.raises(InputError, match=r"expected a label map of shape \(9, 7, 5\)"):
        write_segmentation(tmp_path / "x", labels((9, 7, 4)), series, CLASSES, ALGORITHM)
    with pytest.raises(InputError, match="expected class numbers from 0 to 1, got 0 to 3"):
        write_segmentation(tmp_path / "x", labels((9, 7, 5)), series, CLASSES[:2], ALGORITHM)
    assert not (tmp_path / "x").exists()
