"""DICOM series written for tests: classic files, one for each slice, and enhanced multi-frame ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.8.498.7"
STORAGE = {"CT": CTImageStorage, "MR": MRImageStorage}


def lps(spacing=(0.8, 0.7, 2.5), origin=(-30.0, 12.0, 5.0), turn: np.ndarray | None = None) -> np.ndarray:
    """Voxel (column, row, slice) -> LPS mm of a grid with these spacings, its axes turned by a rotation."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def oblique() -> np.ndarray:
    """A rotation about no axis of the patient's."""
    a, b = 0.4, -0.3
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_x @ about_z


def volume(shape=(9, 7, 5), dtype=np.int16, seed=0) -> np.ndarray:
    """Values of which no two neighbors are alike (column, row, slice)."""
    low = 0 if np.dtype(dtype).kind == "u" else -900
    return np.random.default_rng(seed).integers(low, 1000, shape).astype(dtype)


def patient(modality: str, series: str, **attributes: Any) -> Dataset:
    """What all files of a series say."""
    file = Dataset()
    file.PatientName, file.PatientID, file.PatientBirthDate, file.PatientSex = "Doe^Jane", "4711", "19700101", "F"
    file.StudyInstanceUID, file.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2.{series}"
    file.FrameOfReferenceUID, file.Modality = f"{ROOT}.3", modality
    file.StudyDate, file.StudyTime, file.AccessionNumber, file.StudyID = "20260101", "101500", "A1", "1"
    file.ReferringPhysicianName, file.PositionReferenceIndicator = "Who^Doctor", ""
    file.SeriesNumber, file.SeriesDescription = int(series.split(".")[0]), f"{modality} series {series}"
    file.Manufacturer, file.ImageType = "ACME", ["ORIGINAL", "PRIMARY", "AXIAL"]
    for name, value in attributes.items():
        setattr(file, name, value)
    return file


def write_series(
    folder: Path,
    values: np.ndarray,
    affine: np.ndarray,
    modality: str = "CT",
    series: str = "1",
    of_slice: Callable[[int], dict[str, Any]] = lambda number: {},
    shift: Callable[[int], np.ndarray] = lambda number: np.zeros(3),
    first: int = 0,
    **attributes: Any,
) -> list[Path]:
    """One file a slice (column, row, slice); `of_slice` gives further attributes, `shift` mm beside the grid."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(values.shape[2]):
        file = patient(modality, series, **attributes)
        file.SOPClassUID, file.SOPInstanceUID = STORAGE[modality], f"{ROOT}.4.{series}.{first + number + 1}"
        file.InstanceNumber = first + number + 1
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        file.ImagePositionPatient = texts(affine[:3, 3] + number * affine[:3, 2] + shift(number))
        file.ImageOrientationPatient = texts([*affine[:3, 0] / spacing[0], *affine[:3, 1] / spacing[1]])
        file.PixelSpacing, file.SliceThickness = texts([spacing[1], spacing[0]]), texts([spacing[2]])[0]
        pixels(file, values[..., number])
        for name, value in of_slice(number).items():
            setattr(file, name, value)
        paths.append(save(file, folder / f"{series}-{first + number + 1:03}.dcm"))
    return paths


def write_enhanced(
    path: Path,
    values: np.ndarray,
    affine: np.ndarray,
    series: str = "1",
    of_frame: Callable[[int], dict[str, Dataset]] = lambda number: {},
    at: Callable[[int], int] = lambda number: number,
    **attributes: Any,
) -> Path:
    """One file with all frames; `of_frame` gives further functional groups of a frame, `at` the slice it lies at."""
    file = patient("MR", series, **attributes)
    file.SOPClassUID, file.SOPInstanceUID, file.InstanceNumber = EnhancedMRImageStorage, f"{ROOT}.5.{series}", 1
    file.NumberOfFrames = values.shape[2]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = texts([spacing[1], spacing[0]]), texts([spacing[2]])[0]
    orientation.ImageOrientationPatient = texts([*affine[:3, 0] / spacing[0], *affine[:3, 1] / spacing[1]])
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    file.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number in range(values.shape[2]):
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = texts(affine[:3, 3] + at(number) * affine[:3, 2])
        group.PlanePositionSequence = [position]
        for name, item in of_frame(number).items():
            setattr(group, name, [item])
        groups.append(group)
    file.PerFrameFunctionalGroupsSequence = groups
    pixels(file, values)
    return save(file, path)


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def pixels(file: Dataset, values: np.ndarray) -> None:
    """The pixel module of (column, row) or (column, row, frame) values."""
    file.Columns, file.Rows = values.shape[:2]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = values.dtype.itemsize * 8
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(values.dtype.kind == "i")
    file.PixelData = values.T.tobytes()


def save(file: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = file.SOPClassUID, file.SOPInstanceUID
    whole = FileDataset(str(path), file, file_meta=meta, preamble=b"\0" * 128)
    whole.save_as(path, enforce_file_format=True)
    return path


def texts(numbers) -> list[str]:
    """Decimal strings of at most 16 characters."""
    return [f"{number:.10g}"[:16] for number in np.asarray(numbers, float) + 0.0]
