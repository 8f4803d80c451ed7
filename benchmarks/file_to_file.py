"""A whole prediction, from scan.nii.gz to label map: `unpaired predict` against nnU-Net's predictor and a MONAI loop.

Same network (the residual U-Net, random weights), patch, overlap of 0.5 and target spacing; each tool in a process of
its own with its own reading, resampling, windows, way back and writing: nnU-Net's `predict_from_files_sequential` with
its default resampling and without mirroring; MONAI's transforms, Gaussian windows and ResampleToMatch of the logits.
Seconds of the processor of the whole process, its imports included and shown beside it; the peak of
memory. What the engine measures and backends keep, once per machine and network, is done in a run that isn't counted.
Labels differ by resampling, which each tool does in its own way, and by ties of random weights.
Goals: 1.4 times nnU-Net's speed and 1.6 times MONAI's; `--backend openvino` 2.5 times, `--precision bf16` 2 times.

    python benchmarks/file_to_file.py [--dims 3] [--width 8] [--classes 5] [--shape 320 320 200] [--repeats 3]
        [--tools unpaired openvino bf16 openvino-bf16 monai nnunet] [--threads 1] [--json numbers.json]
    python benchmarks/file_to_file.py --small

Tools that aren't installed are left out with a word; for nnU-Net (nnunetv2) see `prediction.py`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

OURS = {
    "unpaired": (),
    "openvino": ("--backend", "openvino"),
    "onnxruntime": ("--backend", "onnxruntime"),
    "bf16": ("--precision", "bf16"),
    "openvino-bf16": ("--backend", "openvino", "--precision", "bf16"),
}
PACKAGES = {"openvino": "openvino", "openvino-bf16": "openvino", "onnxruntime": "onnxruntime"}
PACKAGES |= {"monai": "monai", "nnunet": "nnunetv2"}
TOOLS = (*OURS, "monai", "nnunet")
WINDOW = (-200.0, 300.0)
FILE_MM, TARGET_MM = (0.8, 0.8, 1.5), 1.0
CASE = "scan"


def main() -> None:
    """Write a scan and a run, let each tool predict in turn, print medians and ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, default=3, choices=(2, 3))
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(320, 320, 200), help="of the file, in voxels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--tools", nargs="+", choices=TOOLS, default=["unpaired", "openvino", "bf16", "monai", "nnunet"]
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.small:
        given.width, given.shape, given.repeats = 2, (80, 80, 40), 1
    if given.run:
        peer(given.run, given.folder, given.dims)
        return
    tools = [tool for tool in given.tools if tool not in PACKAGES or find_spec(PACKAGES[tool])]
    for tool in set(given.tools) - set(tools):
        print(f"{tool}: left out, {PACKAGES[tool]} is not installed")
    with tempfile.TemporaryDirectory() as name:
        numbers = compared(tools, given, Path(name))
    print(f"{given.dims}D, {given.shape} voxels, width {given.width}, {given.classes} classes, {given.threads} threads")
    for tool, row in numbers.items():
        print(
            f"{tool:14} {row['seconds']:8.1f} s  {row['ratio']:5.2f}x  of which start {row['start']:4.1f} s  "
            f"peak {row['peak_mb']:6.0f} MB  equal labels {row['equal_labels']:.2%}"
        )
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


def compared(tools: list[str], given: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """{tool: its median seconds, ratio to the first tool, seconds before it begins, peak, equal labels}."""
    from unpaired.data.images import read_image

    write_run(folder, given)
    options = ["--dims", str(given.dims), "--folder", str(folder)]
    commands = {tool: command(tool, folder, options) for tool in tools}
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "UNPAIRED_CACHE": str(folder / "cache")}
    environment |= {"nnUNet_def_n_proc": "1", **dict.fromkeys(("nnUNet_raw", "nnUNet_preprocessed"), str(folder))}
    environment["nnUNet_results"] = str(folder)
    rows: dict[str, list[tuple[float, float]]] = {tool: [] for tool in tools}
    for turn in range(given.repeats + 1):
        for tool in tools:
            if turn or tool in OURS:
                took = in_its_own_process(commands[tool], environment)
                rows[tool] += [took] if turn else []
    labels = {tool: read_image(folder / f"{tool}.nii.gz").array for tool in tools}
    starts = {tool: start_seconds(tool, environment) for tool in tools}
    base = statistics.median(seconds for seconds, _ in rows[tools[0]])
    return {
        tool: {
            "seconds": (seconds := statistics.median(second for second, _ in taken)),
            "ratio": seconds / base,
            "start": starts[tool],
            "peak_mb": max(peak for _, peak in taken),
            "equal_labels": float((labels[tool] == labels[tools[0]]).mean()),
        }
        for tool, taken in rows.items()
    }


def command(tool: str, folder: Path, options: list[str]) -> list[str]:
    """What predicts the scan by a tool, to TOOL.nii.gz."""
    if tool not in OURS:
        return [sys.executable, __file__, "--run", tool, *options]
    files = [str(folder / "run"), str(folder / f"{CASE}_0000.nii.gz"), str(folder / f"{tool}.nii.gz")]
    said = ["--modality", "ct", "--modality-anyway", "--device", "cpu", "--overwrite", "--no-worker"]
    return [sys.executable, "-m", "unpaired.cli", "predict", *files, *said, *OURS[tool]]


def in_its_own_process(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of the processor, and the peak of memory in MB. Raises SystemExit with what it said if it fails."""
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: {said[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def start_seconds(tool: str, environment: dict[str, str]) -> float:
    """Seconds of the processor that the tool's imports take."""
    imports = {"monai": "monai.transforms, monai.inferers", "nnunet": "nnunetv2.inference.predict_from_raw_data"}
    return in_its_own_process(
        [sys.executable, "-c", f"import {imports.get(tool, 'unpaired.inference.requested')}"], environment
    )[0]


def write_run(folder: Path, given: argparse.Namespace) -> None:
    """A scan that is smooth as tissue is, and a run with random weights."""
    import torch
    from scipy.ndimage import zoom

    from unpaired.data.dataset import CaseEntry, Dataset, Modality
    from unpaired.data.images import write_image
    from unpaired.data.preprocess import Preprocessing
    from unpaired.methods.supervised import SupervisedConfig
    from unpaired.networks.unet import UNetConfig
    from unpaired.recipe import Recipe, build_method
    from unpaired.runs.run import Run

    coarse = np.random.default_rng(0).normal(50, 150, [size // 8 + 1 for size in given.shape])
    scan = zoom(coarse, [size / coarse.shape[axis] for axis, size in enumerate(given.shape)], order=1)
    file = folder / f"{CASE}_0000.nii.gz"
    lps = np.diag([-FILE_MM[0], -FILE_MM[1], FILE_MM[2], 1.0])  # as each tool has it in memory: none turns it round
    write_image(file, scan.round().astype(np.int16), lps)
    names = ("background", *(f"organ{number}" for number in range(1, given.classes)))
    case = CaseEntry("train", "train", "ct", file, file, split="train")  # a run has one; it is not looked at
    dataset = Dataset("benchmark", names, {"ct": Modality(clip=WINDOW)}, (case,))
    patch = (32, 64, 64) if given.small else (64, 96, 96)
    recipe = Recipe(
        UNetConfig(width=given.width),
        SupervisedConfig(),
        patch if given.dims == 3 else (64, 64) if given.small else (192, 192),
        steps=1,
        preprocessing=Preprocessing(plane="axial", spacing_mm=target_mm(given.dims)),
        modalities=("ct",),
    )
    torch.manual_seed(0)
    run = Run.create(folder / "run", recipe, dataset)
    run.save_weights(build_method(recipe, run.modalities, given.classes).network, "best")


def target_mm(dims: int) -> tuple[float | None, float, float]:
    """Depth, height, width; slices stay where they are in 2D."""
    return (TARGET_MM if dims == 3 else None, TARGET_MM, TARGET_MM)


def peer(tool: str, folder: Path, dims: int) -> None:
    """Predict by another tool, with the run's network."""
    import torch

    from unpaired.runs.run import Run

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run = Run.open(folder / "run")
    method = run.load_method("best")

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = method.network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network({"ct": images})["ct"].logits

    with torch.inference_mode():
        {"monai": by_monai, "nnunet": by_nnunet}[tool](Plain().eval(), run.recipe, folder, dims)


def by_monai(network: Any, recipe: Any, folder: Path, dims: int) -> None:
    """MONAI's transforms and windows; logits go back to the file's grid, then the likeliest class is taken."""
    import nibabel as nib
    import torch
    from monai.inferers.inferer import SliceInferer
    from monai.inferers.utils import sliding_window_inference
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.array import NormalizeIntensity, ScaleIntensityRange
    from monai.transforms.io.array import LoadImage
    from monai.transforms.spatial.array import Orientation, ResampleToMatch, Spacing

    file = folder / f"{CASE}_0000.nii.gz"
    loaded = LoadImage(image_only=True, ensure_channel_first=True)(file)
    pixdim = (TARGET_MM, TARGET_MM, TARGET_MM if dims == 3 else FILE_MM[2])
    low, high = WINDOW
    ready = Compose(
        [
            Orientation("LPS", labels=None),
            Spacing(pixdim, mode="bilinear"),
            ScaleIntensityRange(low, high, low, high, clip=True),
            NormalizeIntensity(),
        ]
    )(loaded)
    images = ready.permute(0, 3, 2, 1)[None]  # depth, height, width, as the network has them
    patch = tuple(recipe.patch_size)
    if dims == 3:
        logits = sliding_window_inference(images.as_tensor(), patch, 2, network, overlap=0.5, mode="gaussian")[0]
    else:
        inferer = SliceInferer(roi_size=patch, spatial_dim=0, sw_batch_size=16, overlap=0.5, mode="gaussian")
        logits = inferer(images.as_tensor(), network)[0]
    ready.set_array(logits.permute(0, 3, 2, 1))
    back = ResampleToMatch(mode="bilinear")(ready, loaded)
    labels = torch.argmax(back.as_tensor(), 0).numpy().astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, np.asarray(loaded.affine)), folder / "monai.nii.gz")  # type: ignore[attr-defined]


def by_nnunet(network: Any, recipe: Any, folder: Path, dims: int) -> None:
    """nnU-Net's own predictor, resampling as its planner sets it, one process."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    names = run_classes(folder)
    plans = PlansManager(nnunet_plans(recipe, dims))
    labels = {name if number else "background": number for number, name in enumerate(names)}
    about = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    options = {"use_mirroring": False, "perform_everything_on_device": False, "allow_tqdm": False}
    predictor = nnUNetPredictor(0.5, use_gaussian=True, device=torch.device("cpu"), **options)
    weights = [network.state_dict()]
    predictor.manual_initialization(network, plans, plans.get_configuration("planned"), weights, about, "none", None)
    files = [[str(folder / f"{CASE}_0000.nii.gz")]]
    predictor.predict_from_files_sequential(files, [str(folder / "nnunet")])


def run_classes(folder: Path) -> tuple[str, ...]:
    """The class names of the run, background first."""
    from unpaired.runs.run import Run

    return Run.open(folder / "run").dataset.classes


def nnunet_plans(recipe: Any, dims: int) -> dict[str, Any]:
    """What nnU-Net's planner would have written for this scan: order 3 for data, order 1 for logits."""
    depth = TARGET_MM if dims == 3 else FILE_MM[2]
    spacing = [depth, TARGET_MM, TARGET_MM]
    resampling: dict[str, Any] = {}
    for what, is_seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1)):
        resampling[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        kwargs = {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}
        resampling[f"resampling_fn_{what}_kwargs"] = kwargs
    configuration = {
        "data_identifier": "planned",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(recipe.patch_size),
        "median_image_size_in_voxels": [1, 1, 1],
        "spacing": spacing if dims == 3 else spacing[1:],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "architecture": {},
        "batch_dice": False,
        **resampling,
    }
    middle = {"mean": 50.0, "std": 120.0, "median": 50.0, "min": WINDOW[0], "max": WINDOW[1]}
    return {
        "dataset_name": "benchmark",
        "plans_name": "plans",
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": [1, 1, 1],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"planned": configuration},
        "experiment_planner_used": "none",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**middle, "percentile_00_5": WINDOW[0], "percentile_99_5": WINDOW[1]}
        },
    }


if __name__ == "__main__":
    main()
