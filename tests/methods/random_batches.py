"""Batches of noise with labels at random, for tests of what a method makes of any batch."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unpaired.data.batch import Batch

C = 3
"""Classes, with background."""


def random_batches(
    names: Sequence[str],
    size: tuple[int, ...] = (32, 32),
    label_sets: Tensor | None = None,
    unlabeled: Mapping[str, int] | None = None,
    seed: int = 0,
) -> dict[str, Batch]:
    """Two labeled images of each modality, and so many unlabeled ones of those named in `unlabeled`.

    Labels are drawn evenly from the rows of `label_sets` (None: the C classes).
    """
    generator = torch.Generator().manual_seed(seed)
    label_sets = torch.eye(C, dtype=torch.bool) if label_sets is None else label_sets
    unlabeled = unlabeled or {}
    batches = {}
    for name in names:
        images = torch.randn(2, 1, *size, generator=generator)
        labels = torch.randint(0, len(label_sets), (2, *size), generator=generator)
        more = torch.randn(unlabeled[name], 1, *size, generator=generator) if name in unlabeled else None
        batches[name] = Batch(images, labels, label_sets, more)
    return batches
