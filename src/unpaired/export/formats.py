"""One traced network to one file of each format, and what computes that file: it is asked before it is handed out."""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Literal
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import torch
from torch.export import ExportedProgram

from unpaired.choices import require_choice
from unpaired.inference.backends.engines import Engine, open_engine
from unpaired.inference.backends.onnx_graph import onnx_graph
from unpaired.inference.backends.packages import require_packages

Format = Literal["onnx", "torch", "openvino", "monai-bundle"]
Write = Callable[[ExportedProgram, Path], Engine]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2", "openvino": ".xml", "monai-bundle": ".pt2"}
PACKAGES: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "torch": (),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "monai-bundle": (),
}
LARGEST_IN_ONE_FILE = 1_500_000_000
"""Bytes of weights; protobuf ends at 2 GB, weights beyond this are a file beside the graph."""
EXAMPLE = "/data/sample_inputs/"


def require_format(format: Format) -> None:
    """Raise InputError if a package that writes the format is missing."""
    require_choice(format, Format, "format")
    require_packages(f"export to {format}", *PACKAGES[format])


def write_graph(format: Format, program: ExportedProgram, path: Path) -> Engine:
    """Write a traced network (`networks.one_modality.trace`) to `path`; what computes that file."""
    writers: dict[Format, Write] = {"onnx": write_onnx, "openvino": write_openvino}
    return writers.get(format, write_torch)(program, path)


def write_onnx(program: ExportedProgram, path: Path) -> Engine:
    """ONNX, weights within, those of very large networks in `<name>.onnx.data` beside it."""
    import onnx

    model = onnx_graph(program)
    large = model.ByteSize() > LARGEST_IN_ONE_FILE
    onnx.save(model, path, save_as_external_data=large, location=f"{path.name}.data" if large else None)
    return open_engine("onnxruntime", str(path))


def write_openvino(program: ExportedProgram, path: Path) -> Engine:
    """OpenVINO's own two files, `<name>.xml` and `<name>.bin`, in float32."""
    import openvino

    model = openvino.Core().read_model(onnx_graph(program).SerializeToString())
    openvino.save_model(model, path, compress_to_fp16=False)
    return open_engine("openvino", str(path))


def write_torch(program: ExportedProgram, path: Path) -> Engine:
    """torch's program: a zip of JSON and plain numbers. The pickle that torch adds, of an example, is emptied."""
    whole = BytesIO()
    torch.export.save(program, whole)
    with ZipFile(whole) as source, ZipFile(path, "w", ZIP_STORED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, b"" if EXAMPLE in entry.filename else source.read(entry))
    return partial(_by_torch, torch.export.load(path).module())


def _by_torch(module: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(images)).numpy()
