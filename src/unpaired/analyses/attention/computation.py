"""What SSC's External Attention Modules (EAMs) say of whole cases: attention of each class, correlations of classes.

Weight files hold the network alone, since prediction needs no EAM. The trained EAMs are read from the run's resume.pt,
together with the network of the same step, so what is shown here is the method as it was last saved.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from unpaired.analyses.feature_maps import FeatureWindow, cell_indices, feature_windows
from unpaired.data.case import Case
from unpaired.methods.around import Around
from unpaired.methods.method import MethodConfig
from unpaired.methods.structured_consistency import SSC, ScaleOutput, SSCConfig
from unpaired.recipe import Recipe
from unpaired.runs.run import Run


def trained_ssc(run: Run) -> SSC | None:
    """The run's method with its trained EAMs, of the last saved step; None if it is no SSC run, or one without EAMs.

    An SSC inside another method (a mean teacher, say) counts. Raises InputError if the run's resume.pt is missing or
    damaged.
    """
    config: object = run.recipe.method
    while isinstance(inner := getattr(config, "method", None), MethodConfig):
        config = inner
    if not isinstance(config, SSCConfig):
        return None
    method = run.load_whole_method()
    while isinstance(method, Around):
        method = method.method
    assert isinstance(method, SSC)
    return method if method.scales else None


def mean_correlations(method: SSC, recipe: Recipe, cases: Iterable[Case], classes: int) -> list[np.ndarray | None]:
    """R (class, class) of SSC Eq. 8 at each of `method.scales`, the mean over cases of one modality.

    A case's R is the mean over its windows (2D: parts of slices) with a voxel that certainly is foreground, as training
    draws most of its images there. None at a scale that computes no correlations, or if no window counts.
    """
    of_cases: list[list[np.ndarray]] = [[] for _ in method.scales]
    for case in cases:
        of_windows: list[list[np.ndarray]] = [[] for _ in method.scales]
        for window, outputs in _scale_outputs(method, recipe, case):
            if _has_foreground(window, case.label_map, classes):
                for matrices, output in zip(of_windows, outputs, strict=True):
                    if output.correlations is not None:
                        matrices.append(output.correlations[0].cpu().numpy().astype(np.float64))
        for means, matrices in zip(of_cases, of_windows, strict=True):
            if matrices:
                means.append(np.mean(matrices, axis=0))
    return [np.mean(means, axis=0) if means else None for means in of_cases]


def attention_maps(method: SSC, recipe: Recipe, case: Case, depth: int) -> list[np.ndarray]:
    """L S of SSC Eq. 1 over the slice `depth` of a case, (class, height, width) for each of `method.scales`.

    The mean over the heads, times the number L of positions of a window: 1 is attention spread evenly. Each voxel's is
    that of the window in whose middle it lies most.
    """
    _, height, width = case.volume.shape
    maps: list[np.ndarray] = []
    for window, outputs in _scale_outputs(method, recipe, case, depth):
        here = replace(window, owned=(slice(depth, depth + 1), *window.owned[1:]))
        maps = maps or [np.zeros((output.attention.shape[2], height, width), np.float32) for output in outputs]
        for whole, name, output in zip(maps, method.scales, outputs, strict=True):
            grid = window.features[name].shape[1:]
            even = output.attention[0].mean(dim=0) * output.attention.shape[-1]
            values = even.cpu().numpy().reshape(-1, *grid)
            (z,), rows, cols = cell_indices(here, grid)
            whole[:, *window.owned[1:]] = values[:, z][:, rows[:, None], cols]
    return maps


def _scale_outputs(
    method: SSC, recipe: Recipe, case: Case, depth: int | None = None
) -> Iterator[tuple[FeatureWindow, list[ScaleOutput]]]:
    """Each window of the case (with `depth`: those that own this slice) and what the modality's EAM says of it."""
    device = next(method.parameters()).device
    flat = recipe.spatial_dims == 2
    attention, embeddings = method.attention[case.modality], method.class_embeddings(case.modality)
    for window in feature_windows(method.network, recipe, case.volume, case.modality, method.scales, depth):
        maps = [window.features[name] for name in method.scales]
        tensors = [torch.from_numpy(features[:, 0] if flat else features)[None].to(device) for features in maps]
        with torch.inference_mode():
            outputs = attention(embeddings, tensors)
        yield window, outputs


def _has_foreground(window: FeatureWindow, labels: np.ndarray, classes: int) -> bool:
    """Whether a voxel of the window is certainly of a foreground class; its parts beyond the volume have none."""
    box = tuple(slice(max(start, 0), start + length) for start, length in zip(window.start, window.size, strict=True))
    inside = labels[box]
    return bool(((inside > 0) & (inside < classes)).any())
