"""When terms of an objective that would harm an untrained network come in: from where on, and how quickly."""

import math
from dataclasses import dataclass

from unpaired.configs import Config
from unpaired.errors import InputError


@dataclass(frozen=True)
class Ramp(Config):
    """0 before `begin`, then exp(-5 (1 - t)^2) while t goes from 0 to 1 during `length`, then 1 (the sigmoid ramp-up of
    Laine and Aila, 2017, as CMC's code and most semi-supervised methods have it).

    Both are shares of training.
    """

    begin: float = 0.0
    """CMC's code: 350 of 500 epochs, 0.7; 0 in a run that begins from a trained one."""
    length: float = 0.4
    """0: the whole weight from `begin` on."""

    def check(self) -> None:
        """Raise InputError for a share out of range."""
        for name, value in (("begin", self.begin), ("length", self.length)):
            if not 0 <= value <= 1:
                raise InputError(f"ramp.{name}: expected a share of training between 0 and 1, got {value}")

    def factor(self, progress: float) -> float:
        """The factor in [0, 1] of the terms when the share `progress` of training is done."""
        if progress < self.begin:
            return 0.0
        done = progress - self.begin
        return math.exp(-5 * (1 - done / self.length) ** 2) if done < self.length else 1.0
