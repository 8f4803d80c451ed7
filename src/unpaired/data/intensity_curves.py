"""A curve of its own for the intensities of each label region: tissues change their order, as between two modalities.

The local part of SLAug (Su et al., "Rethinking data augmentation for single-source domain generalization in medical
image segmentation", AAAI 2023): within each region of the label map intensities, brought to 0..1 within the image, go
through a cubic Bezier curve (Zhou et al., "Models Genesis", MICCAI 2019), rising or falling, and are then scaled and
shifted. SLAug's mixture of two versions by the loss's gradient, which costs a second backward pass, is not here.

    B(t) = 3 (1 - t)^2 t P_1 + 3 (1 - t) t^2 P_2 + t^3 P_3    from (0, 0) to P_3 = (1, 1), P_1 and P_2 from U(0, 1)^2;
                                                             falling: 1 - B
    x' = scale * B(x) + shift                                scale from N(1, 0.1), shift from N(0, 0.5 / 3)
"""

import torch
from torch import Tensor

from unpaired.shapes import Images, LabelMap

POINTS = 257
"""Values of a curve that are computed; between them it is linear."""


def region_curves(images: Images, label_map: LabelMap, numbers: list[int]) -> Images:
    """Image i with a random curve for each region of its label map, from `numbers[i]`; all channels alike.

    A constant image stays as it is. Random states are left alone.
    """
    if not numbers:
        return images
    regions = int(label_map.max()) + 1
    tables = torch.stack([curves(number, regions) for number in numbers]).to(images)
    axes = tuple(range(1, images.ndim))
    low, high = images.amin(dim=axes, keepdim=True), images.amax(dim=axes, keepdim=True)
    place = (images - low) / (high - low).clamp(min=1e-6) * (POINTS - 1)
    index = place.floor().clamp(0, POINTS - 2)
    first = label_map.unsqueeze(1) * POINTS + index.long()
    flat = tables.flatten(1)
    below, above = (_looked_up(flat, first + step) for step in (0, 1))
    return low + (below + (above - below) * (place - index)) * (high - low)


def curves(number: int, regions: int) -> Tensor:
    """The curve of each region at `POINTS` places from 0 to 1, (region, place), from one random number; on the CPU."""
    generator = torch.Generator().manual_seed(number)
    return torch.stack([_curve(generator) for _ in range(regions)])


def _curve(generator: torch.Generator) -> Tensor:
    (x1, y1), (x2, y2) = torch.rand(2, 2, generator=generator).tolist()
    falling = bool(torch.rand((), generator=generator) < 0.5)
    scale, shift = (torch.randn(2, generator=generator) * torch.tensor([0.1, 0.5 / 3])).tolist()
    t = torch.linspace(0, 1, 4 * POINTS)
    x, y = (3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 for p1, p2 in ((x1, x2), (y1, y2)))
    places = torch.linspace(0, 1, POINTS)
    right = torch.searchsorted(x, places).clamp(1, len(x) - 1)
    width = (x[right] - x[right - 1]).clamp(min=1e-9)
    values = y[right - 1] + (y[right] - y[right - 1]) * ((places - x[right - 1]) / width).clamp(0, 1)
    return (1 + scale) * (1 - values if falling else values) + shift


def _looked_up(tables: Tensor, index: Tensor) -> Tensor:
    return tables.gather(1, index.flatten(1)).reshape(index.shape)
