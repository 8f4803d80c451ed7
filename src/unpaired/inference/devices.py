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
