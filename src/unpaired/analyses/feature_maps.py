"""The feature maps of a trained network over whole cases, for looking at them: by windows, as prediction sees the case.

Windows overlap, and in each of them a voxel has another feature. Here every voxel belongs to one window, the one in
whose middle it lies most; so each voxel has one feature, and counting voxels counts none twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
import torch

from unpaired.data.case import Case
from unpaired.data.sampling import cut
from unpaired.errors import InputError
from unpaired.inference.windows import window_starts
from unpaired.networks.network import Network
from unpaired.recipe import Recipe

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class FeatureWindow:
    """The feature maps of one window, {layer: (channel, depth, height, width)} float32 (a depth of 1 in 2D).

    The window has `size` voxels from `start` (negative where it begins outside the volume); `owned` is the box of the
    volume whose voxels belong to it.
    """

    features: dict[str, np.ndarray]
    start: tuple[int, int, int]
    size: tuple[int, int, int]
    owned: Box


@dataclass(frozen=True)
class SliceMaps:
    """|activation| of a layer over one slice of the prepared volume, repeated to its grid: the mean over all channels
    (height, width), and some channels (channel, height, width)."""

    mean: np.ndarray
    channels: np.ndarray


def require_layers(network: Network, layers: Sequence[str], where: str) -> None:
    """Raise InputError unless the network of `where` ("run runs/csa") has feature maps, and those that are named."""
    if not network.feature_names:
        raise InputError(
            f"{where}: its network has no named feature maps; name the modules to look at in the recipe's "
            "network.features and train anew"
        )
    network.require_features(layers, where)


def feature_windows(
    network: Network,
    recipe: Recipe,
    volume: np.ndarray,
    modality: str,
    layers: Sequence[str],
    depth: int | None = None,
    windows_at_once: int | None = None,
) -> Iterator[FeatureWindow]:
    """The recipe's windows over a prepared volume (depth, height, width), each with its feature maps.

    With `depth` only the windows that own this slice. The network runs where its weights are.
    """
    flat = recipe.spatial_dims == 2
    size = np.array([1, *recipe.patch_size] if flat else recipe.patch_size)
    places = [
        _places(length, int(window), recipe.window_overlap) for length, window in zip(volume.shape, size, strict=True)
    ]
    windows = [
        window for window in product(*places) if depth is None or window[0][1].start <= depth < window[0][1].stop
    ]
    device = next(network.parameters()).device
    chunk = windows_at_once or (16 if flat else 2)
    for first in range(0, len(windows), chunk):
        group = windows[first : first + chunk]
        starts = [np.array([start for start, _ in window]) for window in group]
        images = torch.from_numpy(
            np.stack([cut(volume, start, size, recipe.context_slices) for start in starts])
        ).float()
        with torch.inference_mode():
            features_by_layer = network({modality: (images[:, :, 0] if flat else images).to(device)})[modality].features
        maps = {layer: features_by_layer[layer].float().cpu().numpy() for layer in layers}
        for place, window in enumerate(group):
            features = {layer: values[place][:, None] if flat else values[place] for layer, values in maps.items()}
            start, owned = tuple(at for at, _ in window), tuple(part for _, part in window)
            yield FeatureWindow(features, start, tuple(int(length) for length in size), owned)  # type: ignore[arg-type]


def slice_maps(
    network: Network, recipe: Recipe, case: Case, layer: str, depth: int, channels: Sequence[int]
) -> SliceMaps:
    """|activation| of a layer over the slice `depth` of a case, as `SliceMaps`; `channels` are those to keep."""
    _, height, width = case.volume.shape
    mean = np.zeros((height, width), np.float32)
    kept = np.zeros((len(channels), height, width), np.float32)
    for window in feature_windows(network, recipe, case.volume, case.modality, [layer], depth):
        here = replace(window, owned=(slice(depth, depth + 1), *window.owned[1:]))
        maps = np.abs(window.features[layer])
        (z,), rows, cols = cell_indices(here, maps.shape[1:])
        mean[window.owned[1:]] = maps[:, z].mean(axis=0)[np.ix_(rows, cols)]
        kept[:, *window.owned[1:]] = maps[list(channels), z][:, rows[:, None], cols]
    return SliceMaps(mean, kept)


def _places(length: int, window: int, overlap: float) -> list[tuple[int, slice]]:
    """Each window's start along one axis, with the voxels that lie nearer to its middle than to any other's."""
    starts = window_starts(length, window, overlap)
    borders = [0, *((a + b + window) // 2 for a, b in pairwise(starts)), length]
    return [(start, slice(*ends)) for start, ends in zip(starts, pairwise(borders), strict=True)]


def cell_indices(window: FeatureWindow, grid: Sequence[int]) -> list[np.ndarray]:
    """Along each axis, the cell of the feature map's `grid` that each owned voxel lies in."""
    axes = zip(window.owned, window.start, window.size, grid, strict=True)
    return [(np.arange(own.start, own.stop) - start) * cells // length for own, start, length, cells in axes]
