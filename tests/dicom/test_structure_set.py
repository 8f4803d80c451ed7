"""RTSTRUCT: contours read against a plain loop in millimeters, written and read back to the voxel."""

import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage, generate_uid

from synthetic_dicom import item, lps, oblique, save, volume, write_enhanced, write_series
from unpaired.data.image import ImageError
from unpaired.dicom.index import Series
from unpaired.dicom.segments import segmented_series
from unpaired.dicom.structure_set import read_regions, read_structure_set
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.errors import InputError
from unpaired.failures import attempt

SHAPE = (11, 9, 5)
GRIDS = {
    "straight": lps(),
    "oblique": lps(turn=oblique()),
    "sagittal": lps(turn=np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])),
    "mirrored": lps(turn=np.diag([-1.0, -1, 1])),
}


@pytest.fixture(scope="module", params=list(GRIDS))
def series(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """A series of pixels that aren't square, in several directions."""
    folder = tmp_path_factory.mktemp("scan")
    write_series(folder, volume(SHAPE), GRIDS[request.param])
    (series,) = list_dicom(folder).volumes()
    return series


def contours_of(points: list[tuple[float, float]], level: float, series: Series) -> np.ndarray:
    """Points in voxels (column, row) of a slice as LPS mm."""
    voxels = np.array([(*point, level, 1) for point in points])
    return (voxels @ np.array(series.affine).T)[:, :3]


def write(path: Path, series: Series, regions: dict[str, list[tuple[str, np.ndarray]]]) -> Path:
    """An RTSTRUCT with contours (type, LPS points) of each region, as a planning system writes it."""
    file = Dataset()
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = RTStructureSetStorage, generate_uid(), "RTSTRUCT"
    file.StudyInstanceUID, file.SeriesInstanceUID, file.PatientID = series.study_uid, generate_uid(), "4711"
    images = [item(ReferencedSOPClassUID=f.class_uid, ReferencedSOPInstanceUID=f.instance_uid) for f in series.frames]
    referenced = item(SeriesInstanceUID=series.uid, ContourImageSequence=images)
    study = item(RTReferencedSeriesSequence=[referenced])
    space = series.frame_of_reference_uid
    file.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=space, RTReferencedStudySequence=[study])]
    file.StructureSetROISequence, file.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), start=7):
        file.StructureSetROISequence.append(item(ROINumber=number, ROIName=name))
        items = [
            item(
                ContourGeometricType=kind,
                NumberOfContourPoints=len(points),
                ContourData=[f"{x:.6f}" for x in points.ravel()],
            )
            for kind, points in contours
        ]
        file.ROIContourSequence.append(item(ReferencedROINumber=number, ContourSequence=items))
    return save(file, path)


def by_loops(contours: list[np.ndarray], series: Series) -> np.ndarray:
    """Voxel by voxel in millimeters: how many contours of its own slice hold its center, odd or even.

    Angles around the center add up to a full turn inside, to nothing outside; no center lies on an edge here.
    """
    mask = np.zeros(series.shape, bool)
    affine = np.array(series.affine)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal /= np.linalg.norm(normal)
    for voxel in product(*map(range, series.shape)):
        center = (affine @ (*voxel, 1))[:3]
        for points in contours:
            if abs((points[0] - center) @ normal) > 0.1:
                continue
            turn = 0.0
            for first, second in zip(points - center, np.roll(points, -1, axis=0) - center, strict=True):
                turn += np.arctan2(np.cross(first, second) @ normal, first @ second)
            mask[voxel] ^= abs(turn) > np.pi
    return mask


SQUARE = [(1.3, 1.2), (8.6, 1.4), (8.7, 7.3), (1.2, 7.1)]
INNER = [(3.4, 3.2), (6.6, 3.3), (5.1, 5.6)]
KEYHOLE = [*SQUARE, SQUARE[0], *INNER, INNER[0]]


def test_contours_are_filled_as_a_plain_loop_in_millimeters_does(tmp_path: Path, series: Series) -> None:
    first = [contours_of(SQUARE, 1, series), contours_of(INNER, 1, series), contours_of(INNER, 3, series)]
    second = [contours_of([(0.2, 0.3), (4.4, 0.1), (2.2, 5.8)], 4, series)]
    path = write(
        tmp_path / "rt.dcm",
        series,
        {
            "A": [("CLOSED_PLANAR", points) for points in first],
            "B": [("CLOSEDPLANAR_XOR", points) for points in second],
        },
    )
    label_map = read_structure_set(path, series)
    assert np.array_equal(label_map.array == 1, by_loops(first, series))
    assert np.array_equal(label_map.array == 2, by_loops(second, series))
    assert label_map.array[5, 4, 1] == 0
    assert label_map.notes == ("'A' has no contour in 1 slice between its first and its last: background there",)
    assert not (read_structure_set(path, series, [2]).array == 1).any()


@pytest.mark.parametrize(
    "contours",
    [
        [("CLOSED_PLANAR", SQUARE), ("CLOSED_PLANAR", INNER)],
        [("CLOSED_PLANAR", INNER), ("CLOSED_PLANAR", SQUARE)],
        [("CLOSEDPLANAR_XOR", SQUARE), ("CLOSEDPLANAR_XOR", INNER)],
        [("CLOSED_PLANAR", KEYHOLE)],
        [("CLOSED_PLANAR", SQUARE), ("CLOSED_PLANAR", INNER), ("CLOSED_PLANAR", INNER[1:] + INNER[:1])],
    ],
    ids=["inside", "inside, first", "exclusive", "keyhole", "stored twice"],
)
def test_every_convention_of_holes_gives_the_same(
    tmp_path: Path, series: Series, contours: list[tuple[str, list[tuple[float, float]]]]
) -> None:
    placed = [(kind, contours_of(points, 2, series)) for kind, points in contours]
    path = write(tmp_path / "rt.dcm", series, {"A": placed})
    expected = by_loops([contours_of(SQUARE, 2, series), contours_of(INNER, 2, series)], series)
    assert expected.sum() > 20
    assert np.array_equal(read_structure_set(path, series).array > 0, expected)


def test_points_and_open_contours_hold_nothing_and_are_said(tmp_path: Path, series: Series) -> None:
    placed = [("POINT", contours_of(SQUARE[:1], 2, series)), ("OPEN_PLANAR", contours_of(SQUARE, 2, series))]
    label_map = read_structure_set(write(tmp_path / "rt.dcm", series, {"A": placed}), series)
    assert not label_map.array.any()
    assert label_map.notes == ("'A' has no closed contour: nothing was drawn of it",)


def test_regions_that_overlap_are_refused_by_name(tmp_path: Path, series: Series) -> None:
    placed = [("CLOSED_PLANAR", contours_of(SQUARE, 2, series))]
    path = write(tmp_path / "rt.dcm", series, {"GTV": placed, "PTV": placed})
    with pytest.raises(InputError, match="'GTV' and 'PTV' overlap"):
        read_structure_set(path, series)
    assert read_structure_set(path, series, [2]).array.max() == 2


@pytest.mark.parametrize(("level", "message"), [(1.5, "0.5 slices beside those of"), (7, "goes beyond series")])
def test_contours_between_and_beyond_the_slices_are_refused(
    tmp_path: Path, series: Series, level: float, message: str
) -> None:
    path = write(tmp_path / "rt.dcm", series, {"A": [("CLOSED_PLANAR", contours_of(SQUARE, level, series))]})
    with pytest.raises(InputError, match=message):
        read_structure_set(path, series)


@pytest.mark.parametrize("right", [10.4, 11.4, 11.6, 40.0])
def test_contours_may_run_along_the_edge_of_a_slice_and_not_beyond_it(
    tmp_path: Path, series: Series, right: float
) -> None:
    """In slices of 11 columns, whose edge is at 10.5: what goes further was drawn on a larger scan."""
    square = [(-0.6, -0.6), (right, -0.6), (right, 8.6), (-0.6, 8.6)]
    path = write(tmp_path / "rt.dcm", series, {"A": [("CLOSED_PLANAR", contours_of(square, 1, series))]})
    if right < 11.5:
        assert (read_structure_set(path, series).array[..., 1] == 1).all()
    else:
        with pytest.raises(InputError, match="'A' goes beyond series"):
            read_structure_set(path, series)


def test_regions_of_two_scans_are_refused_and_names_without_contours_are_not(tmp_path: Path, series: Series) -> None:
    square = [("CLOSED_PLANAR", contours_of(SQUARE, 1, series))]
    path = write(tmp_path / "rt.dcm", series, {"A": square, "B": [], "C": [("CLOSED_PLANAR", square[0][1])]})
    file = dcmread(path)
    (space,) = file.ReferencedFrameOfReferenceSequence
    other = item(
        SeriesInstanceUID="1.2.3.5",
        ContourImageSequence=[item(ReferencedSOPInstanceUID="1.2.3.6")],
    )
    file.ReferencedFrameOfReferenceSequence.append(
        item(FrameOfReferenceUID="1.2.3", RTReferencedStudySequence=[item(RTReferencedSeriesSequence=[other])])
    )
    for roi, uid in zip(file.StructureSetROISequence, (space.FrameOfReferenceUID, "1.2.3", "1.2.3"), strict=True):
        roi.ReferencedFrameOfReferenceUID = uid
    file.save_as(path)
    with pytest.raises(
        InputError, match=r"another frame of reference \(1\.2\.3 and .*it was drawn on another scan, in part"
    ):
        read_structure_set(path, series)
    file.StructureSetROISequence[2].ReferencedFrameOfReferenceUID = space.FrameOfReferenceUID
    file.save_as(path)
    assert read_structure_set(path, series, [1]).array.max() == 1
    assert [segment.drawn for segment in read_regions(path).segments] == [True, False, True]


def test_contours_of_another_direction_and_space_and_damaged_ones_are_refused(tmp_path: Path, series: Series) -> None:
    standing = (np.array([(2, 1, 0, 1), (2, 6, 0, 1), (2, 4, 4, 1.0)]) @ np.array(series.affine).T)[:, :3]
    path = write(tmp_path / "rt.dcm", series, {"A": [("CLOSED_PLANAR", standing)]})
    with pytest.raises(InputError, match="drawn on another series or direction"):
        read_structure_set(path, series)
    file = dcmread(path)
    file.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2"]
    file.save_as(path)
    with pytest.raises(ImageError, match="x, y, z of each point of a contour, got 2 values"):
        read_structure_set(path, series)
    with pytest.raises(ImageError, match="expected a DICOM RTSTRUCT object, got CT"):
        read_regions(series.frames[0].file)


def two_squares(path: Path, series: Series) -> Dataset:
    """An RTSTRUCT with a region on slices 1 and 2, whose contours name their images, and one on slice 3."""
    label_map = np.zeros(series.shape, np.uint8)
    label_map[2:5, 1:4, 1:3], label_map[2:5, 1:4, 3] = 1, 2
    write_structure_set(path, label_map, series, {1: "A", 2: "B"})
    return dcmread(path)


def test_a_file_that_breaks_off_is_refused_wherever_it_does(tmp_path: Path, series: Series) -> None:
    """The contours that are left would be taken for all; between two elements all are there, or none."""
    path = tmp_path / "rt.dcm"
    two_squares(path, series)
    content, whole = path.read_bytes(), read_structure_set(path, series).array
    problems = []
    for length in range(1000, len(content), 97):
        path.write_bytes(content[:length])
        read, problem = attempt(lambda: read_structure_set(path, series))
        problems.append(str(problem))
        assert read is None or not read.array.any() or np.array_equal(read.array, whole)
    assert sum("it breaks off in the element at byte" in problem for problem in problems) > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: setattr(file.StructureSetROISequence[1], "ROINumber", 1), "two regions have one number"),
        (lambda file: delattr(file.StructureSetROISequence[1], "ROINumber"), "of region 2, which isn't described"),
        (lambda file: setattr(file.StructureSetROISequence[0], "ROINumber", 8), "of region 1, which isn't described"),
        (lambda file: delattr(file.ROIContourSequence[0], "ReferencedROINumber"), "of region without a number"),
        (lambda file: setattr(contour_of(file), "ContourGeometricType", "CLOSED"), r"of no known type \(CLOSED\)"),
        (lambda file: setattr(contour_of(file), "NumberOfContourPoints", 3), "says that it has 3 points, and has 8"),
        (lambda file: names(file, "1.2.3"), "lies on slice 2 of series .*names an image that the series doesn't have"),
        (lambda file: names(file, None), "lies on slice 2 of series .*, and names the image of slice 3"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, series: Series, change: Callable[[Dataset], object], message: str
) -> None:
    file = two_squares(tmp_path / "rt.dcm", series)
    change(file)
    file.save_as(tmp_path / "rt.dcm")
    with pytest.raises(InputError, match=message):
        read_structure_set(tmp_path / "rt.dcm", series, [1])


def contour_of(file: Dataset, number: int = 0) -> Dataset:
    return file.ROIContourSequence[0].ContourSequence[number]


def names(file: Dataset, uid: str | None) -> None:
    """Let the first contour name this image, or that of the second."""
    second = contour_of(file, 1).ContourImageSequence[0].ReferencedSOPInstanceUID
    contour_of(file).ContourImageSequence[0].ReferencedSOPInstanceUID = uid or second


def test_an_open_contour_beside_closed_ones_is_said(tmp_path: Path, series: Series) -> None:
    file = two_squares(tmp_path / "rt.dcm", series)
    contour_of(file, 1).ContourGeometricType = "OPEN_PLANAR"
    file.ROIContourSequence[1].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    file.save_as(tmp_path / "rt.dcm")
    label_map = read_structure_set(tmp_path / "rt.dcm", series, [1])
    assert (label_map.array[2:5, 1:4].sum(axis=(0, 1)) == [0, 9, 0, 0, 0]).all()
    assert label_map.notes == (
        "'A' has 1 open contour, which encloses nothing: passed over",
        "'B' has no closed contour: nothing was drawn of it",
    )


def test_more_regions_than_two_bytes_count(tmp_path: Path, series: Series) -> None:
    """None of the first 65,535 is drawn, the last is."""
    file = dcmread(write(tmp_path / "rt.dcm", series, {"A": [("CLOSED_PLANAR", contours_of(SQUARE, 1, series))]}))
    file.ROIContourSequence[0].ReferencedROINumber = 65536
    file.StructureSetROISequence = [item(ROINumber=number + 1, ROIName="A") for number in range(65536)]
    file.save_as(tmp_path / "rt.dcm")
    assert read_structure_set(tmp_path / "rt.dcm", series).array.max() == 65536


def test_another_space_is_refused_but_for_contours_that_name_their_images(tmp_path: Path, series: Series) -> None:
    label_map = np.zeros(series.shape, np.uint8)
    label_map[2:5, 1:4, 1] = 1
    write_structure_set(tmp_path / "rt.dcm", label_map, series, {1: "A"})
    file = dcmread(tmp_path / "rt.dcm")
    (space,) = file.ReferencedFrameOfReferenceSequence
    space.FrameOfReferenceUID = file.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"
    file.save_as(tmp_path / "rt.dcm")
    read = read_structure_set(tmp_path / "rt.dcm", series)
    assert np.array_equal(read.array, label_map)
    assert read.notes == ("says another frame of reference than its images have; it is read on these",)
    images = space.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
    images[0].ReferencedSOPInstanceUID = "1.2.3.4"
    file.save_as(tmp_path / "rt.dcm")
    with pytest.raises(InputError, match="another frame of reference"):
        read_structure_set(tmp_path / "rt.dcm", series)


def shapes(seed: int = 0) -> np.ndarray:
    """A label map with holes, islands in holes, corners that touch and pixels at the border."""
    label_map = (np.random.default_rng(seed).random(SHAPE) < 0.6).astype(np.uint8)
    label_map[6:] *= 2
    label_map[..., 0] = 0
    label_map[1:10, 1:8, 1], label_map[3:8, 3:6, 1], label_map[5, 4, 1] = 1, 0, 1
    return label_map


@pytest.mark.parametrize("holes", ["keyhole", "exclusive"])
def test_what_is_written_comes_back_to_the_voxel(tmp_path: Path, series: Series, holes: str) -> None:
    path = tmp_path / "rt.dcm"
    names = {1: "LV", 2: "left kidney", 3: "widget"}
    write_structure_set(path, shapes(), series, names, holes=holes)  # type: ignore[arg-type]
    regions = read_regions(path)
    assert [segment.name for segment in regions.segments] == ["left ventricle", "left kidney", "widget"]
    assert [segment.label for segment in regions.segments] == list(names.values())
    assert segmented_series(regions, list_dicom(series.files[0].parent)) == series
    back = read_structure_set(path, series)
    assert np.array_equal(back.array, shapes())
    assert "'widget' has no closed contour: nothing was drawn of it" in back.notes


def test_of_an_enhanced_file_frames_are_named(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "scan" / "one.dcm", volume(SHAPE, np.uint16), lps(turn=oblique()))
    (series,) = list_dicom(tmp_path / "scan").volumes()
    write_structure_set(tmp_path / "rt.dcm", shapes(), series, {1: "LV", 2: "RV"})
    contours = dcmread(tmp_path / "rt.dcm").ROIContourSequence[0].ContourSequence
    assert {contour.ContourImageSequence[0].ReferencedFrameNumber for contour in contours} == {2, 3, 4, 5}
    assert np.array_equal(read_structure_set(tmp_path / "rt.dcm", series).array, shapes())


def test_the_object_says_whose_and_of_what_it_is(tmp_path: Path, series: Series) -> None:
    write_structure_set(tmp_path / "rt.dcm", shapes(), series, {1: "LV", 2: "RV"}, label="heart")
    file = dcmread(tmp_path / "rt.dcm")
    scan = dcmread(series.frames[0].file)
    for word in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber", "StudyDate"):
        assert file[word].value == scan[word].value
    assert (file.Modality, file.StructureSetLabel, file.ApprovalStatus) == ("RTSTRUCT", "heart", "UNAPPROVED")
    code = file.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("87878005", "SCT")
    assert max(len(part) for part in map(str, file.ROIContourSequence[0].ContourSequence[0].ContourData)) <= 16
    with pytest.raises(InputError, match="expected a class for every value of the label map, got none for 2"):
        write_structure_set(tmp_path / "rt.dcm", shapes(), series, {1: "LV"})


@pytest.mark.skipif(which("dciodvfy") is None, reason="dciodvfy (dicom3tools) isn't installed")
def test_dciodvfy_finds_no_error(tmp_path: Path, series: Series) -> None:
    """In keyholes: Debian's dciodvfy is older than CLOSEDPLANAR_XOR."""
    write_structure_set(tmp_path / "rt.dcm", shapes(), series, {1: "LV", 2: "RV"})
    done = subprocess.run(["dciodvfy", tmp_path / "rt.dcm"], capture_output=True, text=True, check=False)
    assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def test_a_contour_of_many_points_is_whole_for_other_readers(tmp_path: Path) -> None:
    """More than the 65,534 bytes that numbers may have where their type is written out (explicit VR)."""
    write_series(tmp_path / "scan", volume((64, 64, 2)), lps())
    (series,) = list_dicom(tmp_path / "scan").volumes()
    label_map = np.zeros(series.shape, np.uint8)
    label_map[1:63, 1:63, 1] = 1
    label_map[2:62:2, 2:62:2, 1] = 0
    write_structure_set(tmp_path / "rt.dcm", label_map, series, {1: "LV"})
    (contour,) = dcmread(tmp_path / "rt.dcm").ROIContourSequence[0].ContourSequence
    assert len(contour.ContourData) == 3 * contour.NumberOfContourPoints
    assert sum(len(str(part)) + 1 for part in contour.ContourData) > 2**16
    assert np.array_equal(read_structure_set(tmp_path / "rt.dcm", series).array, label_map)
