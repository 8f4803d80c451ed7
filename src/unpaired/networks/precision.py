"""What a network computes in its weights' own precision although autocast lowers the layers around it."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Autocast is off inside. On the meta device it is off anyway, and torch refuses to be told so."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
