"""A traced network as an ONNX graph, in memory."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from unpaired.errors import InputError
from unpaired.inference.backends.packages import require_packages
from unpaired.networks.one_modality import IMAGES, LOGITS

if TYPE_CHECKING:
    from onnx import ModelProto


def onnx_graph(program: ExportedProgram) -> "ModelProto":
    """The program in ONNX: "images" in, "logits" out. What torch notes about source files on this machine is left out.

    Raises InputError without onnx and onnxscript, and for a network that ONNX has no operations for.
    """
    require_packages("ONNX", "onnx", "onnxscript")
    try:
        with _quiet():
            written = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=[IMAGES], output_names=[LOGITS], optimize=True
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0][:200]
        raise InputError(f"the network can't be written as ONNX ({reason}); leave its sizes fixed") from error
    assert written is not None
    model = written.model_proto
    for part in (model.graph, *model.functions):
        for node in part.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in (*part.value_info, *getattr(part, "input", []), *getattr(part, "output", [])):
            if not isinstance(value, str):
                value.doc_string = ""
                del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    model.graph.doc_string = model.doc_string = ""
    return model


@contextmanager
def _quiet() -> Generator[None]:
    """torch tells of operations of packages that aren't installed, and warns of its own parts' age."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
