"""Reading a 2D slice and a 3D patch of a prepared case against reading them from the NIfTI file.

Both give the same float32 values of the same scan; the NIfTI is read with nibabel, as a training script would.

    python benchmarks/read_prepared.py [--small] [--repeats 20] [--patch 96]
"""

import argparse
import datetime
import importlib.metadata
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import read_image, write_image
from unpaired.data.prepare import prepare
from unpaired.data.preprocess import Preprocessing


def median_ms(function: Callable[[], np.ndarray], repeats: int) -> float:
    """Median wall time of a call, after one to warm the page cache."""
    function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1000


def main() -> None:
    """Parse the command line, write one scan, prepare it, time both ways of reading."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="66 x 46 x 60, for a smoke run: its ratios mean little")
    parser.add_argument("--repeats", type=int, default=20, help="of the fast reads; the file is read a fifth as often")
    parser.add_argument("--patch", type=int, default=96, help="edge length in voxels")
    arguments = parser.parse_args()
    shape = (66, 46, 60) if arguments.small else (330, 230, 300)
    edge = min(arguments.patch, *shape)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("unpaired", "numpy", "nibabel"))
    print(f"{datetime.date.today()}  {platform.platform()}  {platform.processor() or platform.machine()}")
    print(f"Python {platform.python_version()}, {versions}; scan {shape}, patch {edge}^3, warm page cache")
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scan.nii.gz"
        write_image(file, generator.normal(0, 100, shape).astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))
        entry = CaseEntry("scan", "patient", "ct", file)
        dataset = Dataset("benchmark", ("background", "organ"), {"ct": Modality("none")}, (entry,))
        case = prepare(dataset, Preprocessing(plane="axial"), Path(folder) / "prepared").cases["scan"]
        corner = [(size - edge) // 2 for size in case.shape]
        box = tuple(slice(start, start + edge) for start in corner)
        middle = case.shape[0] // 2

        def from_nifti() -> np.ndarray:
            return np.asarray(nib.load(file).dataobj, dtype=np.float32).T

        def from_our_reader() -> np.ndarray:
            return read_image(file).array.T.astype(np.float32)

        np.testing.assert_array_equal(case.volume()[box], from_nifti()[box])
        few = max(1, arguments.repeats // 5)
        for what, index in (("2D slice", middle), (f"{edge}^3 patch", box)):
            ours = median_ms(lambda index=index: np.array(case.volume()[index]), arguments.repeats)
            nibabel_ms = median_ms(lambda index=index: np.array(from_nifti()[index]), few)
            reader_ms = median_ms(lambda index=index: np.array(from_our_reader()[index]), few)
            print(
                f"{what:12} prepared {ours:8.3f} ms   "
                f"NIfTI with nibabel {nibabel_ms:8.1f} ms = {nibabel_ms / ours:6.0f} x   "
                f"with our reader {reader_ms:8.1f} ms = {reader_ms / ours:6.0f} x"
            )


if __name__ == "__main__":
    main()
