"""Trees of DICOM files: what is found there, what is a volume, how series split, and what costs one line."""

import io
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from rich.console import Console

from synthetic_dicom import item, lps, oblique, save, volume, write_enhanced, write_series
from unpaired.dicom.index import Series
from unpaired.dicom.listing import index_to_json, series_table
from unpaired.dicom.tree import list_dicom
from unpaired.errors import InputError


def parts(tree: Path) -> list[tuple[str, tuple[int, int, int], bool]]:
    """What each series is set apart by, its size, and whether it is a volume."""
    return [(series.split_by, series.shape, series.problem is None) for series in list_dicom(tree).series]


def only(tree: Path) -> Series:
    (series,) = list_dicom(tree).series
    return series


def test_a_tree_is_read_whatever_its_files_are_called_and_whatever_lies_between_them(tmp_path: Path) -> None:
    for number, path in enumerate(write_series(tmp_path / "a" / "b", volume(), lps())):
        path.rename(path.with_name(f"{number}" if number % 2 else f"IM{number}.1"))
    write_series(tmp_path / "c", volume(seed=1), lps(), "MR", "2")
    (tmp_path / "a" / "notes.txt").write_text("no scan")
    (tmp_path / "a" / "empty.dcm").touch()
    (tmp_path / ".hidden").mkdir()
    shutil.copy(tmp_path / "c" / "2-001.dcm", tmp_path / ".hidden")
    index = list_dicom(tmp_path)
    assert [(series.modality, series.shape, series.problem) for series in index.series] == [
        ("CT", (9, 7, 5), None),
        ("MR", (9, 7, 5), None),
    ]
    assert index.others == 2
    assert index.failures == ()
    assert [path.name for path in index.series[0].files] == ["IM0.1", "1", "IM2.1", "3", "IM4.1"]


@pytest.mark.slow
def test_processes_find_the_same_as_one(tmp_path: Path) -> None:
    write_series(tmp_path, volume((4, 4, 70)), lps())
    told: list[tuple[int, int]] = []
    alone = list_dicom(tmp_path, progress=lambda done, total, name: told.append((done, total)))
    assert told == [(64, 70), (70, 70)]
    assert list_dicom(tmp_path, workers=2) == alone


def test_files_without_preamble_are_known_by_their_first_element(tmp_path: Path) -> None:
    for path in write_series(tmp_path, volume(), lps()):
        file = pydicom.dcmread(path)
        with (tmp_path / path.stem).open("wb") as bare:
            pydicom.filewriter.write_dataset(_little(bare), file)
        path.unlink()
    assert only(tmp_path).shape == (9, 7, 5)


def _little(stream):
    from pydicom.filebase import DicomFileLike

    wrapped = DicomFileLike(stream)
    wrapped.is_little_endian, wrapped.is_implicit_VR = True, True
    return wrapped


def test_a_dicomdir_names_its_files(tmp_path: Path) -> None:
    media = tmp_path / "media"
    paths = write_series(media / "IMAGES", volume(), lps())
    paths = [path.rename(path.with_name(f"IM{number}")) for number, path in enumerate(paths)]
    (media / "more.dcm").write_bytes(paths[0].read_bytes())
    names = [["IMAGES", path.name] for path in paths] + [["IMAGES", "GONE"]]
    records = [item(DirectoryRecordType="IMAGE", ReferencedFileID=name) for name in names]
    directory = item(SOPClassUID="1.2.840.10008.1.3.10", SOPInstanceUID="1.2.3", DirectoryRecordSequence=records)
    save(directory, media / "DICOMDIR")
    assert only(media / "DICOMDIR").notes == ()
    assert only(media / "DICOMDIR").shape == (9, 7, 5)
    assert only(media).notes == (
        "1 more with an SOP Instance UID that is there already (copies), left out",
    )  # as a folder


def test_the_order_is_that_of_the_places(tmp_path: Path) -> None:
    affine = lps(turn=oblique())
    affine[:3, 2] *= -1  # numbered against the normal
    series_ = only(write_series(tmp_path, volume(), affine)[0].parent)
    assert [frame.instance_number for frame in series_.frames] == [5, 4, 3, 2, 1]
    assert np.allclose(series_.spacing_mm or 0, (0.8, 0.7, 2.5), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "of_slice"),
    [
        ("echo time", lambda second: {"EchoTime": 4.6 if second else 2.3}),
        ("b", lambda second: {"DiffusionBValue": 1000.0 if second else 0.0}),
        ("image type", lambda second: {"ImageType": ["ORIGINAL", "PRIMARY", "PM"[second]]}),
        ("time point", lambda second: {"TemporalPositionIdentifier": 1 + second}),
        ("acquisition", lambda second: {"AcquisitionNumber": 3 + second}),
        ("inversion time", lambda second: {"InversionTime": 150 + second}),
        ("flip angle", lambda second: {"FlipAngle": 5 + 10 * second}),
        ("kernel", lambda second: {"ConvolutionKernel": ["B30f", "B70f"][second]}),
    ],
)
def test_volumes_at_one_place_are_set_apart_by_what_differs(tmp_path: Path, name: str, of_slice) -> None:
    write_series(tmp_path, volume(), lps(), "MR", of_slice=lambda number: of_slice(False))
    write_series(tmp_path, volume(seed=1), lps(), "MR", of_slice=lambda number: of_slice(True), first=5)
    found_parts = parts(tmp_path)
    assert [shape for _, shape, is_volume in found_parts if is_volume] == [(9, 7, 5)] * 2
    assert all(words.startswith(f"{name} ") for words, _, _ in found_parts)
    names = [series.name for series in list_dicom(tmp_path).series]
    assert [each.rpartition("/")[2] for each in names] == ["1", "2"]


def test_times_that_differ_from_slice_to_slice_make_phases_by_their_rank(tmp_path: Path) -> None:
    for phase in range(3):
        write_series(
            tmp_path,
            volume(seed=phase),
            lps(),
            "MR",
            of_slice=lambda number, phase=phase: {"TriggerTime": 10.0 + 40 * phase + 3 * number},
            first=10 * phase,
        )
    assert parts(tmp_path) == [(f"cardiac phase {phase}", (9, 7, 5), True) for phase in (1, 2, 3)]


def test_what_differs_without_need_sets_nothing_apart(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps(), "MR", of_slice=lambda number: {"TriggerTime": 7.0 * number, "EchoTime": 2})
    assert parts(tmp_path) == [("", (9, 7, 5), True)]


def test_two_stacks_that_one_number_holds_are_set_apart_by_their_acquisition(tmp_path: Path) -> None:
    far = lps(origin=(-30.0, 12.0, 90.0))
    write_series(tmp_path, volume(), lps(), of_slice=lambda number: {"AcquisitionNumber": 1})
    write_series(tmp_path, volume((9, 7, 4)), far, of_slice=lambda number: {"AcquisitionNumber": 2}, first=5)
    assert parts(tmp_path) == [("acquisition 1", (9, 7, 5), True), ("acquisition 2", (9, 7, 4), True)]


def test_directions_sizes_and_localizers_are_kept_apart(tmp_path: Path) -> None:
    sagittal = lps(turn=np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0.0]]))
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_series(tmp_path, volume(), lps(), "MR")
    write_series(tmp_path, volume((9, 7, 3)), sagittal, "MR", first=10)
    write_series(tmp_path, volume((12, 7, 2)), lps(), "MR", first=20)
    write_series(tmp_path, volume((9, 7, 1)), lps(), "MR", of_slice=lambda number: scout, first=30)
    index = list_dicom(tmp_path)
    assert [(series.split_by, series.problem) for series in index.series] == [
        ("9 x 7 pixels, axial", None),
        ("9 x 7 pixels, sagittal", None),
        ("12 x 7 pixels, axial", None),
        ("localizer, 9 x 7 pixels, axial", "a localizer, made to plan other scans"),
    ]


def test_enhanced_frames_split_by_their_functional_groups(tmp_path: Path) -> None:
    write_enhanced(
        tmp_path / "x",
        volume((9, 7, 8)),
        lps(),
        of_frame=lambda number: {"MREchoSequence": item(EffectiveEchoTime=2.0 + number // 4)},
        at=lambda number: number % 4,
    )
    index = list_dicom(tmp_path)
    assert [series.split_by for series in index.series] == ["echo time 2", "echo time 3"]
    assert [[frame.number for frame in series.frames] for series in index.series] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_one_uid_for_all_slices_makes_no_copies_of_them(tmp_path: Path) -> None:
    for path in write_series(tmp_path, volume(), lps()):
        edit(path, SOPInstanceUID="1.2.3")
    assert only(tmp_path).shape == (9, 7, 5)
    assert not any("copies" in note for note in only(tmp_path).notes)


def test_a_study_stands_for_a_patient_whose_id_and_name_were_taken_out(tmp_path: Path) -> None:
    nobody = {"PatientID": "", "PatientName": ""}
    for series, study in (("1", "1.2.1"), ("2", "1.2.1"), ("3", "1.2.2")):
        write_series(tmp_path, volume(), lps(), series=series, StudyInstanceUID=study, **nobody)
    first, second, other = (series.patient for series in list_dicom(tmp_path).series)
    assert first == second != other
    assert "" not in (first, other)


def test_two_patients_in_one_folder_and_one_series_are_two(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps())
    write_series(tmp_path, volume(), lps(), first=5, PatientID="4712")
    index = list_dicom(tmp_path)
    assert len({series.patient for series in index.series}) == 2
    assert parts(tmp_path) == [("patient 1 of 2", (9, 7, 5), True), ("patient 2 of 2", (9, 7, 5), True)]
    write_series(tmp_path, volume(), lps(), first=10, PatientID="4712", FrameOfReferenceUID="1.2.9")
    index = list_dicom(tmp_path)
    uid = index.series[0].uid
    assert [series.name for series in index.series] == [f"{uid}/1", f"{uid}/2", f"{uid}/3"], "they name files"
    assert index.series[2].split_by == "patient 2 of 2, frame of reference 2 of 2"


PROBLEMS = {
    "1 missing slice: 5.00 mm between 1-002.dcm and 1-004.dcm, 2.50 mm elsewhere": lambda paths: paths[2].unlink(),
    "a single slice, no volume": lambda paths: [path.unlink() for path in paths[1:]],
    "irregular spacing: 3.25 mm between 1-004.dcm and 1-005.dcm": lambda paths: edit(
        paths[4], ImagePositionPatient=["-30", "12", "15.75"]
    ),
    "1-002.dcm and copy.dcm lie at one place (1 such pairs), and nothing sets them apart": lambda paths: edit(
        paths[1], paths[1].with_name("copy.dcm"), SOPInstanceUID="1.2.3"
    ),
    "slices without a place in the patient": lambda paths: [edit(path, ImagePositionPatient=None) for path in paths],
    "pixels without a size": lambda paths: [edit(path, PixelSpacing=None) for path in paths],
    "color (RGB), not gray": lambda paths: edit(paths[0], SamplesPerPixel=3, PhotometricInterpretation="RGB"),
    "a mosaic of slices in one picture (Siemens)": lambda paths: edit(
        paths[0], ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"]
    ),
    "its values pass through a table (Modality LUT)": lambda paths: edit(
        paths[0], ModalityLUTSequence=[item(ModalityLUTType="US")]
    ),
}


def edit(path: Path, to: Path | None = None, **changes) -> None:
    file = pydicom.dcmread(path)
    for name, value in changes.items():
        setattr(file, name, value)
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.save_as(to or path)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_is_no_volume_says_why_and_where(tmp_path: Path, problem: str) -> None:
    PROBLEMS[problem](write_series(tmp_path, volume(), lps()))
    series_ = only(tmp_path)
    assert series_.problem is not None
    assert problem in series_.problem
    assert series_.spacing_mm is None


def test_a_damaged_file_costs_one_line_and_its_place_shows(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(), lps())
    paths[4].write_bytes(paths[4].read_bytes()[:200])
    deep = bytes.fromhex("feff00e0 ffffffff 08004011 ffffffff".replace(" ", "")) * 30_000
    (tmp_path / "deep.dcm").write_bytes(
        bytes(128) + b"DICM" + bytes.fromhex("08004011 ffffffff".replace(" ", "")) + deep
    )
    write_series(tmp_path / "other", volume(), lps(), series="2")
    index = list_dicom(tmp_path)
    assert [series.problem for series in index.series] == [None, None]
    assert len(index.failures) + index.others == 2
    for _, message in index.failures:
        assert "\n" not in message
        assert "unexpected" not in message


def test_objects_are_no_scans_and_name_their_series(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps())
    stored = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3",
        SOPInstanceUID="1.2.9",
        Modality="RTSTRUCT",
        SeriesInstanceUID="1.2.8",
        StudyInstanceUID="1.2.7",
        StructureSetLabel="contours",
        ReferencedFrameOfReferenceSequence=[
            item(
                FrameOfReferenceUID="1.2.6",
                RTReferencedStudySequence=[item(RTReferencedSeriesSequence=[item(SeriesInstanceUID="1.2.5")])],
            )
        ],
    )
    save(stored, tmp_path / "rt")
    (contours,) = list_dicom(tmp_path).objects
    assert (contours.modality, contours.description, contours.referenced_series) == ("RTSTRUCT", "contours", ("1.2.5",))
    assert contours.frame_of_reference_uid == "1.2.6"


def test_no_name_of_a_patient_leaves_the_index(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps())
    index = list_dicom(tmp_path)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(series_table(index))
    for text in (repr(index), repr(index_to_json(index)), console.export_text()):
        assert "Doe" not in text
        assert "4711" not in text
    assert len(index.series[0].patient) == 12


def test_the_listing_says_it_to_people_and_programs(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps())
    write_series(tmp_path, volume((9, 7, 1)), lps(), "MR", "2")
    index = list_dicom(tmp_path)
    table = series_table(index)
    assert [cell.text for cell in table.rows[0]] == [
        "1", "CT", "CT series 1", "9 x 7 x 5", "0.8 x 0.7 x 2.5", "yes", index.series[0].uid[-12:],
    ]  # fmt: skip
    assert table.rows[1][5].text == "no: a single slice, no volume"
    assert table.notes[0] == "1 volume in 2 series of 1 study and 1 patient"
    document = index_to_json(index)
    assert [entry["volume"] for entry in document["series"]] == [True, False]
    assert len(document["series"][0]["files"]) == 5


def test_a_place_without_anything_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a DICOM file or a folder with such files, found nothing at"):
        list_dicom(tmp_path / "nowhere")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    write_series(tmp_path / "elsewhere", volume((6, 5, 4)), lps())
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "study").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tree" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tree" / "sub" / "circle").symlink_to(tmp_path / "tree")
    (series,) = list_dicom(tmp_path / "tree").volumes()
    assert len(series.frames) == 4
    assert not any("copies" in note for note in series.notes)
