"""A prepared volume through a trained network, by the windows that its recipe lays over it."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from unpaired.data.postprocess import shifted
from unpaired.data.restore import Box
from unpaired.inference.backends.engines import Backend
from unpaired.inference.backends.segmenter import BackendSegmenter
from unpaired.inference.engine.engine import WindowEngine
from unpaired.inference.engine.plans import EngineName, Precision
from unpaired.inference.windows import probability_boxes
from unpaired.methods.method import Method
from unpaired.recipe import Recipe

Segmenter = WindowEngine | BackendSegmenter
"""What computes the windows of a trained run."""


def segmenter_of(
    method: Method,
    recipe: Recipe,
    device: torch.device,
    backend: Backend = "torch",
    precision: Precision = "float32",
    engine: EngineName = "auto",
    report: Callable[[str], None] = lambda line: None,
) -> Segmenter:
    """What computes a run's windows. The variable UNPAIRED_ENGINE "plain" takes the place of `engine` "auto".

    Raises InputError for a backend whose packages are missing, and for bfloat16 where it can't be had.
    """
    if backend == "torch":
        named = "plain" if os.environ.get("UNPAIRED_ENGINE") == "plain" else engine
        return WindowEngine(method, device, named, precision, report)
    return BackendSegmenter(method, backend, recipe.patch_size, report, precision)


def segment_prepared(
    method: Method | Segmenter,
    recipe: Recipe,
    volume: np.ndarray,
    modality: str,
    device: torch.device | str,
    partners: Mapping[str, np.ndarray] | None = None,
    order: tuple[int, int, int] = (0, 1, 2),
    each_window: bool = False,
) -> Iterator[Box]:
    """Class probabilities of a prepared volume, by the recipe's windows, in boxes (see `probability_boxes`), with the
    log odds that the recipe's post-processing gives background.

    `partners` {modality: volume on the same grid} are what a network that fuses modalities gets beside it.
    """
    engine = method if isinstance(method, WindowEngine) and not partners else None
    network = method.network if isinstance(method, Method) else method.method.network
    boxes = probability_boxes(
        lambda images, *beside: method.predict(images, modality, *beside),
        volume,
        patch_size=recipe.patch_size,
        context_slices=recipe.context_slices,
        overlap=recipe.window_overlap,
        windows_at_once=None if engine is None else lambda images: engine.at_once(images, modality),
        device=device,
        partners=partners,
        order=order,
        each_window=each_window or network.mixes_images,
    )
    odds = recipe.postprocessing.background_log_odds
    return (replace(box, probabilities=shifted(box.probabilities, odds)) for box in boxes) if odds else boxes
