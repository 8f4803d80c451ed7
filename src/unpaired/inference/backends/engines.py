"""Programs that compute an ONNX graph on the processor: ONNX Runtime in float32, OpenVINO in bfloat16 too."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from unpaired.choices import require_choice
from unpaired.errors import InputError
from unpaired.inference.backends.kept import compiled_folder
from unpaired.inference.backends.packages import require_packages
from unpaired.inference.engine.plans import Precision
from unpaired.networks.one_modality import IMAGES

Backend = Literal["torch", "onnxruntime", "openvino"]
Engine = Callable[[np.ndarray], np.ndarray]
"""Images (1, channel, *spatial) float32 to logits (1, class, *spatial)."""
PACKAGES = {
    "torch": (),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
HINTS: dict[Precision, str] = {"float32": "f32", "bf16": "bf16"}
ERRORS_ONLY = 3
"""ONNX Runtime's level of what it prints."""


def require_backend(name: Backend, precision: Precision = "float32") -> None:
    """Raise InputError if a package that the backend needs is missing, or if it can't compute in this precision."""
    require_choice(name, Backend, "backend")
    if precision != "float32" and name == "onnxruntime":
        raise InputError(f"backend {name} computes in float32; precision {precision} is for torch and openvino")
    require_packages(f"backend {name}", *PACKAGES[name])


def open_engine(name: Backend, model: bytes | str, precision: Precision = "float32", keep: bool = False) -> Engine:
    """What computes a graph, with as many threads as torch uses: ONNX in memory, or the file of one.

    With `keep` what OpenVINO compiles of it is kept for the next time.
    """
    return onnxruntime_engine(model) if name == "onnxruntime" else openvino_engine(model, precision, keep)


def onnxruntime_engine(model: bytes | str) -> Engine:
    """What computes a network's logits through ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {IMAGES: images})[0])


def openvino_engine(model: bytes | str, precision: Precision = "float32", keep: bool = False) -> Engine:
    """Through OpenVINO, which also reads files of its own (.xml).

    Read by its core: its converter, which would do the same, reports its use to the vendor.
    """
    import openvino

    core = openvino.Core()
    settings: dict[str, str | int] = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],  # unasked it is bfloat16 where the processor has it
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    folder = compiled_folder() if keep else None
    settings |= {} if folder is None else {"CACHE_DIR": str(folder)}
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    return lambda images: np.array(compiled({0: images})[0])
