"""The saliency of a network's layers over a whole case, cell by cell, with the voxels of each class below the cells."""

from collections.abc import Iterator, Sequence

import numpy as np

from unpaired.analyses.feature_maps import FeatureWindow, cell_indices, feature_windows
from unpaired.analyses.localization.scores import Cells
from unpaired.data.case import Case
from unpaired.networks.network import Network
from unpaired.recipe import Recipe

MEMORY = 512 * 2**20
"""How many bytes of a case's feature maps are held at once; for more, the network runs over the case again."""


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
    joined: dict[str, Cells] = {}
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
