"""Preparing one CT (512 x 512 x 150, 0.75 x 0.75 x 2 mm, NIfTI.gz) to 1 mm, body crop, z-score: us and others.

Goal: ten times MONAI's Spacing and three times nnU-Net's fastest resampling, within 0.6 GB, at equal values.
Each tool runs in its own process, so that peak memory is its own. Tools that aren't installed are reported as missing.

    python benchmarks/prepare_ct.py [--small] [--repeats 3] [--threads 2]
"""

import argparse
import datetime
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOOLS = ("unpaired", "monai", "nnunet-torch", "nnunet-default", "simpleitk", "scipy")
NEEDS = {"monai": "monai", "nnunet-torch": "nnunetv2", "nnunet-default": "nnunetv2", "simpleitk": "SimpleITK"}
TARGET_MM = 1.0


def write_ct(path: Path, small: bool) -> None:
    """A body of soft tissue with lungs, bones and noise in air, in the file's (x, y, z) order."""
    from unpaired.data.images import write_image

    shape = (96, 96, 40) if small else (512, 512, 150)
    x, y, z = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    radius = (x[:, None] / 0.62) ** 2 + (y[None, :] / 0.45) ** 2
    generator = np.random.default_rng(0)
    volume = np.empty(shape, np.int16, order="F")
    for index, height in enumerate(z):
        plane = np.full(shape[:2], -1000, np.float32)
        plane[radius < 1] = 40
        lungs = ((np.abs(x[:, None]) - 0.3) / 0.2) ** 2 + (y[None, :] / 0.3) ** 2 < 1 - height**2
        plane[lungs] = -800
        plane[(x[:, None] / 0.07) ** 2 + ((y[None, :] - 0.3) / 0.07) ** 2 < 1] = 500
        volume[..., index] = plane + generator.normal(0, 15, plane.shape)
    affine = np.diag([-0.75, -0.75, 2.0, 1.0])
    write_image(path, volume, affine)


def run_unpaired(path: Path, box: list[list[int]] | None) -> tuple[np.ndarray, list[list[int]]]:
    """The product's own road: read, find the body, crop, resample, z-score."""
    from unpaired.data.dataset import Modality
    from unpaired.data.images import read_image
    from unpaired.data.preprocess import Preprocessing, apply

    preprocessing = Preprocessing(spacing_mm=(TARGET_MM,) * 3, roi="body", normalization="zscore")
    volume, geometry = apply(read_image(path), preprocessing, Modality())
    return volume, [list(ends) for ends in geometry.crop]


def read_cropped(path: Path, box: list[list[int]]) -> tuple[np.ndarray, tuple[float, ...]]:
    """For the peers that resample what they are given: nibabel, float32, our crop, (depth, height, width)."""
    import nibabel as nib

    image = nib.load(path)
    volume = np.asarray(image.dataobj, dtype=np.float32).T
    return volume[tuple(slice(*ends) for ends in box)], tuple(float(size) for size in image.header.get_zooms()[::-1])


def grid_of(volume: np.ndarray, spacing: tuple[float, ...]) -> list[int]:
    """The number of target voxels per axis."""
    return [max(1, round(size * step / TARGET_MM)) for size, step in zip(volume.shape, spacing, strict=True)]


def zscored(volume: np.ndarray) -> np.ndarray:
    """(v - mean) / deviation, the statistics in float64: in float32 they alone would differ by 0.003 HU."""
    return (volume - np.float32(volume.mean(dtype=np.float64))) / np.float32(volume.std(dtype=np.float64))


def run_scipy(path: Path, box: list[list[int]]) -> np.ndarray:
    """scipy.ndimage.zoom, order 1, voxel-centre to voxel-centre."""
    from scipy import ndimage

    volume, spacing = read_cropped(path, box)
    zoom = [count / size for count, size in zip(grid_of(volume, spacing), volume.shape, strict=True)]
    return zscored(ndimage.zoom(volume, zoom, order=1, mode="nearest", grid_mode=True))


def run_simpleitk(path: Path, box: list[list[int]]) -> np.ndarray:
    """sitk.Resample, linear, on the grid whose voxels fill the crop."""
    import SimpleITK as sitk  # noqa: N813

    volume, spacing = read_cropped(path, box)
    image = sitk.GetImageFromArray(volume)
    grid = grid_of(volume, spacing)
    image.SetSpacing(spacing[::-1])
    new = [size * step / count for size, step, count in zip(volume.shape, spacing, grid, strict=True)]
    origin = [step / 2 - old / 2 for step, old in zip(new, spacing, strict=True)]
    resampled = sitk.Resample(
        image, grid[::-1], sitk.Transform(), sitk.sitkLinear, origin[::-1], new[::-1], image.GetDirection(), 0.0
    )
    return zscored(sitk.GetArrayFromImage(resampled))


def run_monai(path: Path, box: list[list[int]]) -> np.ndarray:
    """MONAI's own road: LoadImage, Spacing (bilinear), CropForeground above air, NormalizeIntensity."""
    from monai.transforms import Compose, CropForeground, EnsureChannelFirst, LoadImage, NormalizeIntensity, Spacing

    road = Compose(
        [
            LoadImage(image_only=True),
            EnsureChannelFirst(),
            Spacing((TARGET_MM,) * 3, mode="bilinear"),
            CropForeground(select_fn=lambda values: values > -300),
            NormalizeIntensity(),
        ]
    )
    return np.asarray(road(str(path)))[0].T


def run_nnunet(path: Path, box: list[list[int]], fast: bool) -> np.ndarray:
    """nnU-Net's resampling functions on our crop; fast: its torch one, else its default (order 3, separate z)."""
    volume, spacing = read_cropped(path, box)
    grid = grid_of(volume, spacing)
    if fast:
        from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

        resampled = resample_torch_fornnunet(volume[None], grid, spacing, (TARGET_MM,) * 3, is_seg=False, num_threads=1)
    else:
        from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

        resampled = resample_data_or_seg_to_shape(volume[None], grid, spacing, (TARGET_MM,) * 3, order=3, order_z=0)
    return zscored(np.asarray(resampled)[0])


def measure(tool: str, path: Path, box: list[list[int]] | None, threads: int, out: Path) -> dict[str, object]:
    """One tool, once, in this process: seconds without imports, peak memory, and its array in `out`."""
    import torch

    torch.set_num_threads(threads)
    roads = {
        "monai": run_monai,
        "scipy": run_scipy,
        "simpleitk": run_simpleitk,
        "nnunet-torch": lambda path, box: run_nnunet(path, box, fast=True),
        "nnunet-default": lambda path, box: run_nnunet(path, box, fast=False),
    }
    warm_up(tool)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    if tool == "unpaired":
        volume, box = run_unpaired(path, None)
    else:
        volume = roads[tool](path, box)  # type: ignore[operator]
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.save(out, volume)
    return {"seconds": seconds, "peak_mb": peak / 1024, "extra_mb": (peak - before) / 1024, "box": box}


def warm_up(tool: str) -> None:
    """Imports outside the clock: everybody pays those once, not per case."""
    modules = ["nibabel", "scipy.ndimage", "torch", "isal.igzip", "unpaired.data.preprocess"]
    modules += {"monai": ["monai.transforms"], "simpleitk": ["SimpleITK"]}.get(tool, [])
    if tool.startswith("nnunet"):
        modules += [f"nnunetv2.preprocessing.resampling.{name}" for name in ("resample_torch", "default_resampling")]
    for name in modules:
        importlib.import_module(name)


def in_own_process(tool: str, path: Path, box: object, threads: int, out: Path) -> dict[str, object]:
    """`measure` in a fresh interpreter; {"error": ...} where that fails."""
    command = [
        sys.executable,
        __file__,
        "--one",
        tool,
        "--file",
        str(path),
        "--threads",
        str(threads),
        "--out",
        str(out),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}
    done = subprocess.run(
        [*command, "--box", json.dumps(box)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def versions() -> str:
    """Of the packages that take part, as far as they are installed."""
    found = []
    for name in ("unpaired", "torch", "numpy", "scipy", "nibabel", "SimpleITK", "monai", "nnunetv2", "isal"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Run every installed tool `repeats` times, interleaved, and print medians, ratios and differences."""
    path = folder / "ct.nii.gz"
    write_ct(path, arguments.small)
    tools = [tool for tool in TOOLS if importlib.util.find_spec(NEEDS.get(tool, "numpy"))]
    for tool in TOOLS:
        if tool not in tools:
            print(f"{tool}: missing ({NEEDS[tool]} is not installed)")
    results: dict[str, list[dict]] = {tool: [] for tool in tools}
    box: object = None
    for _ in range(arguments.repeats):
        for tool in tools:
            result = in_own_process(tool, path, box, arguments.threads, folder / f"{tool}.npy")
            box = result.get("box") or box
            results[tool].append(result)
    ours = np.load(folder / "unpaired.npy")
    print(f"prepared shape {ours.shape}, crop {box}")
    base = float(np.median([result["seconds"] for result in results["unpaired"]]))
    hounsfield = reference_deviation(path, box)
    for tool, runs in results.items():
        if "error" in runs[-1]:
            print(f"{tool}: failed: {runs[-1]['error']}")
            continue
        seconds = float(np.median([run["seconds"] for run in runs]))
        theirs = np.load(folder / f"{tool}.npy")
        difference = (
            "another grid" if theirs.shape != ours.shape else f"{np.abs(theirs - ours).max() * hounsfield:.2g} HU"
        )
        print(
            f"{tool:15} {seconds:7.2f} s  {seconds / base:6.1f} x ours  peak {runs[-1]['peak_mb']:6.0f} MB "
            f"(+{runs[-1]['extra_mb']:.0f} over its imports)  largest difference: {difference}"
        )


def reference_deviation(path: Path, box: object) -> float:
    """HU per unit of z-score, so that differences can be told in HU."""
    from unpaired.data.dataset import Modality
    from unpaired.data.images import read_image
    from unpaired.data.preprocess import Preprocessing, apply

    plain = Preprocessing(spacing_mm=(TARGET_MM,) * 3, roi="body", normalization="none")
    return float(apply(read_image(path), plain, Modality())[0].std())


def main() -> None:
    """Parse the command line; `--one` is how the script calls itself."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="96 x 96 x 40, for a smoke run: its ratios mean nothing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--box", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.file, arguments.box, arguments.threads, arguments.out)))
        return
    print(f"{datetime.date.today()}  {platform.platform()}  {platform.processor() or platform.machine()}")
    print(f"Python {platform.python_version()}, {versions()}; {arguments.threads} threads, {arguments.repeats} repeats")
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


if __name__ == "__main__":
    main()
