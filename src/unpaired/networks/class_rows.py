"""What of a network belongs to single classes, such as the rows of its last layer; it goes with the classes' names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unpaired.networks.network import Network, NetworkConfig


@dataclass(frozen=True)
class ClassRows:
    """How weights of a network for the classes `theirs` become weights for the classes `own`.

    `axes` are {tensor's name: the axes that run over classes}. A class of both keeps its rows, wherever it stands; one
    that is new begins with the fresh network's.
    """

    axes: Mapping[str, tuple[int, ...]]
    theirs: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def fresh(self) -> tuple[str, ...]:
        """Classes that nothing was learned of."""
        return tuple(name for name in self.own if name not in self.theirs)

    def translated(
        self, tensors: Mapping[str, Tensor], fresh: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """The tensors with rows for the classes `own`, and the names of those that are the fresh ones as a whole, since
        an axis of theirs has other rows than one for each class."""
        result, anew = dict(tensors), list[str]()
        places = [number for number, name in enumerate(self.own) if name in self.theirs]
        sources = torch.tensor([self.theirs.index(self.own[number]) for number in places], dtype=torch.long)
        for name in self.axes.keys() & tensors.keys():
            axes, learned, begun = self.axes[name], tensors[name], fresh[name]
            result[name] = begun.clone()
            if learned.ndim != begun.ndim or any(learned.shape[axis] != len(self.theirs) for axis in axes):
                anew.append(name)
                continue
            for axis in axes:
                learned = learned.index_select(axis, sources)
            if any(learned.shape[axis] != begun.shape[axis] for axis in range(begun.ndim) if axis not in axes):
                result[name] = tensors[name]  # of another network: loading says so
                continue
            whole = [places if axis in axes else range(size) for axis, size in enumerate(begun.shape)]
            grid = torch.meshgrid(*(torch.tensor(list(numbers)) for numbers in whole), indexing="ij")
            result[name][grid] = learned.to(begun)
        return result, tuple(sorted(anew))


def class_rows(
    config: NetworkConfig, network: Network, spatial_dims: int, theirs: Sequence[str], own: Sequence[str]
) -> ClassRows:
    """Which tensors of `config`'s network have an axis of classes: those that grow when there is a class more.

    `network` is the one that was built for the classes `own`. Where the classes are equal nothing has to be known.
    """
    if tuple(theirs) == tuple(own):
        return ClassRows({}, tuple(theirs), tuple(own))
    with torch.device("meta"):  # shapes alone: nothing is computed, nothing is drawn
        sizes = [
            {name: value.shape for name, value in config.build(*asked, spatial_dims).state_dict().items()}
            for asked in ((network.modalities, network.channels, len(own) + more) for more in (0, 1))
        ]
    axes: dict[str, tuple[int, ...]] = {}
    for name, shape in sizes[0].items():
        pairs = enumerate(zip(shape, sizes[1][name], strict=True))
        if grown := tuple(axis for axis, (few, many) in pairs if few != many):
            axes[name] = grown
    return ClassRows(axes, tuple(theirs), tuple(own))
