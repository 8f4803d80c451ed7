"""The device that computes a prediction."""

import torch

from unpaired.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """The device by name; "auto" takes a CUDA GPU, else Apple's, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {name!r} can't be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
    return device


def has_bfloat16(device: str) -> bool:
    """Whether a processor ("cpu") or GPU ("cuda") computes in bfloat16 by more than emulation."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
