"""Reading slices and a patch of a prepared case, against its NIfTI file and against blosc2 with nnU-Net's settings.

All give the same float32 values of the same scan, read as training reads them: ours by `cut` from a map that stays
open, blosc2 opened anew for every sample. Warm: processor time. Cold: wall time after the system was told to forget the
file (`posix_fadvise`, which needs no rights; whether it did is looked at), so that what is read comes from the disk, or
from what lies below it: a virtual machine's host may still have it in memory. Runs in turn. Goals: at least 3 times
blosc2's speed in every direction warm, not slower cold.
A memory map reads a slice across all rows from the whole file, a compressed file is smaller: there blosc2 may win cold.

    python benchmarks/read_prepared.py [--small] [--repeats 20] [--cold 5] [--patch 96] [--json numbers.json]

The NIfTI file is read by nibabel, as a training script would, and by our own reader: whole, whatever is wanted of it.
blosc2 and nnunetv2 (chunks and blocks are what its `comp_blosc2_params` says): see `prediction.py`; where they are
missing they are left out.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np

from side_by_side import medians, print_versions
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import read_image, write_image
from unpaired.data.prepare import prepare
from unpaired.data.prepared import PreparedCase
from unpaired.data.preprocess import Preprocessing
from unpaired.data.sampling import cut

Box = tuple[slice, ...]
Read = Callable[[Box], np.ndarray]


@dataclass(frozen=True)
class Way:
    """A way to read a box, the file that it reads cold, and how it does so with nothing open."""

    read: Read
    file: Path
    cold: Read


def ways(case: PreparedCase, folder: Path, patch: int) -> dict[str, Way]:
    """The ways by name, the prepared case first."""

    def cut_from(volume: np.ndarray, box: Box) -> np.ndarray:
        start, stop = (np.array(ends) for ends in zip(*((part.start, part.stop) for part in box), strict=True))
        return cut(volume, start, stop - start)[0]

    closed = folder / "volume.npy"  # what is mapped the system doesn't forget, and the prepared case stays so
    shutil.copyfile(case.volume_file, closed)
    prepared = Way(
        lambda box: cut_from(case.volume(), box), closed, lambda box: cut_from(np.load(closed, mmap_mode="r"), box)
    )
    if not (find_spec("blosc2") and find_spec("nnunetv2")):
        return {"prepared": prepared}
    file = folder / "scan.b2nd"
    read = blosc2_of(case, file, patch)
    return {"prepared": prepared, "blosc2": Way(read, file, read)}


def whole_file_ms(scan: Path, repeats: int) -> dict[str, float]:
    """Median processor time of reading the NIfTI file, which a slice and a patch of it take alike."""
    runs: dict[str, Callable[[], object]] = {
        "nibabel": lambda: values_of(scan),
        "our NIfTI reader": lambda: read_image(scan).array.astype(np.float32),
    }
    return {name: 1000 * seconds for name, seconds in medians(runs, repeats).items()}


def values_of(scan: Path) -> np.ndarray:
    """The scan as nibabel reads it, slices first."""
    return np.asarray(nib.load(scan).dataobj, dtype=np.float32).T  # type: ignore[attr-defined]


def blosc2_of(case: PreparedCase, file: Path, patch: int) -> Read:
    """What reads the case from a file that is written as nnU-Net's preprocessing writes it."""
    import blosc2
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params

    volume = np.array(case.volume())[None]
    blocks, chunks = comp_blosc2_params(volume.shape, (patch,) * 3, volume.itemsize)
    packing = {"codec": blosc2.Codec.ZSTD, "clevel": 8}
    blosc2.set_nthreads(1)
    blosc2.asarray(volume, urlpath=str(file), chunks=chunks, blocks=blocks, cparams=packing, mmap_mode="w+")

    def read(box: Box) -> np.ndarray:
        opened = blosc2.open(urlpath=str(file), mode="r", dparams={"nthreads": 1}, mmap_mode="r")
        return opened[(slice(0, 1), *box)][0]

    return read


def warm_ms(reads: Mapping[str, Way], box: Box, repeats: int) -> dict[str, float]:
    """Median processor time of each read."""
    taken = medians({name: partial(way.read, box) for name, way in reads.items()}, repeats)
    return {name: 1000 * seconds for name, seconds in taken.items()}


def cold_ms(reads: Mapping[str, Way], box: Box, repeats: int) -> dict[str, float]:
    """Median wall time of each read after its file was forgotten. Raises SystemExit where the system doesn't."""
    times: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(repeats):
        for name, way in reads.items():
            forget(way.file)
            began = time.perf_counter()
            way.cold(box)
            times[name].append(time.perf_counter() - began)
    return {name: 1000 * statistics.median(taken) for name, taken in times.items()}


def forget(file: Path) -> None:
    """Have the system drop what it holds of a file in memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for place in range(0, os.fstat(descriptor).st_size, 1 << 22):
            try:
                os.preadv(descriptor, [bytearray(1)], place, os.RWF_NOWAIT)
            except BlockingIOError:
                return  # reading it would have to wait: it is gone
    finally:
        os.close(descriptor)
    raise SystemExit(f"the system keeps {file} in memory: cold reads can't be measured here")


def boxes(shape: tuple[int, int, int], patch: int) -> dict[str, Box]:
    """A slice across each axis in the middle, and a patch there."""
    whole = tuple(slice(0, size) for size in shape)
    cuts = {
        f"slice {axis}": tuple(slice(shape[n] // 2, shape[n] // 2 + 1) if n == axis else whole[n] for n in range(3))
        for axis in range(3)
    }
    return cuts | {f"{patch}^3 patch": tuple(slice((size - patch) // 2, (size + patch) // 2) for size in shape)}


def scan_case(folder: Path, shape: tuple[int, int, int]) -> tuple[PreparedCase, Path]:
    """A scan, a body of noise in air, as a NIfTI file and prepared."""
    file = folder / "scan.nii.gz"
    values = np.random.default_rng(0).normal(40, 25, shape).astype(np.int16)
    rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    values[rows**2 + columns**2 > 0.8] = -1000
    write_image(file, values, np.diag([-1.0, -1.0, 1.0, 1.0]))
    entry = CaseEntry("scan", "patient", "ct", file)
    dataset = Dataset("benchmark", ("background", "organ"), {"ct": Modality("none")}, (entry,))
    return prepare(dataset, Preprocessing(plane="axial"), folder / "prepared").cases["scan"], file


def main() -> None:
    """Parse the command line, write one scan, prepare it, time all ways of reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="66 x 46 x 60, for a smoke run: its ratios mean little")
    parser.add_argument("--repeats", type=int, default=20, help="of the fast reads; NIfTI is read a fifth as often")
    parser.add_argument("--cold", type=int, default=5, help="repeats of cold reads")
    parser.add_argument("--patch", type=int, default=96, help="edge length in voxels")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    shape = (66, 46, 60) if given.small else (330, 230, 300)
    patch = min(given.patch, *shape)
    print_versions("numpy", "nibabel")
    numbers: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        case, scan = scan_case(Path(folder), shape)
        reads = ways(case, Path(folder), patch)
        expected = values_of(scan)
        for name, way in reads.items():
            print(f"{name}: {way.file.stat().st_size / 1e6:.1f} MB")
        whole = whole_file_ms(scan, max(1, given.repeats // 5))
        for what, box in boxes(case.shape, patch).items():
            for way in reads.values():
                np.testing.assert_array_equal(way.read(box), expected[box])
            warm = warm_ms(reads, box, given.repeats) | whole
            numbers[what] = {"warm_ms": warm, "cold_ms": cold_ms(reads, box, given.cold)}
            for state, taken in numbers[what].items():
                for name, ms in taken.items():
                    print(f"{what:12} {state[:4]} {name:18} {ms:9.2f} ms {ms / taken['prepared']:9.2f} x")
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
