"""Shear in the slice plane, which batchgeneratorsv2's spatial transform lacks; in UMMKD's and earlier augmentations."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class Shear:
    """Height and width each shifted in proportion to the other, by factors from U(-`largest`, `largest`), around the
    middle. Image linearly, label map by the nearest voxel; both repeat their edge outside. Along depth nothing moves.

    Draws from numpy's global random state, as batchgeneratorsv2 does.
    """

    def __init__(self, largest: float) -> None:
        self.largest = largest

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """The sample with its image (channel, *spatial) and, if it has one, its segmentation sheared."""
        down, across = np.random.uniform(-self.largest, self.largest, 2)
        sample["image"] = sheared(sample["image"], float(down), float(across), "bilinear")
        if "segmentation" in sample:
            labels = sample["segmentation"]
            sample["segmentation"] = sheared(labels.float(), float(down), float(across), "nearest").to(labels.dtype)
        return sample


def sheared(image: Tensor, down: float, across: float, mode: str) -> Tensor:
    """What lay at (h + `down` w, w + `across` h) comes to (h, w), counted in voxels from the middle of the slice."""
    height, width = image.shape[-2:]
    planes = image.reshape(-1, 1, height, width)
    theta = torch.tensor([[1.0, across * height / width, 0.0], [down * width / height, 1.0, 0.0]])
    grid = F.affine_grid(theta.expand(len(planes), 2, 3), list(planes.shape), align_corners=False)
    return F.grid_sample(planes, grid, mode, "border", align_corners=False).reshape(image.shape)
