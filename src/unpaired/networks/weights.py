"""Weight files: what a network learned, as safetensors, which read without running any code."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from unpaired.errors import InputError
from unpaired.files import atomic
from unpaired.networks.class_rows import ClassRows
from unpaired.networks.network import Network


def save_weights(network: Network, path: Path) -> None:
    """Write the network's weights and statistics, atomically; a tensor that has several names once, by the first.

    Raises InputError for weights that are NaN or infinite, and leaves the file that is there as it is.
    """
    state = network.state_dict()
    require_finite(state, str(path), "training has diverged: lower the learning rate, or train in precision 32")
    first = _first_names(state)
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items() if first[name] == name}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors))  # not save_file: it writes files that only their owner may read


def load_weights(
    network: Network, path: Path, larger: bool = False, like: str | None = None, rows: ClassRows | None = None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Load a safetensors file into a network. Raises InputError if it is missing, broken, of another network, or if a
    tensor in it holds NaN or infinity.

    With `larger` the network may have whole parts, such as "fusion", and modalities that the file knows nothing of.
    Such parts stay as they are; what belongs to such a modality begins as what belongs to the modality `like`, or
    without that as what all modalities of the file share ("shared"), or else it stays as it is ("fresh"). Returned are
    the parts, and {modality: what it begins as}. `rows` puts what belongs to a class where that class is in the
    network; a part with a layer that can't be told class by class is returned as one that begins fresh. Everything
    else has to fit as ever.
    """
    if not path.is_file():
        raise InputError(f"found no weights at {path}; has the run been trained?")
    fresh: list[str] = []
    begins_as: dict[str, str] = {}
    try:
        tensors = load_file(path)
        require_finite(tensors, str(path), "take other weights (--weights) or train anew: such a network says nothing")
        own = network.state_dict()
        tensors |= {name: tensors[first] for name, first in _first_names(own).items() if first in tensors}
        if larger and tensors:
            tensors, anew = (tensors, ()) if rows is None else rows.translated(tensors, own)
            known = {name.partition(".")[0] for name in tensors}
            fresh = sorted({name.partition(".")[0] for name in own} - known)
            tensors |= {name: value for name, value in own.items() if name.partition(".")[0] in fresh}
            fresh = sorted({*fresh, *(name.partition(".")[0] for name in anew)})
            joining = [name for name in network.modalities if _of(name, own) and not _of(name, tensors)]
            shared = {name: value for name, value in tensors.items() if ".shared." in f".{name}" and name not in own}
            begins_as = dict.fromkeys(joining, like or ("shared" if shared else "fresh"))
            for modality in joining:
                tensors |= _beginning(modality, own, tensors, like, path)
            if joining:
                tensors = {name: value for name, value in tensors.items() if name not in shared}
        network.load_state_dict(tensors)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable weight file: {error}") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} holds the weights of another network: {reason}") from error
    return tuple(fresh), begins_as


def belongs_to(parameter: str, modality: str) -> bool:
    """Whether a weight, by its name, is a modality's own."""
    return f".by_modality.{modality}." in f".{parameter}"


def _of(modality: str, tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name in tensors if belongs_to(name, modality)]


def _beginning(
    modality: str, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], like: str | None, path: Path
) -> dict[str, Tensor]:
    """What a modality that the file lacks begins with: the weights of the modality `like`, or else those that all
    modalities of the file share, or its own fresh ones."""
    if like is None:
        mark = f".by_modality.{modality}."
        shared = {name: f".{name}".replace(mark, ".shared.")[1:] for name in _of(modality, own)}
        return {name: tensors.get(as_one, own[name]) for name, as_one in shared.items()}
    if not _of(like, tensors):
        raise InputError(f"{path} holds nothing of modality {like!r}, which {modality!r} is to begin as")
    return {
        name: tensors[f".{name}".replace(f".by_modality.{modality}.", f".by_modality.{like}.")[1:]]
        for name in _of(modality, own)
    }


def require_finite(tensors: Mapping[str, Tensor], where: str, advice: str) -> None:
    """Raise InputError, with `advice` on what to do, naming the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not (finite := torch.isfinite(tensor)).all():
            count = int((~finite).sum())
            raise InputError(
                f"{where}: tensor {name!r} holds NaN or infinity in {count} of {tensor.numel()} values; {advice}"
            )


def _first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """{name: the first name of the same tensor}. A network may hold one module under two names, as nnU-Net's do."""
    names: dict[tuple[object, ...], str] = {}
    return {
        name: names.setdefault((tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()), name)
        if tensor.numel()
        else name
        for name, tensor in state.items()
    }
