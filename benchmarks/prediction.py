"""Sliding windows over one prepared volume, to its label map: the measured engine, the plain way, MONAI and nnU-Net.

Same network (the residual U-Net, random weights), patch and overlap; each tool in a process of its own, so that peak
memory is its own, in turns, processor seconds of one thread. What the engine measures, once per machine and network, is
not counted. Labels differ only where weights of windows do, and in bfloat16; nnU-Net adds up in float16.

    python benchmarks/prediction.py [--width 8] [--classes 5] [--shape 96 160 160] [--repeats 3]
    python benchmarks/prediction.py --classes 104 --tools unpaired whole
    python benchmarks/prediction.py --small

nnU-Net (nnunetv2) asks for a torch of its own: install it with `pip install --no-deps --target FOLDER`, with what it
imports, and name the folder in PYTHONPATH.
"""

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOOLS = ("unpaired", "plain", "bf16", "without kept pages", "whole", "monai", "nnunet")
PATCH = (64, 96, 96)
PEERS = {"monai": ("monai.inferers.utils",), "nnunet": ("nnunetv2.inference.predict_from_raw_data",)}


def main() -> None:
    """Each tool's median seconds, peak memory, and the ratio to ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 160, 160))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=["unpaired", "plain", "bf16", "monai"])
    parser.add_argument("--small", action="store_true", help="a smoke run")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.small:
        options.width, options.shape, options.repeats = 2, (64, 96, 128), 1
    if options.run:
        print(json.dumps(_measured(options)))
        return
    results: dict[str, list[dict]] = {tool: [] for tool in options.tools}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for tool in options.tools:
                results[tool].append(_in_its_own_process(tool, Path(folder) / f"{tool}.npy"))
        labels = {tool: np.load(Path(folder) / f"{tool}.npy") for tool in options.tools}
    base = statistics.median(result["seconds"] for result in results[options.tools[0]])
    print(f"{options.shape} voxels, patch {PATCH}, overlap 0.5, width {options.width}, {options.classes} classes")
    for tool, runs in results.items():
        seconds = statistics.median(result["seconds"] for result in runs)
        same = float((labels[tool] == labels[options.tools[0]]).mean())
        peak = max(result["peak_mb"] for result in runs)
        print(f"{tool:20} {seconds:8.2f} s  {seconds / base:5.2f}x  peak {peak:6d} MB  equal labels {100 * same:.3f} %")


def _in_its_own_process(tool: str, labels: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LABELS": str(labels)}
    kept = tool in ("unpaired", "plain", "bf16")
    environment |= {} if kept else {"UNPAIRED_KEEP_PAGES": "0"}
    command = [sys.executable, __file__, *sys.argv[1:], "--run", tool]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measured(options: argparse.Namespace) -> dict:
    import torch

    from unpaired.inference.engine.engine import WindowEngine
    from unpaired.inference.pages import keep_pages
    from unpaired.methods.supervised import SupervisedConfig
    from unpaired.networks.unet import UNetConfig

    keep_pages()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = UNetConfig(width=options.width).build(("ct",), 1, options.classes, 3).eval()
    volume = np.random.default_rng(0).normal(size=options.shape).astype(np.float32)
    method = SupervisedConfig().build(network, options.classes)
    tool = options.run
    engine = WindowEngine(
        method,
        torch.device("cpu"),
        "auto" if tool in ("unpaired", "bf16") else "plain",
        "bf16" if tool == "bf16" else "float32",
        report=lambda line: print(line, file=sys.stderr),
    )
    with torch.inference_mode():
        engine.at_once(torch.from_numpy(np.stack([volume[None, :64, :96, :96]] * 2)), "ct")
    for module in PEERS.get(tool, ()):
        importlib.import_module(module)  # seconds, which are not the windows'
    began = time.process_time()
    labels = _label_map(tool, engine, volume, options.classes)
    seconds = time.process_time() - began
    np.save(os.environ["LABELS"], labels)
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def _label_map(tool: str, engine, volume: np.ndarray, classes: int) -> np.ndarray:
    import torch

    from unpaired.data.case import Geometry
    from unpaired.data.restore import restore_boxes
    from unpaired.inference.windows import leanest_order, probability_boxes, whole

    def segment(images: torch.Tensor) -> torch.Tensor:
        return engine.predict(images, "ct")

    if tool == "monai":
        from monai.inferers.utils import sliding_window_inference

        with torch.inference_mode():
            images = torch.from_numpy(volume)[None, None]
            logits = sliding_window_inference(images, PATCH, 2, segment, overlap=0.5, mode="gaussian")
        return logits[0].argmax(0).numpy().astype(np.uint8)  # type: ignore[index]
    if tool == "nnunet":
        return _by_nnunet(segment, volume, classes)
    at_once = engine.at_once(torch.empty(0), "ct")
    if tool == "whole":
        boxes = probability_boxes(segment, volume, patch_size=PATCH, windows_at_once=at_once)
        return whole(boxes, volume.shape).argmax(0).numpy().astype(np.uint8)
    unit = tuple(tuple(float(row == column) for column in range(4)) for row in range(4))
    crop = tuple((0, size) for size in volume.shape)
    geometry = Geometry(volume.shape, unit, (0, 1, 2), (False, False, False), crop, volume.shape)  # type: ignore[arg-type]
    order = leanest_order(volume.shape, PATCH)
    boxes = probability_boxes(segment, volume, patch_size=PATCH, order=order, windows_at_once=at_once)
    return restore_boxes(boxes, geometry.transposed(order))


def _by_nnunet(segment, volume: np.ndarray, classes: int) -> np.ndarray:
    """Through nnU-Net's own predictor, without mirroring, as its command has it on a processor."""
    from types import SimpleNamespace

    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class Plain(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return segment(images)

    options = {"use_mirroring": False, "perform_everything_on_device": False, "allow_tqdm": False}
    predictor = nnUNetPredictor(0.5, use_gaussian=True, device=torch.device("cpu"), **options)
    predictor.network = Plain()
    predictor.configuration_manager = SimpleNamespace(patch_size=PATCH)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=classes)
    predictor.allowed_mirroring_axes = None
    with torch.inference_mode():
        logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(volume)[None])
    return logits.argmax(0).numpy().astype(np.uint8)


if __name__ == "__main__":
    main()
