"""Networks whose modalities share one code path, and the two schedules by which it runs over several of them.

Such a network has one function, `run(x, groups)`: `x` holds images of one or more modalities along the batch axis, and
`groups` says {modality: number of images}, in that order. Shared layers ignore `groups`; those of `modality_layers`
split by it.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from unpaired.choices import nearest_multiple
from unpaired.errors import InputError, known
from unpaired.networks.modality_layers import Groups, split_by_modality
from unpaired.networks.network import Network, NetworkOutput
from unpaired.shapes import Images

Run = Callable[[Tensor, Groups], NetworkOutput]


class SharedNetwork(Network):
    """A network that is given by `run`; `forward` checks the images and calls it once, or once for each modality."""

    concatenate: bool | None = None
    """All modalities in one pass (True), or one pass each (False); None is by device, see `run_modalities`."""
    mixed: bool = False
    """Whether some layer mixes the modalities of a pass, as a batch norm shared by all: then there is only one pass."""

    def forward(self, images: Mapping[str, Images]) -> dict[str, NetworkOutput]:
        """Raises InputError for an unknown modality, or images whose channels or sizes don't fit."""
        check_images(images, self.modalities, self.channels, self.size_multiples)
        return run_modalities(self.run, images, self.concatenate, self.mixed)

    @abstractmethod
    def run(self, x: Images, groups: Groups) -> NetworkOutput:
        """One pass over `x`, whose batch axis holds the modalities of `groups` one after the other."""


def run_modalities(
    run: Run, images: Mapping[str, Images], concatenate: bool | None, mixed: bool
) -> dict[str, NetworkOutput]:
    """Run a network over {modality: images}: once over all of them, or once per modality.

    Values and gradients are equal, except where layers mix the modalities (`mixed`, a shared norm): then it is always
    once over all. `concatenate=None` is once per modality on a CPU and once over all on an accelerator, which has more
    cores to fill (not measured). On a CPU it hardly matters: once over all took 1.08 times as long at the papers' size
    (8 images of 256x256 each) and 0.93 to 0.96 at 96x96 and 128x128 (`benchmarks/concatenated_forward.py`).
    Images of different size run once per modality; where layers mix, that is an InputError.
    """
    sizes = {name: tuple(x.shape[1:]) for name, x in images.items()}
    same_size = len(set(sizes.values())) == 1
    if mixed and not same_size:
        raise InputError(
            f"a norm shared by all modalities, or their fusion, needs images of one size in one step, got {sizes}; "
            "use one patch size, or a norm per modality"
        )
    if concatenate is None:
        concatenate = next(iter(images.values())).device.type != "cpu"
    if len(images) == 1 or not (mixed or (concatenate and same_size)):
        return {name: run(x, {name: len(x)}) for name, x in images.items()}
    groups = {name: len(x) for name, x in images.items()}
    output = run(torch.cat(list(images.values())), groups)
    features = {name: split_by_modality(maps, groups) for name, maps in output.features.items()}
    return {
        modality: NetworkOutput(logits, {name: parts[modality] for name, parts in features.items()})
        for modality, logits in split_by_modality(output.logits, groups).items()
    }


def check_modalities(given: Collection[str], modalities: Sequence[str]) -> None:
    """Raise InputError unless at least one modality is given, and none but `modalities`."""
    if not given:
        raise InputError(f"the network got no images; give at least one of its modalities: {', '.join(modalities)}")
    for name in given:
        if name not in modalities:
            raise InputError(f"the network doesn't know modality {name!r}; {known(list(modalities))}")


def check_images(
    images: Mapping[str, Images], modalities: Sequence[str], channels: int, multiples: Sequence[int]
) -> None:
    """Raise InputError unless `images` are of known modalities, with `channels` channels, in sizes that fit.

    `multiples` is what each spatial size must be a multiple of.
    """
    check_modalities(images, modalities)
    for name, x in images.items():
        if x.ndim != 2 + len(multiples) or x.shape[1] != channels:
            raise InputError(
                f"modality {name!r}: expected images of shape (batch, {channels}, {len(multiples)} spatial axes), "
                f"got {tuple(x.shape)}; give the slices or volumes that the network was built for"
            )
        if any(size % multiple for size, multiple in zip(x.shape[2:], multiples, strict=True)):
            fitting = tuple(map(nearest_multiple, x.shape[2:], multiples))
            raise InputError(
                f"modality {name!r}: spatial sizes {tuple(x.shape[2:])} must be multiples of {tuple(multiples)}; take "
                f"patch_size {fitting}, a network that pools less, or pad the images"
            )
