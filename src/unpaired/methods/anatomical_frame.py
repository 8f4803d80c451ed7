"""A frame in which anatomy corresponds between people: where the predicted foreground is, and maps resampled into it.

The frame's origin is the centroid of the foreground and its unit, along each axis, the foreground's standard deviation:
so neither the place in the image, the size of the person nor the voxels' spacing matter. It doesn't rotate: axes are
those of the patient, told by headers. All weights are squared probabilities, as in Dice: what is believed a little
everywhere would otherwise pull every centroid to the middle of the image.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unpaired.shapes import Probabilities

VOXEL = 1.0
"""What an object must have to count as one, in voxels of a prediction or cells of a frame."""
SMALLEST = 1e-6
"""A sum of weights below this divides as this."""

Weights = Float[Tensor, "batch class *spatial"]


class Moments(NamedTuple):
    """Sum of weights over voxels, and by axis their center of mass (voxel index) and standard deviation (voxels)."""

    mass: Float[Tensor, "batch class"]
    centroid: Float[Tensor, "batch class axis"]
    spread: Float[Tensor, "batch class axis"]


def moments(weights: Weights) -> Moments:
    """The moments of each image and class; differentiable, and finite where all weights are 0 (the centroid is then 0).

    A single voxel has the spread of a voxel, 1 / sqrt(12) of an edge.
    """
    mass = weights.flatten(2).sum(dim=2)
    divisor = mass.clamp(min=SMALLEST)
    centroids: list[Tensor] = []
    spreads: list[Tensor] = []
    for axis in range(2, weights.ndim):
        others = [other for other in range(2, weights.ndim) if other != axis]
        along = weights.sum(dim=others) if others else weights
        x = torch.arange(along.shape[2], device=along.device, dtype=along.dtype)
        centroid = (along * x).sum(dim=2) / divisor
        variance = (along * (x - centroid.unsqueeze(2)).square()).sum(dim=2) / divisor
        centroids.append(centroid)
        spreads.append((variance + 1 / 12).sqrt())
    return Moments(mass, torch.stack(centroids, dim=2), torch.stack(spreads, dim=2))


def presence(mass: Tensor) -> Tensor:
    """How much of something there is, in [0, 1) and without gradient: a half for one voxel, nearly one for many."""
    mass = mass.detach()
    return mass / (mass + VOXEL)


def in_frame(
    foreground: Probabilities, size: int, extent: float
) -> tuple[Float[Tensor, "batch class *cells"], Float[Tensor, " batch"]]:
    """Probabilities of the foreground classes in each image's own frame, and how much foreground the image has.

    `size` cells along each axis reach `extent` standard deviations to each side. The frame carries no gradient, the
    maps do. Interpolation is linear where cells are closer than voxels; else a cell is a mean (of triangular weights as
    wide as the cells' distance), so that every voxel has its share in the gradient. Outside the image is 0.
    """
    whole = moments(foreground.detach().sum(dim=1, keepdim=True).square())
    places = torch.linspace(-extent, extent, size, device=foreground.device, dtype=foreground.dtype)
    maps = foreground
    for axis in range(foreground.ndim - 2):
        centers = whole.centroid[..., axis] + places * whole.spread[..., axis]
        width = (whole.spread[..., axis] * 2 * extent / (size - 1)).clamp(min=1)
        matrix = triangular(centers, width, foreground.shape[2 + axis])
        maps = torch.einsum("bks,bc...s->bc...k", matrix, maps.movedim(2 + axis, -1)).movedim(-1, 2 + axis)
    return maps, presence(whole.mass[:, 0])


def triangular(
    centers: Float[Tensor, "batch cell"], width: Float[Tensor, "batch 1"], voxels: int
) -> Float[Tensor, "batch cell {voxels}"]:
    """Weights of the voxels 0 to `voxels` - 1 of a line at each center; those of an endless line would sum to 1."""
    endless = torch.arange(-voxels, 2 * voxels, device=centers.device, dtype=centers.dtype)
    weights = (1 - (endless - centers.unsqueeze(-1)).abs() / width.unsqueeze(-1)).clamp(min=0)
    return weights[..., voxels : 2 * voxels] / weights.sum(dim=-1, keepdim=True).clamp(min=SMALLEST)
