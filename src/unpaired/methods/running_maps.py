"""Mean maps that remember: of a modality over the last steps' images instead of over one batch alone.

Which patients and slices are in a batch moves its mean map by as much as what is compared: of CAC's value between two
batches of few images 99 % was there between two batches of one modality as well. With M_t the mean of the batch,

    R_t = mu R_{t-1} + (1 - mu) M_t,   R_0 = M_0

is compared in its place. Its sampling noise is smaller by sqrt((1 - mu) / (1 + mu)). The gradient is that of M_t at the
value R_t, not 1 - mu of it: what is steadier shall not be weaker. Where several processes train (DDP), M_t is the mean
of their means: all of them remember the same, which is what the first one saves.
"""

from typing import Any

import torch
from torch import Tensor, nn


class RunningMaps(nn.Module):
    """R of each modality by its name; kept with the run, so that a stopped one goes on with it."""

    def __init__(self, momentum: float) -> None:
        """`momentum` is mu."""
        super().__init__()
        self.momentum = momentum
        self.maps: dict[str, Tensor] = {}

    def forward(self, name: str, mean: Tensor) -> Tensor:
        """R_t of a modality, with the gradient of `mean`; it is remembered in training alone."""
        now = over_processes(mean.detach()) if self.training else mean.detach()
        before = self.maps.get(name)
        if before is not None:
            now = self.momentum * before.to(now) + (1 - self.momentum) * now
        if self.training:
            self.maps[name] = now
        return now + mean - mean.detach()  # DDP averages the gradients

    def get_extra_state(self) -> dict[str, Tensor]:
        """What is remembered."""
        return {name: maps.cpu() for name, maps in self.maps.items()}

    def set_extra_state(self, state: Any) -> None:
        """Take up what `get_extra_state` gave."""
        self.maps = {name: torch.as_tensor(maps) for name, maps in state.items()}


def over_processes(mean: Tensor) -> Tensor:
    """The mean of a tensor over the processes of a training; of one process the tensor itself."""
    group = torch.distributed
    if not (group.is_available() and group.is_initialized()):
        return mean
    total = mean.clone()
    group.all_reduce(total)
    return total / group.get_world_size()
