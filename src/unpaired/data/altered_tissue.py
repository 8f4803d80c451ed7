"""Parts of a tissue that look like another: a scar as bright as blood, a lesion as dark as what surrounds it.

Random convolutions and curves change how a tissue looks, but all of it alike, and a network still finds it by its even
gray. Another modality may show what this one doesn't: late enhancement makes an infarct, a part of the myocardium, as
bright as the blood beside it, and a network that has only seen even myocardium calls it blood. So, in each label region
r but the background, with a chance of one half, in a part of random shape:

    x' = x + w (v + c (x - mean_r) - x)       w: 0..1, a smooth random map cut at the share q of the region, soft edge
                                              v: the mean of another region of the image, or any value of the image's
                                              q ~ U(0.1, 0.6),   c ~ U(0.5, 1): what is left of the texture

Ours; scars painted into myocardium are common practice in the MS-CMRSeg challenge (Zhuang et al., MedIA 2022), here of
any tissue and any look.
"""

import torch
from torch import Tensor

from unpaired.data.smooth_maps import smooth_map
from unpaired.shapes import Images, LabelMap

SPACINGS = (4, 16)
"""Voxels between the control points of a shape: the smallest and the largest."""
EDGE = 0.15
"""How soft a part's edge is, as a share of the map's spread in the region."""


def altered_tissue(images: Images, label_map: LabelMap, numbers: list[int]) -> Images:
    """Image i with parts of its label regions altered, from `numbers[i]`; all channels alike, on the images' device.

    An image with background alone stays as it is. Random states are left alone.
    """
    return torch.stack(
        [
            _altered(image, labels, torch.Generator().manual_seed(number))
            for image, labels, number in zip(images, label_map, numbers, strict=True)
        ]
    )


def _altered(image: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """One image (channel, *spatial) with label map (*spatial)."""
    present = torch.unique(labels).tolist()
    axes = tuple(range(1, image.ndim))
    low, high = image.amin(dim=axes), image.amax(dim=axes)
    means = {region: image[:, labels == region].mean(dim=1) for region in present}
    result = image.clone()
    for region in present:
        rarely, kept, place, share, any_value, which, log_spacing = torch.rand(7, generator=generator).tolist()
        shape = smooth_map(labels.shape, _spacing(log_spacing), generator)
        if region == 0 or rarely < 0.5:
            continue
        others = [means[other] for other in present if other != region]
        value = others[int(which * len(others))] if any_value < 0.5 and others else low + place * (high - low)
        weight = _weight(shape.to(image), labels == region, 0.1 + 0.5 * share)
        column = (-1, *[1] * (image.ndim - 1))
        texture = (0.5 + 0.5 * kept) * (image - means[region].view(column))
        result = result + weight * (value.view(column) + texture - result)
    return result


def _spacing(uniform: float) -> int:
    """Voxels between control points: evenly on a logarithmic scale."""
    low, high = SPACINGS
    return round(low * (high / low) ** uniform)


def _weight(shape: Tensor, region: Tensor, share: float) -> Tensor:
    """w: 1 in that share of a region where the map is highest, 0 in the rest of it and outside; soft in between."""
    inside = shape[region]
    edge = EDGE * inside.std(correction=0).clamp(min=1e-6)
    return torch.sigmoid((shape - torch.quantile(inside, 1 - share)) / edge) * region
