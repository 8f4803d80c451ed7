"""Reading a CT series of one file a slice: here against SimpleITK, and against dcm2niix with nibabel; and its index.

All give the same voxels, which is checked before anything is timed. dcm2niix (pip install dcm2niix) writes a NIfTI file
first, which is part of its road; it is left out where it isn't installed. Processor time, that of processes that were
started included; runs in turn, warm page cache.

    python benchmarks/dicom.py [--small] [--repeats 3]
"""

import argparse
import datetime
import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its own documentation's name)
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import read_volume


def write_series(folder: Path, volume: np.ndarray) -> None:
    """A CT (column, row, slice) of 0.7 x 0.7 x 1.5 mm, one file a slice."""
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for number in range(volume.shape[2]):
        file = Dataset()
        file.SOPClassUID, file.SOPInstanceUID, file.Modality = CTImageStorage, generate_uid(), "CT"
        file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = study, series, frame
        file.PatientID, file.SeriesNumber, file.InstanceNumber = "benchmark", 1, number + 1
        file.ImagePositionPatient, file.ImageOrientationPatient = [0, 0, 1.5 * number], [1, 0, 0, 0, 1, 0]
        file.PixelSpacing, file.SliceThickness = [0.7, 0.7], 1.5
        file.Columns, file.Rows, file.SamplesPerPixel = *volume.shape[:2], 1
        file.PhotometricInterpretation, file.PixelRepresentation = "MONOCHROME2", 1
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.RescaleSlope, file.RescaleIntercept = 1, -24
        file.PixelData = volume[..., number].T.tobytes()
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = file.SOPClassUID, file.SOPInstanceUID
        path = folder / f"{number:04}.dcm"
        FileDataset(str(path), file, file_meta=meta, preamble=b"\0" * 128).save_as(path, enforce_file_format=True)


def by_unpaired(folder: Path) -> np.ndarray:
    """Index and voxels, as a prediction has them."""
    (series,) = list_dicom(folder).series
    return read_volume(series).array


def by_simpleitk(folder: Path) -> np.ndarray:
    """GDCM's sorting of names, then its voxels."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute()).T


def by_dcm2niix(folder: Path) -> np.ndarray:
    """An uncompressed NIfTI file, read with nibabel, rows turned back."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["dcm2niix", "-z", "n", "-f", "x", "-o", out, folder], check=True, capture_output=True)
        nifti = nib.load(Path(out) / "x.nii")
        assert isinstance(nifti, nib.Nifti1Image)
        return np.asanyarray(nifti.dataobj)[:, ::-1]


def processor_seconds() -> float:
    """What this process and those that it waited for have used so far."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main() -> None:
    """Parse the command line, write a series, compare voxels, time each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="64 x 64 x 20, for a smoke run: its ratios mean little")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    shape = (64, 64, 20) if arguments.small else (512, 512, 100)
    names = ("unpaired", "pydicom", "SimpleITK", "numpy")
    print(f"{datetime.date.today()}  {platform.platform()}  {platform.processor() or platform.machine()}")
    print(f"Python {platform.python_version()}, {', '.join(f'{n} {importlib.metadata.version(n)}' for n in names)}")
    volume = np.random.default_rng(0).integers(-1000, 2000, shape).astype(np.int16)
    ways: dict[str, Callable[[Path], np.ndarray]] = {"unpaired": by_unpaired, "SimpleITK": by_simpleitk}
    if shutil.which("dcm2niix"):
        ways["dcm2niix"] = by_dcm2niix
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder, volume)
        for way, read in ways.items():
            assert np.array_equal(read(folder), volume - 24), f"{way} reads other voxels"
        seconds: dict[str, list[float]] = {way: [] for way in [*ways, "the index alone"]}
        for _ in range(arguments.repeats):
            for way, read in {**ways, "the index alone": list_dicom}.items():
                began = processor_seconds()
                read(folder)
                seconds[way].append(processor_seconds() - began)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    print(f"{' x '.join(map(str, shape))}, equal voxels; medians of {arguments.repeats}, and of SimpleITK's time")
    for way, median in medians.items():
        print(f"{way:16} {median * 1000:9.1f} ms  {median / medians['SimpleITK']:6.2f}")


if __name__ == "__main__":
    main()
