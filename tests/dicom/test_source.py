"""What derived objects copy of a series' files: words in an encoding that highdicom takes."""

from pathlib import Path

from pydicom import dcmread

from synthetic_dicom import lps, volume, write_series
from unpaired.dicom.source import read_sources
from unpaired.dicom.tree import list_dicom


def test_a_single_extended_character_set_becomes_utf_8(tmp_path: Path) -> None:
    write_series(tmp_path, volume((6, 5, 3)), lps())
    for path in tmp_path.rglob("*.dcm"):
        dataset = dcmread(path)
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO 2022 IR 100", "Müller^Zoë"
        dataset.save_as(path)
    (series,) = list_dicom(tmp_path).volumes()
    for source in read_sources(series):
        assert source.SpecificCharacterSet == "ISO_IR 192"
        assert str(source.PatientName) == "Müller^Zoë"
