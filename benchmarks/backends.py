"""How much faster is a window in ONNX Runtime and OpenVINO than in torch, and what does it cost before the first one?

The residual U-Net with random weights, one window at a time, as `unpaired predict --backend` computes it; torch as it
is, and by the measured engine; seconds of the processor, in turns. Logits are compared first: a backend that says
something else than torch is not measured. bfloat16 is left out where the processor has none. Then what comes before the
first window: the first time, and when graph and compiled network are kept in the cache folder.

    python benchmarks/backends.py [--dims 3] [--width 8] [--size 96] [--repeats 5] [--json numbers.json]
    python benchmarks/backends.py --small
"""

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from side_by_side import medians, print_versions
from unpaired.inference.backends.engines import Backend, Engine, open_engine, require_backend
from unpaired.inference.backends.onnx_graph import onnx_graph
from unpaired.inference.backends.segmenter import BackendSegmenter, disagreement
from unpaired.inference.devices import has_bfloat16
from unpaired.inference.engine.engine import WindowEngine
from unpaired.inference.engine.plans import Precision
from unpaired.inference.pages import keep_pages
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.one_modality import one_modality, trace
from unpaired.networks.unet import UNetConfig

BACKENDS: tuple[tuple[Backend, Precision], ...] = (
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("openvino", "bf16"),
)


def main() -> None:
    """The median seconds of a window, each backend's as a share of torch's, and the seconds before the first one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, default=3, choices=(2, 3))
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    given = parser.parse_args()
    width, size, repeats = (4, 64, 1) if given.small else (given.width, given.size, given.repeats)
    keep_pages()
    torch.manual_seed(0)
    network = UNetConfig(width=width).build(["ct"], 1, given.classes, given.dims).eval()
    method = SupervisedConfig().build(network, given.classes)
    images = torch.randn(1, 1, *[size] * given.dims)
    engine = WindowEngine(method, torch.device("cpu"))

    def in_torch() -> np.ndarray:
        with torch.inference_mode():
            return network({"ct": images})["ct"].logits.numpy()

    def measured() -> np.ndarray:
        with torch.inference_mode():
            return engine.predict(images, "ct").numpy()

    print_versions("onnxruntime", "openvino")
    start = time.process_time()
    model = onnx_graph(trace(one_modality(network, "ct"), images.shape[2:], 1)).SerializeToString()
    graph_seconds = time.process_time() - start
    print(f"{given.dims}D, width {width}, window {size}; the graph took {graph_seconds:.1f} s")
    runs = {"torch": in_torch, "torch, measured": measured}
    for (name, precision), other in engines(model).items():
        run = partial(other, images.numpy())
        if difference := disagreement(in_torch(), run(), precision):
            raise SystemExit(f"{name}, {precision}: {difference}")
        runs[f"{name}, {precision}"] = run
    seconds = medians(runs, repeats)
    for name, median in seconds.items():
        print(f"{name:22} {median:8.3f} s  {median / seconds['torch']:.2f} of torch")
    starts = {name: first_window(method, name, images) for name in ("onnxruntime", "openvino")}
    for name, (first, second) in starts.items():
        print(f"{name:22} before and with the first window {first:.1f} s, the next time {second:.1f} s")
    if given.json:
        numbers = {"window_s": seconds, "graph_s": graph_seconds, "first_window_s": starts}
        given.json.write_text(json.dumps(numbers, indent=2))


def engines(model: bytes) -> dict[tuple[Backend, Precision], Engine]:
    """Each backend, opened. Raises InputError where one is not installed."""
    wanted = [kind for kind in BACKENDS if kind[1] == "float32" or has_bfloat16("cpu")]
    for name, precision in wanted:
        require_backend(name, precision)
    return {(name, precision): open_engine(name, model, precision) for name, precision in wanted}


def first_window(method: torch.nn.Module, backend: str, images: torch.Tensor) -> tuple[float, float]:
    """Seconds until a first window is done, comparison with torch included: without a cache, and then with it."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNPAIRED_CACHE"] = folder
        for _ in range(2):
            began = time.process_time()
            segmenter = BackendSegmenter(method, backend, images.shape[2:], print)  # pyright: ignore[reportArgumentType]
            with torch.inference_mode():
                segmenter.predict(images, "ct")
            seconds.append(time.process_time() - began)
    return seconds[0], seconds[1]


if __name__ == "__main__":
    main()
