"""Objects beside the label map of a series: which are written, taken for done, removed; and that none says a name."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from synthetic_dicom import lps, volume, write_series
from unpaired.data.image import Image
from unpaired.dicom.segmentation_reader import read_segmentation
from unpaired.dicom.structure_set import read_structure_set
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume
from unpaired.inference.dicom_objects import (
    ENDINGS,
    object_path,
    objects_are_there,
    objects_difference,
    remove_objects,
    write_objects,
)
from unpaired.inference.jobs import DicomScan, Job

pytest.importorskip("highdicom")
SHAPE = (40, 32, 3)
EVERY = ("seg", "rtstruct", "sc", "pdf")
SECRETS = (
    *("PatientName", "PatientID", "ReferringPhysicianName", "AccessionNumber", "StudyID", "PatientComments"),
    *("OtherPatientNames", "PatientMotherBirthName", "InstitutionName", "InstitutionAddress"),
    *("StationName", "OperatorsName", "PerformingPhysicianName", "StudyDescription", "ProtocolName", "ImageComments"),
    *("AdmittingDiagnosesDescription", "RequestedProcedureDescription", "ClinicalTrialSponsorName"),
    *("ClinicalTrialSubjectID", "DeviceSerialNumber", "ManufacturerModelName", "IssuerOfPatientID"),
)
"""Attributes of a scan, filled with a word that nothing may repeat."""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A series full of secrets, of which all objects are asked for."""
    for path in write_series(tmp_path / "in", volume(SHAPE), lps()):
        file = pydicom.dcmread(path)
        for word in SECRETS:
            setattr(file, word, "Secret")
        file.AcquisitionDate = file.SeriesDate = file.ContentDate = "20260101"
        file.private_block(0x0011, "Secret", create=True).add_new(1, "LO", "Secret")
        file.save_as(path)
    (series,) = list_dicom(tmp_path / "in").series
    return Job("ct-1", series.files[0], "ct", tmp_path / "out" / "ct-1.nii.gz", DicomScan(series, EVERY))


def label_map() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:20, 5:15, 1] = 1
    labels[25:30, 5:15, 1] = 2
    return labels


def write(job: Job) -> Image:
    assert job.dicom is not None
    job.output.parent.mkdir(exist_ok=True)
    member = SimpleNamespace(weights_hash="abc123", run=SimpleNamespace(dataset=SimpleNamespace(codes={})))
    ensemble = SimpleNamespace(classes=("background", "liver", "spleen"), predictors=[member])
    image = read_volume(job.dicom.series)
    write_objects(job, ensemble, label_map(), image)  # type: ignore[arg-type]
    return image


def test_all_that_is_asked_for_is_written_counts_as_done_and_goes(job: Job) -> None:
    assert job.dicom is not None
    assert not objects_are_there(job)
    write(job)
    assert np.array_equal(read_segmentation(object_path(job.output, "seg"), job.dicom.series).array, label_map())
    assert np.array_equal(read_structure_set(object_path(job.output, "rtstruct"), job.dicom.series).array, label_map())
    assert [path.name for path in object_path(job.output, "sc").iterdir()] == ["0002.dcm"]
    assert pydicom.dcmread(object_path(job.output, "pdf")).Modality == "DOC"
    assert objects_are_there(job)
    assert objects_difference(job) is None
    for wish, why in (
        ({"deidentify": True}, "with the patient's identity"),
        ({"segmentation": "labelmap"}, "as binary"),
    ):
        assert why in (objects_difference(replace(job, dicom=replace(job.dicom, **wish))) or "")
    remove_objects(job.output)
    assert list(job.output.parent.iterdir()) == []


def test_files_of_others_stay(job: Job, tmp_path: Path) -> None:
    assert job.dicom is not None
    job.output.parent.mkdir()
    other = object_path(job.output, "seg")
    other.write_bytes(job.image.read_bytes())
    remove_objects(job.output)
    assert other.is_file()


def test_no_object_says_whose_it_is_where_that_is_asked_for(job: Job) -> None:
    assert job.dicom is not None
    write(replace(job, dicom=replace(job.dicom, deidentify=True)))
    files = [path for path in job.output.parent.rglob("*") if path.is_file()]
    assert len(files) == len(ENDINGS)
    for path in files:
        content = path.read_bytes()
        for word in (b"Secret", b"19700101", b"20260101"):
            assert word not in content, (path.name, word)
        assert pydicom.dcmread(path).PatientIdentityRemoved == "YES"
