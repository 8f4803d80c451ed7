"""Prepared scans turned in the plane of their slices, and predictions of turned ones turned back.

A network that learned from turned slices says slightly different things of a scan and of its turned forms, and their
mean is better than each (test-time augmentation; docs/results/turned-predictions.md has what it gives).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import grid_sample

from unpaired.errors import InputError
from unpaired.recipe import Recipe
from unpaired.runs.run import Run

Triple = tuple[float, float, float]
SLICES = 16
"""How many slices are turned at a time: with all of their classes they are copied."""


def require_turned_training(run: Run, degrees: Sequence[float]) -> None:
    """Raise InputError for an angle by which training turned no slice: such a slice is strange to the network."""
    largest = largest_angle(run.recipe)
    if degrees and max(degrees) > largest:
        raise InputError(
            f"{run.called} was trained on slices turned by at most {largest:g} degrees (augmentation.rotation_degrees),"
            f" so slices turned by {max(degrees):g} are strange to it; give --turned an angle of at most that"
        )


def largest_angle(recipe: Recipe) -> float:
    """By how many degrees training turned slices at the most."""
    return recipe.augmentation.rotation_degrees if recipe.augmentation.spatial else 0.0


def turned(volume: np.ndarray, degrees: float, spacing_mm: Triple) -> np.ndarray:
    """A volume (..., depth, height, width) turned about the middle of each slice, in mm, linearly; float32.

    What comes in from outside repeats the border.
    """
    return _sampled(volume, _places(volume.shape, degrees, spacing_mm))


def turned_back(probabilities: np.ndarray, degrees: float, spacing_mm: Triple, unturned: np.ndarray) -> np.ndarray:
    """Class probabilities (class, depth, height, width) of `turned(volume, degrees)`, as those of the volume.

    Corners that the turned volume doesn't show have those of `unturned`, the prediction of the volume as it is.
    """
    places = _places(probabilities.shape, -degrees, spacing_mm)
    shown = (places.abs() <= 1).all(dim=-1).numpy()
    return np.where(shown, _sampled(probabilities, places), unturned)


def _places(shape: Sequence[int], degrees: float, spacing_mm: Triple) -> torch.Tensor:
    """Where each pixel of a turned slice comes from, (height, width, 2): x and y, -1 and 1 at the slice's borders."""
    height, width = shape[-2:]
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    extent_y, extent_x = height * spacing_mm[1], width * spacing_mm[2]
    y = ((torch.arange(height, dtype=torch.float64) + 0.5) / height - 0.5)[:, None] * extent_y
    x = ((torch.arange(width, dtype=torch.float64) + 0.5) / width - 0.5)[None] * extent_x
    from_y, from_x = cos * y + sin * x, cos * x - sin * y
    return torch.stack([2 * from_x / extent_x, 2 * from_y / extent_y], dim=-1).float()


def _sampled(volume: np.ndarray, places: torch.Tensor) -> np.ndarray:
    """A volume (..., depth, height, width) at the places of each slice; some slices at a time."""
    channels = volume.reshape(-1, *volume.shape[-3:])
    sampled = np.empty(channels.shape, np.float32)
    for first in range(0, channels.shape[1], SLICES):
        slices = np.ascontiguousarray(channels[:, first : first + SLICES].swapaxes(0, 1), np.float32)
        grid = places.expand(len(slices), -1, -1, -1)
        values = grid_sample(torch.from_numpy(slices), grid, "bilinear", "border", align_corners=False)
        sampled[:, first : first + SLICES] = values.numpy().swapaxes(0, 1)
    return sampled.reshape(volume.shape)
