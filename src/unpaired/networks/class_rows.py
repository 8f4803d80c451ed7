"""What of a network belongs to single classes, such as the rows of its last layer; it goes with the classes' names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unpaired.networks.network import Network, NetworkConfig


@dataclass(frozen=True)
class ClassRows:
    """How weights of a network for the classes `theirs` become weights for the classes `own`.

    `axes` are {tensor's name: the axis that runs over classes}. A class of both keeps its rows, wherever it stands;
    one that is new begins with the fresh network's.
    """

    axes: Mapping[str, int]
    theirs: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def fresh(self) -> tuple[str, ...]:
        """Classes that nothing was learned of."""
        return tuple(name for name in self.own if name not in self.theirs)

    def translated(self, tensors: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors with rows for the classes `own`; where an axis has other rows than classes, the fresh tensor."""
        result = dict(tensors)
        if self.theirs == self.own:
            return result
        for name in self.axes.keys() & tensors.keys():
            axis, learned, begun = self.axes[name], tensors[name], fresh[name]
            if learned.ndim != begun.ndim or learned.shape[axis] != len(self.theirs):
                result[name] = begun
                continue
            rows = [
                learned.select(axis, self.theirs.index(class_name)).to(begun)
                if class_name in self.theirs
                else begun.select(axis, number)
                for number, class_name in enumerate(self.own)
            ]
            result[name] = torch.stack(rows, axis)
        return result


def class_rows(
    config: NetworkConfig, network: Network, spatial_dims: int, theirs: Sequence[str], own: Sequence[str]
) -> ClassRows:
    """Which tensors of `config`'s network have an axis of classes: those that grow when there is a class more.

    `network` is the one that was built for the classes `own`.
    """
    with torch.device("meta"):  # shapes alone: nothing is computed, nothing is drawn
        sizes = [
            {name: value.shape for name, value in config.build(*asked, spatial_dims).state_dict().items()}
            for asked in ((network.modalities, network.channels, len(own) + more) for more in (0, 1))
        ]
    axes: dict[str, int] = {}
    for name, shape in sizes[0].items():
        grown = [axis for axis, (few, many) in enumerate(zip(shape, sizes[1][name], strict=True)) if few != many]
        if grown:
            axes[name] = grown[0]
    return ClassRows(axes, tuple(theirs), tuple(own))
