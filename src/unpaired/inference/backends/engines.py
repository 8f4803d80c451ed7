"""Programs that compute an ONNX graph: ONNX Runtime and OpenVINO, on the processor and in float32."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from unpaired.choices import require_choice
from unpaired.inference.backends.packages import require_packages
from unpaired.networks.one_modality import IMAGES

Backend = Literal["torch", "onnxruntime", "openvino"]
Engine = Callable[[np.ndarray], np.ndarray]
"""Images (1, channel, *spatial) float32 to logits (1, class, *spatial)."""
PACKAGES = {
    "torch": (),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
ERRORS_ONLY = 3
"""ONNX Runtime's level of what it prints."""


def require_backend(name: Backend) -> None:
    """Raise InputError if a package that the backend needs is missing."""
    require_choice(name, Backend, "backend")
    require_packages(f"backend {name}", *PACKAGES[name])


def open_engine(name: Backend, model: bytes | str) -> Engine:
    """What computes a graph, with as many threads as torch uses: ONNX in memory, or the file of one."""
    return {"onnxruntime": onnxruntime_engine, "openvino": openvino_engine}[name](model)


def onnxruntime_engine(model: bytes | str) -> Engine:
    """What computes a network's logits through ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {IMAGES: images})[0])


def openvino_engine(model: bytes | str) -> Engine:
    """Through OpenVINO, which also reads files of its own (.xml).

    Read by its core: its converter, which would do the same, reports its use to the vendor.
    """
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it, with other labels
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    return lambda images: np.array(compiled({0: images})[0])
