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
from unpaired.data.dataset import CaseEntry, Dataset, encode_values
from unpaired.data.images import read_image, read_label_map, require_same_grid
from unpaired.data.label_map import encode_label_map
from unpaired.data.preprocess import Preprocessing, apply, apply_to_label
from unpaired.data.sampling import cut
from unpaired.errors import InputError, nearest
from unpaired.inference.windows import window_starts
from unpaired.networks.network import Network
from unpaired.recipe import Recipe
from unpaired.studies.localization.scores import Cells

MEMORY = 512 * 2**20
"""So many bytes of feature maps of a case are held at once; for more, the network runs over the case again."""
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
    for name in layers:
        if name not in network.feature_names:
            raise InputError(f"{where}: there is no layer {name!r}; {nearest(name, list(network.feature_names))}")


def read_labeled_case(dataset: Dataset, entry: CaseEntry, preprocessing: Preprocessing) -> Case:
    """A labeled case on the network's grid; `label_map` holds indices into `dataset.label_sets()`.

    Raises InputError for an unlabeled case, and for files that can't be read or don't fit each other.
    """
    if entry.label is None:
        raise InputError(
            f"case {entry.id} has no label map; feature maps are compared with the classes of labeled cases"
        )
    image, label = read_image(entry.image), read_label_map(entry.label)
    require_same_grid(image, label, entry.label)
    numbers = {members: index for index, members in enumerate(dataset.label_sets())}
    encoding = {value: numbers[members] for value, members in encode_values(dataset, entry).items()}
    encoded = encode_label_map(label.array, encoding, entry.label)
    volume, geometry = apply(image, preprocessing, dataset.modalities[entry.modality], label)
    labels = apply_to_label(encoded, geometry, outside=encoding.get(0, 0))
    return Case(entry.id, entry.patient, entry.modality, volume, labels, geometry)


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


def layer_cells(
    network: Network, recipe: Recipe, case: Case, layers: Sequence[str], classes: int, memory: int = MEMORY
) -> Iterator[tuple[str, Iterator[Cells]]]:
    """Each layer's saliency over a case, in parts of its channels, with the voxels of each class below its cells.

    About `memory` bytes of feature maps are held at once. Voxels that may be one of several classes are not counted.
    """
    for group, parts in _passes(network, recipe, case, layers, memory):
        if len(parts) == 1:
            cells = _collect(network, recipe, case, group, parts[0], classes)
            for layer in group:
                yield layer, iter((cells.pop(layer),))
        else:
            (layer,) = group
            yield layer, (_collect(network, recipe, case, group, part, classes)[layer] for part in parts)


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


def _cells(window: FeatureWindow, maps: np.ndarray, labels: np.ndarray, classes: int) -> Cells:
    """The cells of one window that own voxels of a certain class."""
    used, places = zip(
        *(np.unique(index, return_inverse=True) for index in cell_indices(window, maps.shape[1:])), strict=True
    )
    shape = tuple(len(index) for index in used)
    cell = np.ravel_multi_index(np.ix_(*places), shape)
    own = np.minimum(labels[window.owned], classes).astype(np.int64)
    counts = np.bincount((cell * (classes + 1) + own).ravel(), minlength=(classes + 1) * int(np.prod(shape)))
    positives = counts.reshape(-1, classes + 1)[:, :classes].T.astype(np.int32)
    voxels = positives.sum(axis=0, dtype=np.int32)
    certain = voxels > 0
    saliency = np.abs(maps[:, *np.ix_(*used)]).reshape(len(maps), -1)
    return Cells(saliency[:, certain], positives[:, certain], voxels[certain])


def _collect(
    network: Network, recipe: Recipe, case: Case, layers: Sequence[str], channels: slice, classes: int
) -> dict[str, Cells]:
    """One pass over the case: the cells of each layer, of the channels asked for."""
    of_windows: dict[str, list[Cells]] = {layer: [] for layer in layers}
    for window in feature_windows(network, recipe, case.volume, case.modality, layers):
        for layer in layers:
            of_windows[layer].append(_cells(window, window.features[layer][channels], case.label_map, classes))
    joined = {}
    for layer in layers:
        parts = of_windows.pop(layer)
        joined[layer] = Cells(
            np.concatenate([part.saliency for part in parts], axis=1),
            np.concatenate([part.positives for part in parts], axis=1),
            np.concatenate([part.voxels for part in parts]),
        )
    return joined


def _passes(
    network: Network, recipe: Recipe, case: Case, layers: Sequence[str], memory: int
) -> Iterator[tuple[list[str], list[slice]]]:
    """Layers that fit into `memory` together, with all of their channels; one that doesn't, alone in parts that do."""
    window = next(feature_windows(network, recipe, case.volume, case.modality, layers, windows_at_once=1))
    group: list[str] = []
    room = memory
    for layer in layers:
        maps = window.features[layer]
        per_channel = maps[0].size / np.prod(window.size) * case.volume.size * maps.itemsize
        needed = int(per_channel * len(maps))
        if needed > memory:
            step = max(1, int(memory / per_channel))
            yield [layer], [slice(first, first + step) for first in range(0, len(maps), step)]
            continue
        if needed > room:
            yield group, [slice(None)]
            group, room = [], memory
        group.append(layer)
        room -= needed
    if group:
        yield group, [slice(None)]
