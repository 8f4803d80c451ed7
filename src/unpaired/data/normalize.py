"""The values of a volume brought to a common scale: clipped as the modality says, then normalized."""

import numpy as np

from unpaired.data.dataset import NORMALIZATIONS, Modality
from unpaired.errors import InputError, nearest

RESOLUTION = 1e-7
"""What float32 resolves, as a share of the largest value: less than that is no deviation, whatever the unit is."""
SMALLEST = 1e-37
"""A constant slice becomes zeros, not NaN."""


def normalize(volume: np.ndarray, modality: Modality, normalization: str | None = None) -> np.ndarray:
    """A copy of a volume (depth, height, width) as float32, clipped as the modality says, then normalized.

    zscore: mean 0, deviation 1 over the volume. zscore_slice: the same for each slice along depth. zscore_nonzero: over
    the voxels that aren't 0, which stay 0. minmax: 0 to 1. none: clipped only. A constant volume becomes zeros.
    """
    result = np.array(volume, dtype=np.float32, order="C")
    normalize_in_place(result, modality, normalization or modality.normalization)
    return result


def normalize_in_place(volume: np.ndarray, modality: Modality, normalization: str) -> None:
    """Do what `normalize` does without a copy; the volume (depth, height, width) is float32."""
    nonzero = volume != 0 if normalization == "zscore_nonzero" else None
    window = modality.clip
    if window is not None:
        np.clip(volume, *window, out=volume)
    if modality.clip_percentiles is not None:
        low, high = np.percentile(volume, modality.clip_percentiles)
        np.clip(volume, low, high, out=volume)
    least = max(RESOLUTION * max(float(volume.max()), -float(volume.min())), SMALLEST)
    if normalization == "zscore":
        _zscore(volume, least)
    elif normalization == "zscore_slice":
        for index in range(len(volume)):
            _zscore(volume[index : index + 1], least)
    elif nonzero is not None:
        values = volume[nonzero].astype(np.float64)
        mean, deviation = (values.mean(), values.std()) if len(values) else (0.0, 1.0)
        volume[...] = np.where(nonzero, (volume - mean) / max(deviation, least), 0)
    elif normalization == "minmax":
        low, high = float(volume.min()), float(volume.max())
        volume -= low
        volume /= max(high - low, least)
    elif normalization != "none":
        raise InputError(
            f"normalization {normalization!r} is not known; {nearest(normalization, list(NORMALIZATIONS))}"
        )


def _zscore(volume: np.ndarray, least: float) -> None:
    """Slice by slice in float64: exact, and no second copy of the volume. Divided by `least` at least."""
    mean = sum(float(plane.sum(dtype=np.float64)) for plane in volume) / volume.size
    volume -= np.float32(mean)
    square = sum(float(np.square(plane, dtype=np.float64).sum()) for plane in volume) / volume.size
    rest = sum(float(plane.sum(dtype=np.float64)) for plane in volume) / volume.size
    volume /= np.float32(max(np.sqrt(max(square - rest**2, 0.0)), least))
