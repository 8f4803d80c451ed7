"""A prepared volume through a trained network, by the windows that its recipe lays over it."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from unpaired.data.restore import Box
from unpaired.inference.backends.segmenter import BackendSegmenter
from unpaired.inference.windows import probability_boxes
from unpaired.methods.method import Method
from unpaired.recipe import Recipe


def segment_prepared(
    method: Method | BackendSegmenter,
    recipe: Recipe,
    volume: np.ndarray,
    modality: str,
    device: torch.device | str,
    partners: Mapping[str, np.ndarray] | None = None,
    order: tuple[int, int, int] = (0, 1, 2),
    each_window: bool = False,
) -> Iterator[Box]:
    """Class probabilities of a prepared volume, by the recipe's windows, in boxes (see `probability_boxes`).

    `partners` {modality: volume on the same grid} are what a network that fuses modalities gets beside it.
    """
    return probability_boxes(
        lambda images, *beside: method.predict(images, modality, *beside),
        volume,
        patch_size=recipe.patch_size,
        context_slices=recipe.context_slices,
        overlap=recipe.window_overlap,
        device=device,
        partners=partners,
        order=order,
        each_window=each_window,
    )
