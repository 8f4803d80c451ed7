"""When terms of an objective that would harm an untrained network come in: from where on, and how quickly."""

import math
from dataclasses import dataclass

from unpaired.configs import Config, Share


@dataclass(frozen=True)
class Ramp(Config):
    """0 before `begin`, then exp(-5 (1 - t)^2) while t goes from 0 to 1 during `length`, then 1 (the sigmoid ramp-up of
    Laine and Aila, 2017, as CMC's code and most semi-supervised methods have it).

    Both are shares of training.
    """

    begin: Share = 0.0
    """CMC's code: 350 of 500 epochs, 0.7; 0 in a run that begins from a trained one."""
    length: Share = 0.4
    """0: the whole weight from `begin` on."""

    def factor(self, progress: float) -> float:
        """The factor in [0, 1] of the terms when the share `progress` of training is done."""
        if progress < self.begin:
            return 0.0
        done = progress - self.begin
        return math.exp(-5 * (1 - done / self.length) ** 2) if done < self.length else 1.0
