"""The contract of what segments: `{modality: images} -> {modality: NetworkOutput}`. No loss and no file here."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unpaired.configs import Config
from unpaired.errors import InputError, nearest
from unpaired.networks.shapes_alone import ShapesAlone
from unpaired.shapes import Images, Logits

NO_FEATURES = "it gives none: take another network, or, of an adapted one, name modules in network.features"
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
"""{number of spatial axes: torch's memory format with channels last}."""


@dataclass(frozen=True)
class NetworkOutput:
    """What a network says about the images of one modality.

    `logits` has the images' spatial size. `features` holds intermediate feature maps (batch, channel, *spatial) by
    name, such as "group4"; methods pick theirs by these names.
    """

    logits: Logits
    features: dict[str, Tensor]


class Network(nn.Module, ABC):
    """One network for all modalities it was built for."""

    modalities: tuple[str, ...]
    channels: int
    """Channels of an image, such as neighboring slices of a 2D network."""
    feature_names: tuple[str, ...]
    """Names of the feature maps in every `NetworkOutput.features`. In training there may be coarser logits besides
    (`coarser_names`), for methods to supervise."""
    size_multiples: tuple[int, ...]
    """Per spatial axis: sizes given to the network must be multiples of these."""
    mixes_images: bool = False
    """Whether an image's logits in evaluation depend on the other images of its pass. Then prediction keeps to passes
    of one size, and leaves no window out."""

    def require_features(self, names: Sequence[str], where: str) -> None:
        """Raise InputError, naming the field `where` that asks for them, unless the network has all these feature maps.

        The message says which known name is nearest.
        """
        for name in names:
            if name not in self.feature_names:
                hint = nearest(name, list(self.feature_names)) if self.feature_names else NO_FEATURES
                raise InputError(f"{where}: the network has no feature map {name!r}; {hint}")

    def feature_channels(self, names: Sequence[str]) -> list[int]:
        """How many channels each of these feature maps has, found on torch's meta device, where nothing is computed.

        Raises InputError if the network can't be run there.
        """
        tensors = (*self.parameters(), *self.buffers())
        weightless = copy.deepcopy(self, {id(t): torch.empty_like(t, device="meta") for t in tensors}).eval()
        modality = self.modalities[0]
        image = torch.empty(1, self.channels, *(2 * m for m in self.size_multiples), device="meta")
        try:
            with torch.no_grad(), ShapesAlone():
                output: NetworkOutput = weightless({modality: image})[modality]
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"can't find out the channels of {', '.join(names)}: the network does not run on torch's meta device "
                f"({reason}); make its tensors on the device of its input"
            ) from error
        return [output.features[name].shape[1] for name in names]

    @abstractmethod
    def forward(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """Segment the images of each modality given (any non-empty subset of `modalities`)."""


@dataclass(frozen=True)
class NetworkConfig(Config, ABC):
    """The fields that choose a network; its type is the choice of network."""

    @abstractmethod
    def build(self, modalities: Sequence[str], channels: int, classes: int, spatial_dims: int) -> Network:
        """Build with fresh weights from torch's global random state: `channels` in, `classes` (with background) out."""

    def load_pretrained(self, network: Network) -> dict[str, Any] | None:
        """Fill a fresh network, in place, with the pre-trained weights that the config names.

        Called when training begins, and to look at what it began with; never to use a trained network. Returns what was
        loaded, as JSON values for the run's record; None, as here, for a config that names none. Raises InputError for
        a file that doesn't fit.
        """
        return None


def modules_by_modality(network: nn.Module, modalities: Collection[str]) -> Iterator[nn.ModuleDict]:
    """What holds a module for each of the modalities, wherever in a network it is: norms, stages, heads, networks."""
    for module in network.modules():
        if isinstance(module, nn.ModuleDict) and set(modalities) <= set(module):
            yield module


def coarser_names(count: int) -> tuple[str, ...]:
    """The names of so many coarser logits, the finest of them first. The number in a name is 2 to the level: along an
    axis that a stage doesn't halve the logits have more voxels than it says."""
    return tuple(f"logits/{2**level}" for level in range(1, count + 1))


def to_channels_last(module: nn.Module, spatial_dims: int) -> None:
    """Lay a module's kernels out with channels last, in place: values are the same, other kernels compute with them.

    Only tensors of two axes more than `spatial_dims`, which is all that torch has such a layout for.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == spatial_dims + 2:
            tensor.data = tensor.data.contiguous(memory_format=CHANNELS_LAST[spatial_dims])
