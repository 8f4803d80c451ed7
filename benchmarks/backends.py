"""How much faster is a window in ONNX Runtime and OpenVINO than in torch, and what does making the graph cost?

The residual U-Net with random weights, one window at a time, as `unpaired predict --backend` computes it; seconds of
the processor, in turns. Logits are compared first: a backend that says something else is not measured.

    python benchmarks/backends.py [--dims 3] [--width 8] [--size 96] [--repeats 5]
    python benchmarks/backends.py --small
"""

import argparse
import time
from datetime import UTC, datetime
from functools import partial

import numpy as np
import torch

from side_by_side import medians
from unpaired.inference.backends.engines import Backend, Engine, open_engine, require_backend
from unpaired.inference.backends.onnx_graph import onnx_graph
from unpaired.inference.backends.segmenter import disagreement
from unpaired.inference.pages import keep_pages
from unpaired.networks.one_modality import one_modality, trace
from unpaired.networks.unet import UNetConfig

BACKENDS: tuple[Backend, ...] = ("onnxruntime", "openvino")


def main() -> None:
    """The median seconds of a window, each backend's as a share of torch's, and the seconds of the graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, default=3, choices=(2, 3))
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a smoke run")
    given = parser.parse_args()
    width, size, repeats = (4, 64, 1) if given.small else (given.width, given.size, given.repeats)
    keep_pages()
    torch.manual_seed(0)
    network = UNetConfig(width=width).build(["ct"], 1, given.classes, given.dims).eval()
    images = torch.randn(1, 1, *[size] * given.dims)

    def in_torch() -> np.ndarray:
        with torch.inference_mode():
            return network({"ct": images})["ct"].logits.numpy()

    start = time.process_time()
    model = onnx_graph(trace(one_modality(network, "ct"), images.shape[2:], 1)).SerializeToString()
    print(f"{datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{given.dims}D, width {width}, window {size}; the graph took {time.process_time() - start:.1f} s")
    runs = {"torch": in_torch, **{name: partial(engine, images.numpy()) for name, engine in engines(model).items()}}
    for name, run in runs.items():
        if difference := disagreement(in_torch(), run()):
            raise SystemExit(f"{name}: {difference}")
    seconds = medians(runs, repeats)
    for name, median in seconds.items():
        print(f"{name:12} {median:8.3f} s  {median / seconds['torch']:.2f} of torch")


def engines(model: bytes) -> dict[Backend, Engine]:
    """Each backend, opened. Raises InputError where one is not installed."""
    for name in BACKENDS:
        require_backend(name)
    return {name: open_engine(name, model) for name in BACKENDS}


if __name__ == "__main__":
    main()
