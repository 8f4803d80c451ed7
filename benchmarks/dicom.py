"""Reading a CT of one file a slice: here, by SimpleITK, pydicom with highdicom, and dcm2niix with nibabel.

All give the same voxels, which is checked. dcm2niix (pip install dcm2niix) writes a NIfTI file first, which is part of
its road; it is left out where it isn't installed. Each way runs in a process of its own, in turn: its processor time
without imports, and the peak of its memory with them. Warm page cache.

    python benchmarks/dicom.py [--small] [--repeats 3]
"""

import argparse
import datetime
import importlib.metadata
import multiprocessing
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from zlib import crc32

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


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
    from unpaired.dicom.tree import list_dicom
    from unpaired.dicom.volume import read_volume

    (series,) = list_dicom(folder).series
    return read_volume(series).array


def by_simpleitk(folder: Path) -> np.ndarray:
    """GDCM's sorting of names, then its voxels."""
    import SimpleITK as sitk  # noqa: N813 (its own documentation's name)

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute()).T


def by_highdicom(folder: Path) -> np.ndarray:
    """pydicom's files, highdicom's volume of them (16 bits are refused for an intercept)."""
    from highdicom import get_volume_from_series
    from pydicom import dcmread

    volume = get_volume_from_series([dcmread(path) for path in sorted(folder.iterdir())], dtype=np.int32)
    return volume.array.T[..., :: 1 if volume.affine[2, 0] > 0 else -1]


def by_dcm2niix(folder: Path) -> np.ndarray:
    """An uncompressed NIfTI file, read with nibabel, rows turned back."""
    import nibabel as nib

    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["dcm2niix", "-z", "n", "-f", "x", "-o", out, folder], check=True, capture_output=True)
        nifti = nib.load(Path(out) / "x.nii")
        assert isinstance(nifti, nib.Nifti1Image)
        return np.asanyarray(nifti.dataobj)[:, ::-1]


def index_alone(folder: Path) -> np.ndarray:
    """The headers of all files, without a voxel."""
    from unpaired.dicom.tree import list_dicom

    list_dicom(folder)
    return np.empty(0)


WAYS = {
    "unpaired": by_unpaired,
    "SimpleITK": by_simpleitk,
    "pydicom + highdicom": by_highdicom,
    "dcm2niix + nibabel": by_dcm2niix,
    "the index alone": index_alone,
}


def processor_seconds() -> float:
    """What this process and those that it waited for have used so far."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def checksum(voxels: np.ndarray) -> int:
    """Of the values of a volume, slice after slice, whatever their order in memory."""
    value = 0
    for number in range(voxels.shape[-1] if voxels.ndim == 3 else 0):
        value = crc32(np.ascontiguousarray(voxels[..., number], np.int16), value)
    return value


def measured(way: str, folder: Path, warm: Path) -> tuple[float, float, int]:
    """(processor seconds, peak MB, checksum of the voxels); a small series before it imports what it needs.

    The peak is that of Linux's /proc: `ru_maxrss` of a started process begins with its parent's.
    """
    WAYS[way](warm)
    began = processor_seconds()
    voxels = WAYS[way](folder)
    seconds = processor_seconds() - began
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    peak = max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    return seconds, peak / 1024, checksum(voxels)


def main() -> None:
    """Parse the command line, write a series, measure each way, compare voxels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="64 x 64 x 20, for a smoke run: its ratios mean little")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    shape = (64, 64, 20) if arguments.small else (512, 512, 600)
    names = ("unpaired", "pydicom", "highdicom", "SimpleITK", "numpy")
    print(f"{datetime.date.today()}  {platform.platform()}  {platform.processor() or platform.machine()}")
    print(f"Python {platform.python_version()}, {', '.join(f'{n} {importlib.metadata.version(n)}' for n in names)}")
    ways = [way for way in WAYS if "dcm2niix" not in way or shutil.which("dcm2niix")]
    results: dict[str, list[tuple[float, float, int]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        folder, warm = Path(name) / "series", Path(name) / "warm"
        folder.mkdir()
        warm.mkdir()
        volume = np.random.default_rng(0).integers(-1000, 2000, shape, np.int16)
        write_series(folder, volume)
        write_series(warm, volume[:8, :8, :3])
        expected = checksum(volume - 24)
        del volume
        for _ in range(arguments.repeats):
            for way in ways:
                with multiprocessing.get_context("spawn").Pool(1) as alone:
                    results[way].append(alone.apply(measured, (way, folder, warm)))
    assert all(result[2] in (expected, 0) for each in results.values() for result in each), "other voxels"
    seconds = {way: statistics.median(result[0] for result in each) for way, each in results.items()}
    print(f"{' x '.join(map(str, shape))}, equal voxels; medians of {arguments.repeats}; load {os.getloadavg()[0]:.1f}")
    for way, took in seconds.items():
        peak = max(result[1] for result in results[way])
        print(f"{way:20} {took:7.2f} s  {took / seconds['SimpleITK']:6.2f} of SimpleITK's  {peak:6.0f} MB")


if __name__ == "__main__":
    main()
