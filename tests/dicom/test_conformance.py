"""What is written, judged by others: dciodvfy's rules of the standard, and how highdicom and ITK read SEG objects."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

from dciodvfy import errors
from synthetic_dicom import lps, oblique, volume, write_enhanced, write_series
from synthetic_seg import placed
from unpaired.dicom.index import Series
from unpaired.dicom.segmentation import Algorithm, Kind, write_segmentation
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import on_frames

highdicom = pytest.importorskip("highdicom")
SHAPE = (8, 7, 5)
"""Frames of whole bytes: of others GDCM, which ITK reads with, takes the last few pixels from anywhere."""
CLASSES = ("background", "liver", "left kidney", "blob")
ALGORITHM = Algorithm("unpaired", "0.1.0", ("abc123",))
UNKNOWN_LABEL_MAPS = (
    "Information Object Not found",
    "have SegmentSequence item number 1 (from one) with SegmentNumber of 0",
)
"""What dciodvfy says of Label Map Segmentation, which is younger than its last release: there 0 is the background."""


def tilted(number: int) -> np.ndarray:
    return np.array([0, -0.5 * number, 0])


SOURCES: dict[str, Callable[[Path], object]] = {
    "classic": lambda tree: write_series(tree, volume(SHAPE), lps()),
    "oblique": lambda tree: write_series(tree, volume(SHAPE), lps(turn=oblique())),
    "enhanced": lambda tree: write_enhanced(tree / "x", volume(SHAPE), lps(turn=oblique())),
    "tilted": lambda tree: write_series(tree, volume(SHAPE), lps(), shift=tilted),
}


def only(tree: Path) -> Series:
    (series,) = list_dicom(tree).series
    assert series.problem is None, series.problem
    return series


def labels(shape, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(1).integers(0, classes, shape).astype(np.uint8)


@pytest.mark.parametrize("source", SOURCES)
def test_segmentations_and_contours_obey_the_standard(tmp_path: Path, source: str) -> None:
    SOURCES[source](tmp_path / "in")
    series = only(tmp_path / "in")
    label_map = labels((8, 10, 5) if source == "tilted" else SHAPE)
    write_segmentation(tmp_path / "seg", label_map, series, CLASSES, ALGORITHM)
    write_structure_set(tmp_path / "rt", label_map, series, dict(enumerate(CLASSES[1:], start=1)))
    assert errors(tmp_path / "seg") == errors(tmp_path / "rt") == []
    write_segmentation(tmp_path / "map", label_map, series, CLASSES, ALGORITHM, kind="labelmap")
    assert all(line.endswith(UNKNOWN_LABEL_MAPS) for line in errors(tmp_path / "map"))


@pytest.mark.parametrize("shown", ["a class without voxels", "one slice", "nothing"])
def test_sparse_segmentations_obey_it_too(tmp_path: Path, shown: str) -> None:
    write_series(tmp_path / "in", volume(SHAPE), lps())
    label_map = np.zeros(SHAPE, np.uint8)
    if shown == "one slice":
        label_map[2:4, 3:5, 2] = 3
    elif shown != "nothing":
        label_map[..., 1:4] = labels((8, 7, 3), classes=3)
    write_segmentation(tmp_path / "seg", label_map, only(tmp_path / "in"), CLASSES, ALGORITHM)
    assert errors(tmp_path / "seg") == []
    read = highdicom.seg.segread(tmp_path / "seg")
    grid = read.get_volume(combine_segments=True)
    assert placed(grid.array, grid.affine) == placed(label_map, np.array(only(tmp_path / "in").affine))


def test_a_deidentified_segmentation_obeys_it(tmp_path: Path) -> None:
    write_series(tmp_path / "in", volume(SHAPE), lps())
    write_segmentation(tmp_path / "seg", labels(SHAPE), only(tmp_path / "in"), CLASSES, ALGORITHM, anonymous=True)
    assert errors(tmp_path / "seg") == []


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_patient_and_study_are_those_of_the_series(tmp_path: Path, kind: Kind) -> None:
    """What an archive compares when it files an object beside its series."""
    paths = write_series(tmp_path / "in", volume(SHAPE), lps())
    write_segmentation(tmp_path / "seg", labels(SHAPE), only(tmp_path / "in"), CLASSES, ALGORITHM, kind=kind)
    scan, written = pydicom.dcmread(paths[0]), pydicom.dcmread(tmp_path / "seg")
    for word in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
        *("StudyID", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"),
    ):
        assert written[word].value == scan[word].value, word


@pytest.mark.parametrize("source", ["classic", "oblique", "enhanced"])
def test_itk_reads_the_grid_of_the_series(tmp_path: Path, source: str) -> None:
    """One class that each slice shows: there ITK, which knows no segments, has the whole volume in its place."""
    SOURCES[source](tmp_path / "in")
    series, label_map = only(tmp_path / "in"), labels(SHAPE, classes=2)
    write_segmentation(tmp_path / "seg.dcm", label_map, series, CLASSES[:2], ALGORITHM)
    image = sitk.ReadImage(str(tmp_path / "seg.dcm"), imageIO="GDCMImageIO")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = (sitk.GetArrayFromImage(image).T > 0).astype(np.uint8)
    assert placed(array, affine) == placed(label_map, np.array(series.affine))


def test_itk_reads_each_frame_of_a_tilted_series(tmp_path: Path) -> None:
    SOURCES["tilted"](tmp_path / "in")
    series, label_map = only(tmp_path / "in"), labels((8, 10, 5))
    write_segmentation(tmp_path / "seg.dcm", label_map, series, CLASSES, ALGORITHM)
    frames = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "seg.dcm"), imageIO="GDCMImageIO"))
    groups = pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence
    seen = np.zeros(SHAPE, np.uint8)
    uids = [frame.instance_uid for frame in series.frames]
    for pixels, group in zip(frames, groups, strict=True):
        level = uids.index(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        assert series.frames[level].position == tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))
        seen[..., level][pixels.T > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert np.array_equal(seen, on_frames(label_map, series))
