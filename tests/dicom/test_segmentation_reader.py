"""DICOM SEG objects: to the voxel what was written, what highdicom reads, what a plain loop over frames gives."""

import zlib
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from synthetic_dicom import lps, oblique, volume, write_enhanced, write_series
from synthetic_seg import write_seg
from unpaired.data.image import ImageError
from unpaired.dicom.index import Index, Series
from unpaired.dicom.placement import Plane, lps_grid, place_on
from unpaired.dicom.segment_pixels import DEFLATED_FRAMES
from unpaired.dicom.segmentation_reader import read_segmentation, read_segments
from unpaired.dicom.segments import segmented_series
from unpaired.dicom.tree import list_dicom
from unpaired.errors import InputError

hd = pytest.importorskip("highdicom")
SHAPE = (9, 7, 5)
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless)


def one_volume(folder: Path) -> Series:
    (series,) = list_dicom(folder).volumes()
    return series


@pytest.fixture
def scan(tmp_path: Path) -> tuple[list[Path], Series]:
    """An oblique series of pixels that aren't square, and its files in the order of the slices."""
    files = write_series(tmp_path / "scan", volume(SHAPE), lps(turn=oblique()))
    series = one_volume(tmp_path / "scan")
    assert len(files) == len(series.frames)
    return list(series.files), series


def labels(seed: int = 0, classes: int = 2, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A label map (column, row, slice) whose first slice is empty."""
    values = np.random.default_rng(seed).integers(0, classes + 1, shape).astype(np.uint8)
    values[..., 0] = 0
    return values


def masks_of(label_map: np.ndarray, classes: int = 2) -> np.ndarray:
    """(slice, row, column, segment), as highdicom takes them."""
    return np.stack([number == label_map.T for number in range(1, classes + 1)], axis=-1)


def test_binary_segments_come_back_to_the_voxel(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    label_map = labels()
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(label_map))
    assert np.array_equal(read_segmentation(path, series).array, label_map)


def test_as_highdicom_reads_it(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(labels(seed=1)))
    seg = hd.seg.segread(path)
    uids = [frame.instance_uid for frame in series.frames]
    read = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(read_segmentation(path, series).array, read.T)


def test_as_a_plain_loop_over_frames_and_pixels(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    """Every pixel of every frame, placed in space one by one, falls on the nearest voxel of the scan."""
    files, series = scan
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(labels(seed=2)))
    seg = dcmread(path)
    pixels, inverse = seg.pixel_array, np.linalg.inv(np.array(series.affine))
    expected = np.zeros(SHAPE, np.uint8)
    directions = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    rows_mm, columns_mm = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    for frame, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for row, column in product(range(SHAPE[1]), range(SHAPE[0])):
            place = position + column * columns_mm * np.array(directions[:3], float)
            place = place + row * rows_mm * np.array(directions[3:], float)
            voxel = np.rint(inverse @ (*place, 1)).astype(int)[:3]
            if pixels[frame, row, column]:
                expected[tuple(voxel)] = number
    assert np.array_equal(read_segmentation(path, series).array, expected)


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_other_kinds_and_transfer_syntaxes(
    tmp_path: Path, scan: tuple[list[Path], Series], kind: str, syntax: object
) -> None:
    files, series = scan
    label_map = labels(seed=3)
    pixels = label_map.T.copy() if kind == "LABELMAP" else masks_of(label_map).astype(np.float32)
    path = write_seg(tmp_path / "seg.dcm", files, pixels, kind=kind, syntax=syntax)
    assert np.array_equal(read_segmentation(path, series).array, label_map)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_deflated_frames(tmp_path: Path, scan: tuple[list[Path], Series], kind: str) -> None:
    """Each frame deflated for itself (Deflated Image Frame Compression), its bits from the first byte on."""
    files, series = scan
    label_map = labels(seed=4)
    pixels = label_map.T.copy() if kind == "LABELMAP" else masks_of(label_map)
    seg = dcmread(write_seg(tmp_path / "seg.dcm", files, pixels, kind=kind))
    frames = [np.packbits(frame, bitorder="little") if kind == "BINARY" else frame for frame in seg.pixel_array]
    packed = []
    for frame in frames:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflate.compress(frame.tobytes()) + deflate.flush()
        packed.append(content + b"\0" * (len(content) % 2))
    seg.PixelData = encapsulate(packed)
    seg["PixelData"].VR, seg["PixelData"].is_undefined_length = "OB", True
    seg.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dcmwrite(tmp_path / "seg.dcm", seg)
    other = (tmp_path / "seg.dcm").read_bytes().replace(JPEG2000Lossless.encode(), f"{DEFLATED_FRAMES}\0".encode())
    (tmp_path / "deflated.dcm").write_bytes(other)
    assert np.array_equal(read_segmentation(tmp_path / "deflated.dcm", series).array, label_map)


def test_a_deflated_file(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    label_map = labels(seed=5)
    seg = dcmread(write_seg(tmp_path / "seg.dcm", files, masks_of(label_map)))
    seg.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    seg.save_as(tmp_path / "deflated.dcm")
    assert np.array_equal(read_segmentation(tmp_path / "deflated.dcm", series).array, label_map)


def test_a_fraction_counts_from_half_of_the_largest_value_on(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    fractions = np.zeros((*SHAPE[::-1], 1), np.float32)
    fractions[1, 0, :4, 0] = 0.1, 0.49, 0.51, 1.0
    path = write_seg(tmp_path / "seg.dcm", files, fractions, ["liver"], "FRACTIONAL", max_fractional_value=100)
    assert read_segmentation(path, series).array[:4, 0, 1].tolist() == [0, 0, 1, 1]
    seg = dcmread(path)
    pixels = np.frombuffer(seg.PixelData, np.uint8).copy()
    pixels[pixels == 49] = 50
    seg.PixelData = pixels.tobytes()
    seg.save_as(path)
    assert read_segmentation(path, series).array[:4, 0, 1].tolist() == [0, 1, 1, 1]


def test_fractions_of_what_the_file_does_not_say_or_of_less_are_refused(
    tmp_path: Path, scan: tuple[list[Path], Series]
) -> None:
    files, series = scan
    fractions = np.zeros((*SHAPE[::-1], 1), np.float32)
    fractions[1, 0, :4, 0] = 0.1, 0.4, 0.6, 1.0
    path = write_seg(tmp_path / "seg.dcm", files, fractions, ["liver"], "FRACTIONAL", max_fractional_value=200)
    seg = dcmread(path)
    for most, message in (
        (100, r"a fraction of 200, more than its largest value \(Maximum .* 100\)"),
        (None, "no Maxi"),
    ):
        seg.MaximumFractionalValue = most
        seg.save_as(path)
        with pytest.raises(InputError, match=message):
            read_segmentation(path, series)


def test_frames_in_any_order(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    label_map = labels(seed=6)
    seg = dcmread(write_seg(tmp_path / "seg.dcm", files, masks_of(label_map)))
    order = np.random.default_rng(0).permutation(int(seg.NumberOfFrames))
    bits = seg.pixel_array[order].ravel()
    seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[number] for number in order]
    packed = np.packbits(bits, bitorder="little").tobytes()
    seg.PixelData = packed + b"\0" * (len(packed) % 2)
    seg.save_as(tmp_path / "shuffled.dcm")
    assert np.array_equal(read_segmentation(tmp_path / "shuffled.dcm", series).array, label_map)


def test_slices_without_a_frame_are_background(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    label_map = labels(seed=7)
    label_map[..., 1:4] = 0
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(label_map))
    assert dcmread(path).NumberOfFrames == 2
    assert np.array_equal(read_segmentation(path, series).array, label_map)


def test_a_frame_of_a_part_of_a_slice_goes_where_it_lies(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    """Columns 2 to 5 and rows 1 to 3 of slice 2, which some programs cut out around the organ."""
    files, series = scan
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[2:6, 1:4, 2] = 1
    label_map[3, 2, 2] = 0
    seg = dcmread(write_seg(tmp_path / "seg.dcm", files, masks_of(label_map, 1), ["liver"]))
    grid = np.array(series.affine)
    position = [f"{part:.8f}" for part in (grid @ (2, 1, 2, 1))[:3]]
    seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = position
    seg.Columns, seg.Rows = 4, 3
    bits = np.packbits(label_map[2:6, 1:4, 2].T.ravel(), bitorder="little").tobytes()
    seg.PixelData = bits + b"\0" * (len(bits) % 2)
    seg.save_as(tmp_path / "cut.dcm")
    assert np.array_equal(read_segmentation(tmp_path / "cut.dcm", series).array, label_map)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_a_plane_lies_on_the_voxels_under_it_in_all_48_directions(
    scan: tuple[list[Path], Series], axes: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    """A frame cut along any axis of the grid, its columns and rows counted from either end, a voxel beyond it."""
    _, series = scan
    grid = lps_grid(series)
    content = volume(SHAPE, np.uint16)
    across, down, normal = np.eye(3, dtype=int)[list(axes)] * np.array(signs)[:, None]
    start = np.array([0 if (across + down + normal)[axis] > 0 else SHAPE[axis] - 1 for axis in range(3)])
    start = start + 2 * normal - across
    size = (SHAPE[axes[0]] + 2, SHAPE[axes[1]])
    steps = [grid[:3, :3] @ step for step in (across, down)]
    lengths = [float(np.linalg.norm(step)) for step in steps]
    plane = Plane(
        (grid @ (*start, 1))[:3], steps[0] / lengths[0], steps[1] / lengths[1], (lengths[0], lengths[1]), size
    )
    cut = place_on(series, plane).cut(content, size)
    assert cut is not None
    view, inside = cut
    expected = np.zeros(size, int)
    for i, j in np.ndindex(size):
        voxel = start + i * across + j * down
        if (voxel >= 0).all() and (voxel < SHAPE).all():
            expected[i, j] = content[tuple(voxel)]
    assert np.array_equal(view, expected[inside])
    assert np.count_nonzero(expected) == np.count_nonzero(expected[inside])


def test_an_enhanced_scan(tmp_path: Path) -> None:
    file = write_enhanced(tmp_path / "scan" / "one.dcm", volume(SHAPE, np.uint16), lps(turn=oblique()))
    series = one_volume(tmp_path / "scan")
    label_map = labels(seed=8)
    source = dcmread(file)
    for group in source.PerFrameFunctionalGroupsSequence:
        group.FrameContentSequence = [Dataset()]
    path = write_seg(tmp_path / "seg.dcm", [file], masks_of(label_map))
    first = series.frames[0].number == 0
    assert np.array_equal(read_segmentation(path, series).array, label_map if first else label_map[..., ::-1])


def test_a_segment_is_named_by_its_codes_and_else_by_its_label(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(labels(classes=3), 3), ["kidney", "widget", "spleen"])
    seg = dcmread(path)
    side = Dataset()
    side.CodeValue, side.CodingSchemeDesignator, side.CodeMeaning = "7771000", "SCT", "Left"
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    seg.save_as(path)
    described = read_segments(path)
    assert [segment.name for segment in described.segments] == ["left kidney", "my widget", "spleen"]
    assert [segment.label for segment in described.segments] == ["my kidney", "my widget", "my spleen"]
    assert described.series_uids == (series.uid,)
    assert described.instance_uids == {frame.instance_uid for frame in series.frames}
    kept = read_segmentation(path, series, [3]).array
    assert np.array_equal(kept, np.where(labels(classes=3) == 3, 3, 0))


def test_segments_that_overlap_are_refused_by_name(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    masks = masks_of(labels(seed=9))
    masks[2, 3, 4] = True
    path = write_seg(tmp_path / "seg.dcm", files, masks)
    with pytest.raises(InputError, match=r"'my liver' and 'my spleen' overlap \(in 1 voxels of a slice\)"):
        read_segmentation(path, series)
    assert read_segmentation(path, series, [2]).array.any()


def changed(seg: Dataset, what: str) -> None:
    """Damage a SEG object in one of the ways that the test below names."""
    shared, frames = seg.SharedFunctionalGroupsSequence[0], seg.PerFrameFunctionalGroupsSequence
    if what == "spacing":
        shared.PixelMeasuresSequence[0].PixelSpacing = ["0.9", "0.9"]
    elif what == "between":
        position = frames[0].PlanePositionSequence[0].ImagePositionPatient
        frames[0].PlanePositionSequence[0].ImagePositionPatient = [position[0], position[1], float(position[2]) + 0.7]
    elif what == "space":
        seg.FrameOfReferenceUID = "1.2.3"
    elif what == "beyond":
        far = [f"{float(part) + 500:.4f}" for part in frames[0].PlanePositionSequence[0].ImagePositionPatient]
        frames[0].PlanePositionSequence[0].ImagePositionPatient = far
    elif what == "nowhere":
        del frames[0].PlanePositionSequence
    elif what == "short":
        seg.PixelData = seg.PixelData[:-4]
    elif what == "undescribed":
        frames[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9
    elif what == "places":
        seg.PerFrameFunctionalGroupsSequence = frames[:-1]
    elif what == "twice":
        seg.SegmentSequence[1].SegmentNumber = 1
    elif what == "kind":
        seg.SegmentationType = "SURFACE"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("spacing", "don't lie on the voxels of series"),
        ("between", "nothing is resampled here"),
        ("space", "lies in another frame of reference"),
        ("beyond", "voxels of series|goes beyond series"),
        ("nowhere", "doesn't say where it lies"),
        ("short", "truncated: the header promises"),
        ("undescribed", "segment 9, which isn't described"),
        ("places", "says? of 7 where they lie"),
        ("twice", "two segments have one number"),
        ("kind", "label map type, got 'SURFACE'"),
    ],
)
def test_what_cannot_be_trusted_is_refused_in_one_line(
    tmp_path: Path, scan: tuple[list[Path], Series], what: str, message: str
) -> None:
    files, series = scan
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(labels(seed=10)))
    seg = dcmread(path)
    changed(seg, what)
    dcmwrite(path, seg)
    with pytest.raises(InputError, match=message) as caught:
        read_segmentation(path, series)
    assert "\n" not in str(caught.value)
    assert "seg.dcm" in str(caught.value)


def test_a_tilted_series_is_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path / "scan", volume(SHAPE), lps(), shift=lambda number: np.array([0, 0.9 * number, 0]))
    series = one_volume(tmp_path / "scan")
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(labels(seed=11)))
    with pytest.raises(InputError, match="tilted gantry"):
        read_segmentation(path, series)


def test_other_files_are_refused(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, _ = scan
    with pytest.raises(ImageError, match="expected a DICOM SEG object, got CT"):
        read_segments(files[0])
    with pytest.raises(ImageError, match="found none at"):
        read_segments(tmp_path / "missing.dcm")


def test_the_series_is_found_by_reference(tmp_path: Path, scan: tuple[list[Path], Series]) -> None:
    files, series = scan
    write_series(tmp_path / "scan", volume(SHAPE), lps(turn=oblique()), series="2")
    path = write_seg(tmp_path / "seg.dcm", files, masks_of(labels()))
    index = list_dicom(tmp_path / "scan")
    described = read_segments(path)
    assert segmented_series(described, index).uid == series.uid
    with pytest.raises(InputError, match=r"was drawn on series .*, not in .*; add that series"):
        segmented_series(described, Index(tmp_path))
