"""The ramp's three parts, by hand."""

import math

import pytest

from unpaired.methods.ramp import Ramp


@pytest.mark.parametrize(
    ("ramp", "progress", "factor"),
    [
        (Ramp(0.7, 0.2), 0.0, 0.0),
        (Ramp(0.7, 0.2), 0.69, 0.0),
        (Ramp(0.7, 0.2), 0.7, math.exp(-5)),
        (Ramp(0.7, 0.2), 0.8, math.exp(-5 / 4)),
        (Ramp(0.7, 0.2), 0.91, 1.0),
        (Ramp(0.0, 0.5), 0.0, math.exp(-5)),
        (Ramp(0.5, 0.0), 0.49, 0.0),
        (Ramp(0.5, 0.0), 0.5, 1.0),
    ],
)
def test_factor(ramp: Ramp, progress: float, factor: float) -> None:
    assert ramp.factor(progress) == pytest.approx(factor, rel=1e-9)
