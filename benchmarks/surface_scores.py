"""HD, HD95 and ASSD of 3D label maps, 256x256x128: our `evaluate_case` against MONAI, surface-distance and medpy.

Ours also gives Dice, IoU, MASD, NSD and volumes in the same time; the peers are asked for the three distances only, and
MONAI gets its one-hot tensors for free. Times are medians of interleaved repeats, so that another program on the
machine slows all alike. Memory is the peak of the resident set above what it was before the call, in a process of its
own. MONAI and medpy share our definitions of HD and ASSD (medpy pools the two directions for HD95, so its HD95 is not
compared); surface-distance is compared with our area-weighted surface. Peers that aren't installed are left out:

    pip install --target peers --no-deps monai surface-distance medpy      # medpy is GPL-3: for this comparison only
    PYTHONPATH=peers python benchmarks/surface_scores.py [--small] [--repeats 5] [--medpy] [--cases organs noise ...]
"""

import argparse
import datetime
import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy import ndimage

from unpaired.scores.case_scores import evaluate_case
from unpaired.scores.scoring import Scoring

SPACING = (0.8, 0.8, 2.5)
NAMES = ("background", "one", "two", "three", "four")
Scores = list[tuple[float, float, float]]
"""HD, HD95 and ASSD of each class, in mm."""


def wobbly(shape: tuple[int, ...], center: list[float], radii: list[float], roughness: float, seed: int) -> np.ndarray:
    """An ellipsoid (center and radii as shares of the volume) whose wall waves in and out, as organs' do."""
    noise = ndimage.zoom(np.random.default_rng(seed).normal(size=(9, 9, 7)), np.divide(shape, (9, 9, 7)), order=1)
    axes = np.meshgrid(*(np.linspace(0, 1, size, dtype=np.float32) for size in shape), indexing="ij", sparse=True)
    distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, center, radii, strict=True))
    return np.sqrt(distance) + roughness * noise < 1


def organs(shape: tuple[int, ...], roughness: float, seed: int) -> np.ndarray:
    """A liver, two kidneys and a spleen by size and place, walls of the given roughness."""
    label_map = np.zeros(shape, np.uint8)
    places = (
        ([0.35, 0.4, 0.6], [0.2, 0.18, 0.26]),
        ([0.36, 0.66, 0.4], [0.06, 0.07, 0.16]),
        ([0.66, 0.66, 0.4], [0.06, 0.07, 0.16]),
        ([0.76, 0.45, 0.6], [0.09, 0.1, 0.14]),
    )
    for number, (center, radii) in enumerate(places, start=1):
        label_map[wobbly(shape, center, radii, 0.1, number) & (label_map == 0)] = number
    moved = np.zeros_like(label_map)
    for number, (center, radii) in enumerate(places, start=1):
        wall = wobbly(shape, center, radii, 0.1, number)
        if roughness:  # the same organ, its wall a few voxels off here and there
            offset = ndimage.zoom(
                np.random.default_rng(seed + number).normal(size=(17, 17, 13)), np.divide(shape, (17, 17, 13)), order=1
            )
            eroded, grown = ndimage.binary_erosion(wall, iterations=2), ndimage.binary_dilation(wall, iterations=2)
            wall = np.where(offset > roughness, eroded, np.where(offset < -roughness, grown, wall))
        moved[wall & (moved == 0)] = number
    return moved


def label_maps(case: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, reference) of one kind: see `CASES`."""
    generator = np.random.default_rng(0)
    reference = organs(shape, 0, 0)
    if case == "organs":
        return organs(shape, 0.7, 1), reference
    if case == "noise":
        dirty = organs(shape, 0.7, 1)
        speckles = generator.random(shape) < 0.01
        dirty[speckles] = generator.integers(1, 5, int(speckles.sum()))
        return dirty, reference
    if case == "large":  # four bodies side by side in depth: surfaces of 100,000 voxels and more
        prediction, reference = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        for number in range(1, 5):
            center = [0.5, 0.5, number * 0.24 - 0.1]
            for array, radii in ((prediction, [0.47, 0.46, 0.11]), (reference, [0.48, 0.45, 0.105])):
                array[wobbly(shape, center, radii, 0.04, number) & (array == 0)] = number
        return prediction, reference
    # Far apart: each organ is predicted where its mirror image is.
    return np.ascontiguousarray(reference[::-1, ::-1]), reference


CASES = {
    "organs": "four organs, walls off by up to two voxels",
    "noise": "the same, and 1 % of all voxels are random labels",
    "large": "four structures that fill the volume, surfaces of 100,000 voxels",
    "far": "four organs predicted on the other side of the body",
}


def ours(prediction: np.ndarray, reference: np.ndarray, surface: str = "voxel", threads: int = 1) -> Scores:
    """All our scores, of which the three are returned."""
    scoring = Scoring(surface=surface)
    if threads == 1:
        scores = evaluate_case(prediction, reference, SPACING, NAMES, scoring=scoring)
    else:
        with ThreadPoolExecutor(threads) as pool:
            scores = evaluate_case(prediction, reference, SPACING, NAMES, scoring=scoring, pool=pool)
    return [(score.hd or 0.0, score.hd95 or 0.0, score.assd or 0.0) for score in scores]


def prepare_monai(prediction: np.ndarray, reference: np.ndarray) -> Callable[[], Scores]:
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_distance import compute_average_surface_distance

    one_hots = [
        torch.from_numpy(np.stack([array == number for number in range(len(NAMES))])[None])
        for array in (prediction, reference)
    ]

    def run() -> Scores:
        hd = compute_hausdorff_distance(*one_hots, spacing=SPACING)
        hd95 = compute_hausdorff_distance(*one_hots, percentile=95, spacing=SPACING)
        assd = compute_average_surface_distance(*one_hots, symmetric=True, spacing=SPACING)
        return [tuple(float(score[0, number]) for score in (hd, hd95, assd)) for number in range(len(NAMES) - 1)]  # type: ignore[misc]

    return run


def prepare_surface_distance(prediction: np.ndarray, reference: np.ndarray) -> Callable[[], Scores]:
    if not hasattr(ndimage, "filters"):  # its release on PyPI calls them by names that SciPy has dropped
        ndimage.filters = types.SimpleNamespace(correlate=ndimage.correlate)  # type: ignore[attr-defined]
        ndimage.morphology = types.SimpleNamespace(distance_transform_edt=ndimage.distance_transform_edt)  # type: ignore[attr-defined]
    import surface_distance

    def run() -> Scores:
        found: Scores = []
        for number in range(1, len(NAMES)):
            distances = surface_distance.compute_surface_distances(reference == number, prediction == number, SPACING)
            pairs = [
                (distances[f"distances_{way}"], distances[f"surfel_areas_{side}"])
                for way, side in (("gt_to_pred", "gt"), ("pred_to_gt", "pred"))
            ]
            mean = sum(d @ a for d, a in pairs) / sum(a.sum() for _, a in pairs)
            hd, hd95 = (surface_distance.compute_robust_hausdorff(distances, percent) for percent in (100, 95))
            found.append((float(hd), float(hd95), float(mean)))
        return found

    return run


def prepare_medpy(prediction: np.ndarray, reference: np.ndarray) -> Callable[[], Scores]:
    from medpy.metric import binary

    def run() -> Scores:
        found: Scores = []
        for number in range(1, len(NAMES)):
            masks = (prediction == number, reference == number)
            found.append(
                (
                    float(binary.hd(*masks, voxelspacing=SPACING)),
                    float(binary.hd95(*masks, voxelspacing=SPACING)),
                    float(binary.assd(*masks, voxelspacing=SPACING)),
                )
            )
        return found

    return run


TOOLS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], Callable[[], Scores]]]] = {
    "ours": ("unpaired", lambda prediction, reference: lambda: ours(prediction, reference)),
    "ours, 2 threads": ("unpaired", lambda prediction, reference: lambda: ours(prediction, reference, threads=2)),
    "ours, area": ("unpaired", lambda prediction, reference: lambda: ours(prediction, reference, "area")),
    "MONAI": ("monai", prepare_monai),
    "surface-distance": ("surface_distance", prepare_surface_distance),
    "medpy": ("medpy", prepare_medpy),
}


def resident(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in MB, from Linux's /proc."""
    return int(re.findall(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def measure_memory(tool: str, folder: Path) -> None:
    """In a process of its own: print the peak in MB above what was there before the call."""
    prepare = TOOLS[tool][1]
    maps = [np.load(folder / f"{name}.npy") for name in ("prediction", "reference")]
    prepare(*(one[:, :, 50:70] if one.shape[2] > 70 else one for one in maps))()  # imports and first-time caches
    run = prepare(*maps)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    run()
    print(json.dumps(resident("VmHWM") - before))


def memory_of(tool: str, folder: Path) -> float | None:
    """The peak in MB on the label maps in `folder`, None where the system doesn't say."""
    command = [sys.executable, __file__, "--memory-of", tool, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def difference(scores: Scores, others: Scores, which: tuple[int, ...]) -> float:
    """The largest difference, relative to the larger value or 1 mm: MONAI rounds to 32 bits at the end."""
    pairs = [(a[index], b[index]) for a, b in zip(scores, others, strict=True) for index in which]
    return max(abs(a - b) / max(abs(a), abs(b), 1.0) for a, b in pairs)


def compare(case: str, tools: list[str], shape: tuple[int, ...], repeats: int) -> None:
    """Time the tools in turns on one case and print a line for each."""
    maps = label_maps(case, shape)
    with tempfile.TemporaryDirectory() as name:
        for array, which in zip(maps, ("prediction", "reference"), strict=True):
            np.save(Path(name) / f"{which}.npy", array)
        memory = {tool: memory_of(tool, Path(name)) for tool in tools if tool != "medpy"}
    runs = {tool: TOOLS[tool][1](*maps) for tool in tools}
    results = {tool: runs[tool]() for tool in tools if tool != "medpy"}  # also warms up
    times: dict[str, list[float]] = {tool: [] for tool in tools}
    for repeat in range(repeats):
        for tool in tools:
            if tool == "medpy" and repeat:
                continue  # a minute each
            began = time.perf_counter()
            results[tool] = runs[tool]()
            times[tool].append(time.perf_counter() - began)
    base, least = float(np.median(times["ours"])), memory["ours"]
    print(f"\n{case}: {CASES[case]}")
    for tool in tools:
        seconds, peak = float(np.median(times[tool])), memory.get(tool)
        line = f"  {tool:17}{seconds:8.3f} s = {seconds / base:6.1f} x"
        if peak is not None and least is not None:
            line += f"   {peak:6.1f} MB = {peak / max(least, 0.1):5.1f} x"
        if not tool.startswith("ours"):
            mine = results["ours, area"] if tool == "surface-distance" else results["ours"]
            which = (0, 2) if tool == "medpy" else (0, 1, 2)
            line += f"   largest relative difference {difference(mine, results[tool], which):.1e}"
        print(line, flush=True)


def main() -> None:
    """Parse the command line and compare on each kind of label maps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="64 x 64 x 32, for a smoke run: its ratios mean little")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--medpy", action="store_true", help="run medpy too, once: it takes minutes")
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shape = (64, 64, 32) if arguments.small else (256, 256, 128)
    if arguments.memory_of:
        measure_memory(arguments.memory_of[0], Path(arguments.memory_of[1]))
        return
    tools = [tool for tool, (module, _) in TOOLS.items() if importlib.util.find_spec(module)]
    tools = [tool for tool in tools if tool in ("ours", "ours, area") or tool in arguments.tools]
    if not arguments.medpy:
        tools = [tool for tool in tools if tool != "medpy"]
    packages = ("unpaired", "numpy", "scipy", "monai", "surface-distance", "medpy")
    found = [(name, next(iter(importlib.metadata.distributions(name=name)), None)) for name in packages]
    versions = ", ".join(f"{name} {package.version}" for name, package in found if package)
    print(f"{datetime.date.today()}  {platform.platform()}  {os.cpu_count()} cores")
    print(f"Python {platform.python_version()}, {versions}; {shape}, {SPACING} mm, {len(NAMES) - 1} classes")
    for case in arguments.cases:
        compare(case, tools, shape, arguments.repeats)


if __name__ == "__main__":
    main()
