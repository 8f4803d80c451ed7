"""How the values of one raw scan lie, in a dozen numbers: what tells a CT from an MR, whatever the file says it is."""

from dataclasses import dataclass

import numpy as np

from unpaired.data.image import Image

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
AIR_HU = -500.0
"""Only air, lungs and the filling outside of a CT's field of view lie below."""
NEGATIVE = -20.0
"""Below this no MR, PET or ultrasound has values, but for some rounding; in CT fat and air have."""
VOXELS = 1 << 18
"""How many voxels, evenly spread, are looked at: shares are then right to a thousandth, in milliseconds."""


@dataclass(frozen=True)
class ScanValues:
    """What a scan's values look like before anything is done to them. Shares are of the voxels, 0 to 1."""

    lowest: float
    highest: float
    percentiles: tuple[float, float, float, float, float]
    """The values at `PERCENTILES`."""
    at_lowest: float
    """The share that has the lowest value."""
    air: float
    """The share at or below `AIR_HU`."""
    negative: float
    """The share below `NEGATIVE`."""
    spacing_mm: tuple[float, float, float]
    """Ascending, so that the files' axis order doesn't matter."""
    extent_mm: tuple[float, float, float]
    """The scan's size along the same axes."""

    @property
    def looks_like_ct(self) -> bool:
        """Whether there is air of -1000 HU or so and tissue near 0 HU: no other modality has both."""
        return self.air >= 0.02 and -200 < self.percentiles[3] < 5000 and self.percentiles[1] > -5000

    def window_share(self, window: tuple[float, float]) -> float:
        """Which part of a window (low, high) the scan's values fill, from the first to the last percentile."""
        low, high = window
        return max(0.0, min(self.percentiles[-1], high) - max(self.percentiles[0], low)) / (high - low)


def scan_values(image: Image) -> ScanValues:
    """The numbers of an image as it was read. Looks at every voxel only for the lowest and the highest value."""
    array = image.array
    step = max(1, round((array.size / VOXELS) ** (1 / 3)))
    sample = array[tuple(slice(min(step, size) // 2, None, min(step, size)) for size in array.shape)].astype(np.float64)
    lowest = float(array.min())
    order = np.argsort(image.spacing_mm, kind="stable")
    spacing = np.array(image.spacing_mm)[order]
    extent = spacing * np.array(array.shape)[order]
    p0, p5, p50, p95, p99 = np.percentile(sample, PERCENTILES).tolist()
    return ScanValues(
        lowest,
        float(array.max()),
        (p0, p5, p50, p95, p99),
        float((sample == lowest).mean()),
        float((sample <= AIR_HU).mean()),
        float((sample < NEGATIVE).mean()),
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (float(extent[0]), float(extent[1]), float(extent[2])),
    )
