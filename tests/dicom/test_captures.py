"""Secondary captures and reports: what is drawn where in which color, whose it is, and the standard's rules."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dciodvfy import errors
from synthetic_dicom import lps, volume, write_series
from unpaired.data.class_codes import ClassCode, Code
from unpaired.dicom.encapsulated_pdf import report_of, write_report
from unpaired.dicom.overlays import CT_WINDOW_HU, Segmented, gray_window, overlays
from unpaired.dicom.secondary_capture import with_names, write_captures
from unpaired.dicom.segmentation import Algorithm
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError

pytest.importorskip("highdicom")
RED = ClassCode(Code("108369006", "Neoplasm"), color=(255, 0, 0))
SHAPE = (300, 260, 5)


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Segmented:
    """A square of "blob" in slices 2 to 4 of 5 (column, row, slice), nothing of "other"."""
    tree = tmp_path_factory.mktemp("captures")
    write_series(tree, volume(SHAPE), lps(), SeriesDescription="Doe liver", InstitutionName="Clinic")
    (series,) = list_dicom(tree).series
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[100:200, 50:90, 1:4] = 1
    algorithm = Algorithm("unpaired", "0.1.0", ("abc123",))
    return Segmented(
        series, read_volume(series).array, label_map, ("background", "blob", "other"), algorithm, {"blob": RED}
    )


def test_classes_are_filled_faintly_with_a_full_outline(segmented: Segmented) -> None:
    (picture,) = overlays(segmented, [2])
    assert picture.shape == (2 * 260, 2 * 300, 3)  # enlarged to about 512
    low, high = CT_WINDOW_HU
    gray = np.clip((segmented.volume[..., 2].T - low) / (high - low), 0, 1) * 255
    for row, column in ((10, 10), (70, 150), (50, 100), (89, 199), (49, 100), (50, 99)):
        inside = 50 <= row < 90 and 100 <= column < 200
        edge = inside and (row in (50, 89) or column in (100, 199))
        share = 1.0 if edge else 0.35 if inside else 0.0
        wanted = (1 - share) * np.repeat(gray[row, column], 3) + share * np.array([255, 0, 0])
        # Of an enlarged edge pixel, the outer corner is the outline.
        at = (2 * row + (row == 89), 2 * column + (column == 199))
        assert np.abs(picture[at] - wanted).max() <= 1, (row, column)


def test_slices_are_those_that_show_something_or_the_middle_one(segmented: Segmented) -> None:
    assert segmented.shown() == [1, 2, 3]
    nothing = Segmented(
        segmented.series, segmented.volume, segmented.label_map * 0, segmented.classes, segmented.algorithm
    )
    assert nothing.shown() == [2]
    assert b"/Page" in report_of(nothing)


def test_captures_are_a_series_of_the_study_that_names_its_slices(segmented: Segmented, tmp_path: Path) -> None:
    write_captures(tmp_path / "sc", replace(segmented, label_map=segmented.label_map[..., ::-1] * 0))
    paths = write_captures(tmp_path / "sc", segmented)
    assert [path.name for path in paths] == ["0002.dcm", "0003.dcm", "0004.dcm"]
    assert sorted((tmp_path / "sc").iterdir()) == paths
    files = [pydicom.dcmread(path) for path in paths]
    assert len({file.SeriesInstanceUID for file in files}) == 1
    assert len({file.SOPInstanceUID for file in files}) == 3
    for file, frame in zip(files, segmented.series.frames[1:4], strict=True):
        assert file.SourceImageSequence[0].ReferencedSOPInstanceUID == frame.instance_uid
        assert (file.StudyInstanceUID, file.PatientID) == (segmented.series.study_uid, "4711")
        assert [float(number) for number in file.PixelSpacing] == [0.35, 0.4]  # of enlarged pixels
        assert list(file.PatientOrientation) == ["L", "P"]
        assert "FrameOfReferenceUID" not in file
    picture = pydicom.pixels.pixel_array(paths[1])
    drawn = with_names(next(overlays(segmented, [2])), segmented, 2)
    assert picture.shape == drawn.shape
    assert np.abs(picture[100:180, 200:400].astype(int) - drawn[100:180, 200:400]).mean() < 8  # JPEG
    assert errors(paths[0]) == []


def test_a_folder_with_other_files_is_left_alone(segmented: Segmented, tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(segmented.series.files[0].read_bytes())
    for name in ("1.dcm", "notes.txt"):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=r"expected a folder for captures, got one with (1.dcm|notes.txt)"):
            write_captures(tmp_path, segmented)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_strip_names_what_a_slice_shows(segmented: Segmented) -> None:
    picture = np.zeros((520, 600, 3), np.uint8)
    shown, empty = (with_names(picture, segmented, level)[:, 600:] for level in (2, 0))
    red = (shown == (255, 0, 0)).all(axis=2)
    assert red.any()
    assert not (empty == (255, 0, 0)).all(axis=2).any()
    assert shown.shape == empty.shape


def test_a_report_is_a_document_of_the_study(segmented: Segmented, tmp_path: Path) -> None:
    write_report(tmp_path / "pdf", segmented)
    file = pydicom.dcmread(tmp_path / "pdf")
    assert (file.Modality, file.MIMETypeOfEncapsulatedDocument, file.PatientID) == ("DOC", "application/pdf", "4711")
    assert file.EncapsulatedDocument[: file.EncapsulatedDocumentLength] == report_of(segmented)
    named = {item.ReferencedSOPInstanceUID for item in file.SourceInstanceSequence}
    assert named == {frame.instance_uid for frame in segmented.series.frames}
    assert errors(tmp_path / "pdf") == []


def test_a_long_table_and_formulas_go_on_further_pages(segmented: Segmented) -> None:
    names = ("background", *(f"a$x^{number}$ 肝" for number in range(40)))
    many = Segmented(segmented.series, segmented.volume, segmented.label_map, names, segmented.algorithm)
    assert len(re.findall(rb"/Type /Page\s", report_of(many))) == 2


@pytest.mark.parametrize("kind", ["sc", "pdf"])
def test_deidentified_pictures_say_nobodys_name(segmented: Segmented, tmp_path: Path, kind: str) -> None:
    if kind == "sc":
        path = write_captures(tmp_path / "sc", segmented, anonymous=True)[0]
    else:
        path = tmp_path / "pdf"
        write_report(path, segmented, anonymous=True)
    for word in (b"Doe", b"4711", b"19700101", b"Clinic", b"Who", b"20260101"):
        assert word not in path.read_bytes(), word
    assert pydicom.dcmread(path).PatientIdentityRemoved == "YES"
    assert errors(path) == []


def test_black_and_white_of_other_scans_are_their_own(segmented: Segmented) -> None:
    series = replace(segmented.series, modality="MR")
    scan = np.zeros(SHAPE)
    scan[..., 1] = np.linspace(0, 100, 300 * 260).reshape(300, 260)
    low, high = gray_window(Segmented(series, scan, segmented.label_map, segmented.classes, segmented.algorithm))
    assert low == 0
    assert 95 < high < 100
    flat = Segmented(series, scan * 0, segmented.label_map, segmented.classes, segmented.algorithm)
    assert gray_window(flat) == (0, 1)


def test_other_label_maps_are_refused(segmented: Segmented) -> None:
    with pytest.raises(InputError, match="expected a label map of the volume's shape"):
        Segmented(segmented.series, segmented.volume, segmented.label_map[1:], segmented.classes, segmented.algorithm)
    with pytest.raises(InputError, match="expected class numbers from 0 to 0"):
        Segmented(segmented.series, segmented.volume, segmented.label_map, ("background",), segmented.algorithm)
