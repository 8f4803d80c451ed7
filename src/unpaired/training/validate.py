"""Validation on whole cases: Dice of each class over the full volume, on the prepared grid, as a user would see it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from unpaired.data.dataset import Dataset
from unpaired.data.postprocess import postprocess, smoothed
from unpaired.data.prepared import PreparedCase
from unpaired.data.restore import Box, prepared_label_map
from unpaired.inference.prepared import segment_prepared
from unpaired.inference.windows import whole
from unpaired.methods.method import Method
from unpaired.recipe import Recipe
from unpaired.scores.overlap import count_overlap, dice


def validate(
    method: Method,
    recipe: Recipe,
    dataset: Dataset,
    cases: Mapping[str, Sequence[PreparedCase]],
    device: torch.device | str,
    look: Callable[[PreparedCase, np.ndarray], None] = lambda case, labels: None,
) -> dict[tuple[str, str], float]:
    """{(modality, class): mean Dice over cases}. A class missing from both masks of a case is left out of its mean.

    `look` is shown every labeled case with its predicted class numbers.
    The method is put into evaluation mode and back into the mode it was in.
    """
    was_training = method.training
    method.eval()
    label_sets = dataset.label_sets()
    scores: dict[tuple[str, str], list[float]] = {}
    try:
        for modality, members in cases.items():
            for case in members:
                reference = case.label_map()
                if reference is None:
                    continue
                boxes = segment_prepared(method, recipe, case.volume(), modality, device)
                if width := recipe.postprocessing.smoothing_mm:
                    probabilities = whole(boxes, reference.shape).numpy()
                    boxes = iter([Box((0, 0, 0), smoothed(probabilities, case.spacing_mm, width))])
                likeliest = prepared_label_map(boxes, reference.shape)
                labels = postprocess(likeliest, recipe.postprocessing, dataset.classes)
                look(case, labels)
                overlap = count_overlap(labels, np.asarray(reference), label_sets)
                for number, name in enumerate(dataset.classes[1:], start=1):
                    counts = (overlap.both[number], overlap.predicted[number], overlap.reference[number])
                    value = dice(*(int(count) for count in counts))
                    if value is not None:
                        scores.setdefault((modality, name), []).append(value)
    finally:
        method.train(was_training)
    return {key: float(np.mean(values)) for key, values in scores.items()}


def mean_dice(scores: Mapping[tuple[str, str], float]) -> float:
    """The mean over modalities of the mean over classes, so no modality counts more for having more classes."""
    by_modality: dict[str, list[float]] = {}
    for (modality, _), value in scores.items():
        by_modality.setdefault(modality, []).append(value)
    return float(np.mean([np.mean(values) for values in by_modality.values()])) if by_modality else 0.0
