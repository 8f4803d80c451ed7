"""How images and weights lie in memory while a run trains."""

from typing import Literal

from torch import Tensor

from unpaired.data.batch import Batch
from unpaired.methods.method import Method
from unpaired.networks.network import CHANNELS_LAST, to_channels_last

MemoryFormat = Literal["contiguous", "channels_last"]


def lay_out(method: Method, memory_format: MemoryFormat) -> None:
    """Bring the weights of a method, its network and what else it trains, into a memory format, in place."""
    if memory_format == "channels_last":
        to_channels_last(method, len(method.network.size_multiples))


def laid_out(batches: dict[str, Batch], memory_format: MemoryFormat) -> dict[str, Batch]:
    """Batches whose images, labeled and unlabeled, lie in memory as the network's weights do."""
    if memory_format == "contiguous":
        return batches
    return {
        name: batch._replace(
            images=_channels_last(batch.images),
            unlabeled=None if batch.unlabeled is None else _channels_last(batch.unlabeled),
        )
        for name, batch in batches.items()
    }


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=CHANNELS_LAST[images.ndim - 2])
