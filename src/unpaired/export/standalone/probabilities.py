# pyright: basic
"""What is done to class probabilities before the likeliest class is taken, with numpy alone.

Written by `unpaired export`.
"""

import numpy as np


def shifted(probabilities, background_log_odds):
    """Class probabilities with so much added to the log odds of background, class 0. ValueError for what is no such
    number: infinite odds leave nothing but NaN."""
    if not background_log_odds:
        return probabilities
    if not -10 <= background_log_odds <= 10:
        raise ValueError(f"expected background_log_odds from -10 to 10 in model.json, got {background_log_odds}")
    result = probabilities.copy()
    result[0] *= np.float32(np.exp(background_log_odds))
    return result / result.sum(0)


def smoothed(slabs, affine, geometry, smoothing_mm):
    """The slabs, or with smoothing one of all planes: Gaussian along every axis, to 3 deviations."""
    if not smoothing_mm:
        return slabs
    values = np.concatenate(list(slabs), axis=1)
    for axis, (spacing, count) in enumerate(zip(prepared_spacing(affine, geometry), values.shape[1:], strict=True)):
        deviation = smoothing_mm / spacing
        reach = int(3 * deviation + 0.5)
        offsets = np.arange(-reach, reach + 1)
        weights = np.exp(-0.5 * (offsets / deviation) ** 2) if reach else np.ones(1)
        # What reaches farther than the axis is long meets its outermost plane, however many voxels that is.
        offsets = offsets.clip(1 - count, count - 1)
        weights = np.bincount(offsets - offsets[0], weights)
        offsets = np.arange(offsets[0], offsets[-1] + 1)
        places = np.arange(count)  # beyond the volume its outermost planes go on
        values = sum(
            np.take(values, (places + offset).clip(0, count - 1), axis + 1) * np.float32(weight)
            for offset, weight in zip(offsets, weights / weights.sum(), strict=True)
        )
    return [values]


def prepared_spacing(affine, geometry):
    """(depth, height, width) spacing of the prepared volume in mm."""
    _, axes, _, crop, grid = geometry
    sizes = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)[list(axes)]
    return [size * (stop - start) / count for size, (start, stop), count in zip(sizes, crop, grid, strict=True)]
