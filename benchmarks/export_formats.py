"""What does an exported network weigh, how long does writing take, and how fast is a window of it in each format?

The residual U-Net with random weights, traced once; each file is written, opened by what computes it, and compared with
torch before it is timed: ONNX by ONNX Runtime, OpenVINO's by OpenVINO, torch's program by torch. Seconds of the
processor, windows in turns. A MONAI bundle holds torch's program.

    python benchmarks/export_formats.py [--dims 3] [--width 8] [--size 96] [--repeats 5] [--json numbers.json]
    python benchmarks/export_formats.py --small
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from side_by_side import medians, print_versions
from unpaired.export.formats import SUFFIXES, Format, require_format, write_graph
from unpaired.inference.backends.segmenter import disagreement
from unpaired.inference.pages import keep_pages
from unpaired.networks.one_modality import one_modality, trace
from unpaired.networks.unet import UNetConfig

FORMATS: tuple[Format, ...] = ("onnx", "openvino", "torch")


def main() -> None:
    """A line per format: megabytes beside those of the weights, seconds of writing, and a window beside torch's."""
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
    images = torch.randn(1, 1, *[size] * given.dims)
    weights_mb = sum(tensor.nbytes for tensor in network.state_dict().values()) / 1e6

    def in_torch() -> np.ndarray:
        with torch.inference_mode():
            return network({"ct": images})["ct"].logits.numpy()

    print_versions("onnx", "onnxruntime", "openvino")
    print(f"{given.dims}D, width {width}, window {size}; weights {weights_mb:.1f} MB")
    program = trace(one_modality(network, "ct"), images.shape[2:], 1)
    runs = {"torch": in_torch}
    numbers: dict[str, dict[str, float]] = {"torch": {"mb": weights_mb, "written_s": 0.0}}
    with tempfile.TemporaryDirectory() as name:
        for format in FORMATS:
            require_format(format)
            folder = Path(name) / format
            folder.mkdir()
            began = time.process_time()
            engine = write_graph(format, program, folder / f"ct{SUFFIXES[format]}")
            taken = time.process_time() - began
            if difference := disagreement(in_torch(), engine(images.numpy())):
                raise SystemExit(f"{format}: {difference}")
            megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
            numbers[f"{format} file"] = {"mb": megabytes, "written_s": taken}
            runs[f"{format} file"] = partial(engine, images.numpy())
        seconds = medians(runs, repeats)
    for kind, row in numbers.items():
        row["window_s"], row["of_torch"] = seconds[kind], seconds[kind] / seconds["torch"]
        print(
            f"{kind:14} {row['mb']:8.1f} MB  written in {row['written_s']:5.1f} s  "
            f"window {row['window_s']:7.3f} s  {row['of_torch']:.2f} of torch"
        )
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=2))


if __name__ == "__main__":
    main()
