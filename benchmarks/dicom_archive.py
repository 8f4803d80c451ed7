"""Listing an archive of 20,000 DICOM files: cold, again with an index file, and against pydicom's reading alone.

pydicom's loop does `dcmread(path, stop_before_pixels=True)` and decodes no element. Processor time of one process;
files of 32 x 32 pixels, warm page cache.

    python benchmarks/dicom_archive.py [--small]
"""

import argparse
import datetime
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydicom import dcmread

from dicom import processor_seconds, write_series
from unpaired.dicom.tree import list_dicom

SLICES = 200


def write_archive(folder: Path, count: int) -> None:
    """So many CT series of `SLICES` files each, copies under other UIDs, in folders of four.

    They were changed a minute ago, so that what they say can be kept.
    """
    with tempfile.TemporaryDirectory() as name:
        write_series(Path(name), np.zeros((32, 32, SLICES), np.int16))
        files = [(path.name, path.read_bytes(), dcmread(path)) for path in sorted(Path(name).iterdir())]
    for number in range(count):
        series = folder / f"study{number // 4}" / f"series{number}"
        series.mkdir(parents=True)
        for name, content, header in files:
            for uid, digits in (
                (header.SeriesInstanceUID, f"{number:04}"),
                (header.SOPInstanceUID, f"{number:04}"),
                (header.StudyInstanceUID, f"{number // 4:04}"),
            ):
                content = content.replace(uid.encode(), f"{uid[:-4]}{digits}".encode())
            path = series / name
            path.write_bytes(content)
            before = path.stat().st_mtime - 60
            os.utime(path, (before, before))


def by_pydicom(folder: Path) -> None:
    """Every header, thrown away."""
    for path in sorted(folder.rglob("*.dcm")):
        dcmread(path, stop_before_pixels=True)


def main() -> None:
    """Parse the command line, write the archive, time each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="400 files, for a smoke run: its ratios mean little")
    count = 2 if parser.parse_args().small else 100
    print(f"{datetime.date.today()}  {platform.platform()}  {platform.processor() or platform.machine()}")
    print(f"Python {platform.python_version()}, pydicom {version('pydicom')}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder, index = Path(name) / "archive", Path(name) / "index.sqlite"
        write_archive(folder, count)
        seconds, listed = {}, []
        ways = {
            "pydicom alone": lambda: by_pydicom(folder),
            "cold": lambda: listed.append(list_dicom(folder, index=index)),
            "resumed": lambda: listed.append(list_dicom(folder, index=index)),
        }
        for way, work in ways.items():
            began = processor_seconds()
            work()
            seconds[way] = processor_seconds() - began
        size = index.stat().st_size
    assert listed[0] == listed[1]
    assert sum(series.problem is None for series in listed[0].series) == count
    print(f"{count * SLICES} files in {count} series; the index file has {size / 1e6:.1f} MB; equal indexes")
    for way, took in seconds.items():
        print(f"{way:16} {took:8.2f} s  {took / seconds['pydicom alone']:6.3f}")


if __name__ == "__main__":
    main()
