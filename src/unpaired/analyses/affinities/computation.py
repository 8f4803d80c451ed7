"""The affinity matrices of CSA Eq. 2-3 over whole cases of a run, after training and of the network it started from.

Training sees A^c of one batch. Here a class's region is all of its voxels in all the cases given, so the matrix says
what the network does, not what one batch happened to hold. Computed window by window: only sums of products are kept.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from unpaired.analyses.feature_maps import FeatureWindow, feature_windows
from unpaired.data.case import Case
from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import SMALLEST_NORM, nearest_on_grid, on_one_grid
from unpaired.networks.network import Network
from unpaired.recipe import build_method
from unpaired.runs.beginning import begin_with_run
from unpaired.runs.run import Run


def untrained_network(run: Run) -> Network:
    """The network as the run began: fresh weights of its recipe's seed, or those of the run or file it started from.

    In evaluation mode; a fresh batch norm then has mean 0 and variance 1. Raises InputError if the run or the file of
    pre-trained weights that it started from is gone.
    """
    network = build_method(run.recipe, run.modalities, len(run.dataset.classes)).network
    if run.recipe.init_from:
        begin_with_run(network, run.recipe, run.dataset.classes)
    else:
        run.recipe.network.load_pretrained(network)
    return network.eval()


def pooled_affinities(
    network: Network, run: Run, cases: Iterable[Case], pair: tuple[str, str], classes: int
) -> list[np.ndarray | None]:
    """A^c (M, N) of each class over all of the cases, which are of one modality; None: no case has the class.

    With S_c = 1 (a cosine), masks of the first voxel of each cell, voxels of several possible classes in no region: as
    `class_affinities` with its defaults would give for one batch that holds all cases.
    """
    class_sums = [_Sums() for _ in range(classes)]
    for case in cases:
        for window in feature_windows(network, run.recipe, case.volume, case.modality, pair):
            _add(class_sums, window, case.label_map, pair)
    return [sums.affinity() for sums in class_sums]


class _Sums:
    """What a cosine needs of two layers' features inside a class: products, and squares of either."""

    def __init__(self) -> None:
        self.products: Tensor | None = None
        self.squares: tuple[Tensor, Tensor] | None = None

    def add(self, rows_l: Tensor, rows_k: Tensor) -> None:
        products, squares = rows_l.T @ rows_k, (rows_l.square().sum(dim=0), rows_k.square().sum(dim=0))
        if self.products is None or self.squares is None:
            self.products, self.squares = products, squares
        else:
            self.products += products
            self.squares = self.squares[0] + squares[0], self.squares[1] + squares[1]

    def affinity(self) -> np.ndarray | None:
        if self.products is None or self.squares is None:
            return None
        norm_l, norm_k = (squares.sqrt().clamp(min=SMALLEST_NORM) for squares in self.squares)
        return (self.products / norm_l[:, None] / norm_k).numpy()


def _add(sums: Sequence[_Sums], window: FeatureWindow, labels: np.ndarray, pair: tuple[str, str]) -> None:
    """One window's voxels of each class; a cell counts where its first voxel does, and where the window owns that."""
    maps = [torch.from_numpy(window.features[layer])[None].double() for layer in pair]
    F_l, F_k = on_one_grid(maps[0], maps[1])
    known = torch.full(window.size, len(sums), dtype=torch.int64)
    inside = tuple(
        slice(own.start - start, own.stop - start) for own, start in zip(window.owned, window.start, strict=True)
    )
    known[inside] = torch.from_numpy(labels[window.owned].astype(np.int64))
    label = nearest_on_grid(known[None], 1, F_l.shape[2:]).flatten()
    rows_l, rows_k = (F[0].flatten(1).T for F in (F_l, F_k))
    if not (torch.isfinite(rows_l).all() and torch.isfinite(rows_k).all()):
        raise InputError(f"the feature maps {pair[0]} and {pair[1]} hold NaN or infinity; did the training diverge?")
    for number, of_class in enumerate(sums):
        index = (label == number).nonzero().squeeze(1)
        if len(index):
            of_class.add(rows_l.index_select(0, index), rows_k.index_select(0, index))
