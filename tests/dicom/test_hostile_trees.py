"""Trees with one damaged file: it costs its own series at most, in one line. Most seeds are in `tree_fuzz`."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import BaseTag
from pydicom.uid import JPEGBaseline8Bit

from synthetic_dicom import lps, volume, write_series
from tree_fuzz import DAMAGES, damaged, outcome, write_tree
from unpaired.cli import main
from unpaired.dicom.attributes import text
from unpaired.dicom.segmentation import Algorithm, write_segmentation
from unpaired.dicom.structure_set_writer import write_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.errors import InputError
from unpaired.failures import attempt

SHAPE = (6, 5, 5)
NEEDED = {
    "SOPInstanceUID": None,
    "SOPClassUID": "1 missing slice: 5.00 mm between 1-001.dcm and 1-003.dcm",
    "StudyInstanceUID": "1 missing slice: 5.00 mm between 1-001.dcm and 1-003.dcm",
    "SeriesInstanceUID": "1 missing slice: 5.00 mm between 1-001.dcm and 1-003.dcm",
    "FrameOfReferenceUID": "1 missing slice: 5.00 mm between 1-001.dcm and 1-003.dcm",
    "PatientID": "1 missing slice: 5.00 mm between 1-001.dcm and 1-003.dcm",
    "Modality": "1 missing slice: 5.00 mm between 1-001.dcm and 1-003.dcm",
    "ImagePositionPatient": "slices without a place in the patient (Image Position, Image Orientation)",
    "ImageOrientationPatient": "slices without a place in the patient (Image Position, Image Orientation)",
    "PixelSpacing": "pixels without a size (Pixel Spacing)",
    "Columns": "no pixels (0 columns, 5 rows)",
    "BitsAllocated": "no BitsAllocated",
    "PixelRepresentation": "no PixelRepresentation",
    "RescaleIntercept": "has no Rescale Intercept, though 1-001.dcm has",
    "PixelData": "no pixels",
}
"""Attributes that a slice can't lose unnoticed, and what is said. Without Rows a file is no image."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("tree")
    return folder, write_tree(folder)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_costs_itself_alone(tree: tuple[Path, list[Path]], kind: str) -> None:
    folder, files = tree
    for number in range(2):
        path, before = damaged(folder, files, (4, number), kind)
        try:
            assert outcome(folder, write=False) in ("volume", "no volume", "refused", "left out")
        finally:
            path.write_bytes(before)


def test_the_tree_is_sound_before_it_is_damaged(tree: tuple[Path, list[Path]]) -> None:
    assert outcome(tree[0], write=False) == "volume"


def test_a_slice_without_one_attribute_after_the_other(tmp_path: Path) -> None:
    """What is needed is missed in one line; without the others the volume is as it was."""
    files = write_series(tmp_path, volume(SHAPE), lps(), RescaleSlope=1, RescaleIntercept=0)
    whole = files[1].read_bytes()
    words = [element.keyword for element in pydicom.dcmread(files[1])]
    assert set(NEEDED) <= set(words)
    assert len(words) > 25
    for word in words:
        file = pydicom.dcmread(io.BytesIO(whole))
        del file[word]
        file.save_as(files[1], enforce_file_format=False)
        index = list_dicom(tmp_path)
        said = [series.problem for series in index.series if series.problem]
        for series in index.volumes():
            try:
                same = np.array_equal(read_volume(series).array, volume(SHAPE))
            except InputError as error:
                said.append(str(error))
            else:
                assert same, word
        if word in NEEDED:
            needed = NEEDED[word]
            assert needed is None or any(needed in line for line in said), (word, said)
        elif word == "Rows":
            assert [stored.file for stored in index.objects] == [files[1]]
        else:
            assert said == [], word


def test_segmentations_of_any_modality_are_objects_and_nothing_that_is_dicom_goes_unsaid(tmp_path: Path) -> None:
    """A file that says another modality than its SOP class has, and one that breaks off before it says anything."""
    write_series(tmp_path / "scan", volume(SHAPE), lps())
    (series,) = list_dicom(tmp_path).volumes()
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[1:4, 1:4, 1] = 1
    write_segmentation(tmp_path / "seg.dcm", label_map, series, ("background", "LV"), Algorithm("a", "1", ()))
    write_structure_set(tmp_path / "rt.dcm", label_map, series, {1: "LV"}, {}, label="a")
    for name in ("seg.dcm", "rt.dcm"):
        file = pydicom.dcmread(tmp_path / name)
        file.Modality = "CT"
        file.save_as(tmp_path / name)
    content = (tmp_path / "rt.dcm").read_bytes()
    (tmp_path / "short.dcm").write_bytes(content[: 144 + int.from_bytes(content[140:144], "little")])
    index = list_dicom(tmp_path)
    assert {stored.file.name: stored.modality for stored in index.objects} == {"seg.dcm": "SEG", "rt.dcm": "RTSTRUCT"}
    assert list(index.series) == [series]
    reason = "unreadable or truncated DICOM: doesn't say what it is; export it again"
    assert index.named_failures() == [("short.dcm", reason)]


def test_a_text_holds_no_backslash() -> None:
    """Bytes of another character set than the file says: what is written with the text would be refused."""
    elements = pydicom.Dataset()
    content = b"a\\\x07b"
    elements[0x0008103E] = RawDataElement(BaseTag(0x0008103E), "LO", len(content), content, 0, False, True, True)
    assert text(elements, "SeriesDescription") == "a//x07b"


BOMBS = {
    "a picture of 65535 x 65535": lambda jpeg, size: encapsulate([jpeg.replace(size, b"\xff" * 4)]),
    "pieces without end": lambda jpeg, size: encapsulate([jpeg])[:-8] + b"\xfe\xff\x00\xe0\0\0\0\0" * 100_000,
    "a piece longer than the file": lambda jpeg, size: encapsulate([jpeg]).replace(
        len(jpeg).to_bytes(4, "little"), b"\xff\xff\xff\x7f"
    ),
    "a table of places longer than the file": lambda jpeg, size: (
        b"\xfe\xff\x00\xe0\xf0\xff\xff\0" + encapsulate([jpeg])[8:]
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_an_encapsulated_bomb_costs_its_series(tmp_path: Path, bomb: str) -> None:
    """A JPEG of 16 x 12 pixels that says something else, in a series of its own beside a sound one."""
    stream = io.BytesIO()
    Picture.fromarray(np.arange(192, dtype=np.uint8).reshape(12, 16)).save(stream, "jpeg")
    jpeg = stream.getvalue() + b"\0" * (len(stream.getvalue()) % 2)
    for path in write_series(tmp_path, volume((16, 12, 2), np.uint8), lps()):
        file = pydicom.dcmread(path)
        file.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        file.PixelData = BOMBS[bomb](jpeg, b"\0\x0c\0\x10")
        file["PixelData"].VR, file["PixelData"].is_undefined_length = "OB", True
        file.save_as(path)
    write_series(tmp_path, volume(SHAPE), lps(), series="2")
    index = list_dicom(tmp_path)
    outcomes = {series.number: attempt(lambda series=series: read_volume(series)) for series in index.volumes()}
    assert np.array_equal(outcomes[2][0].array, volume(SHAPE))
    hostile, problem = outcomes.get(1, (None, ""))
    assert problem is None or "\n" not in problem
    if problem is None:  # the pieces without end are empty, and what they follow is whole
        assert hostile.array.shape == (16, 12, 2)
    assert "fault of unpaired" not in str(problem)


def test_the_command_tells_the_damaged_file_and_lists_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path, volume(SHAPE), lps(), series="2")
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 300)
    assert main(["dicom", "list", str(tmp_path), "--workers", "0"]) == 1
    told = capsys.readouterr()
    assert "CT series 2" in told.out
    assert sum("broken.dcm" in line for line in (told.out + told.err).splitlines()) == 1
