"""Weight files: what a network learned, as safetensors, which read without running any code."""

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from unpaired.errors import InputError, nearest
from unpaired.files import atomic, is_object
from unpaired.networks.class_rows import ClassRows
from unpaired.networks.deep_supervision import PART, is_auxiliary
from unpaired.networks.network import Network

UNREADABLE = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    pickle.UnpicklingError,
)
"""What torch raises where it unpickles damaged bytes, which may name anything."""


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
    the parts, and {modality: what it begins as}. Heads of deep supervision, wherever in a network they are, are such a
    part, and one that the file may have alone: nothing that predicts is lost with it. `rows` puts what belongs to a
    class where that class is in the network; a part with a layer that can't be told class by class is returned as one
    that begins fresh. Everything else has to fit as ever.
    """
    if not path.is_file():
        raise InputError(f"found no weights at {path}; has the run been trained? `unpaired train` writes them")
    fresh: tuple[str, ...] = ()
    begins_as: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    try:
        tensors = load_file(path)
        require_finite(tensors, str(path), "take other weights (--weights) or train anew: such a network says nothing")
        own = network.state_dict()
        _require_same_kinds(tensors, own, path)
        tensors |= {name: tensors[first] for name, first in _first_names(own).items() if first in tensors}
        if larger and tensors:
            tensors, fresh, begins_as = _enlarged(tensors, own, network.modalities, path, like, rows)
        network.load_state_dict(tensors)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable weight file: {error}; copy it again, or train anew") from error
    except RuntimeError as error:
        reason = _difference(tensors, network.state_dict()) or " ".join(str(error).split())[:200]
        advice = (
            "leave network, channels and dimensions as they were there, or begin with random weights "
            "(--set init_from=null)"
            if larger
            else "take the weights of this run"
        )
        raise InputError(f"{path} holds the weights of another network: {reason}; {advice}") from error
    return fresh, begins_as


def _difference(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """By which tensors those of a file are not those of a network: the first of each kind, and how many more."""
    shared = [name for name in own if name in tensors and isinstance(own[name], Tensor)]
    sizes = [name for name in shared if tensors[name].shape != own[name].shape]
    told = [
        (f"{name!r} has size {_size(tensors[name])} in the file and {_size(own[name])} in this network", len(sizes))
        for name in sizes[:1]
    ]
    for names, what in (
        ([name for name in own if name not in tensors], "is not in the file"),
        ([name for name in tensors if name not in own], "is not in this network"),
    ):
        told += [(f"{name!r} {what}", len(names)) for name in names[:1]]
    return ", ".join(text + (f" (and {count - 1} more like it)" if count > 1 else "") for text, count in told)


def _size(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "1"


def _enlarged(
    tensors: dict[str, Tensor],
    own: Mapping[str, Tensor],
    modalities: Sequence[str],
    path: Path,
    like: str | None,
    rows: ClassRows | None,
) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, str]]:
    """A file's tensors and, of what it lacks, those of `own`; parts that begin fresh, {modality: what it begins as}."""
    tensors = {name: value for name, value in tensors.items() if name in own or not is_auxiliary(name)}
    tensors, anew = (tensors, ()) if rows is None else rows.translated(tensors, own)
    joining = [name for name in modalities if _of(name, own) and not _of(name, tensors)]
    if joining and like is not None and not _of(like, tensors):
        there = sorted({name for weight in tensors for name in re.findall(r"\.by_modality\.([^.]+)\.", f".{weight}")})
        raise InputError(
            f"{path} holds nothing of modality {like!r}, which {joining[0]!r} is to begin as; {nearest(like, there)}"
        )
    known = {_part(name) for name in tensors}
    lacking = {name: value for name, value in own.items() if _part(name) not in known}
    tensors |= lacking
    fresh = tuple(sorted({_part(name) for name in (*lacking, *anew)}))
    shared = {name: value for name, value in tensors.items() if ".shared." in f".{name}" and name not in own}
    begins_as = dict.fromkeys(joining, like or ("shared" if shared else "fresh"))
    for modality in joining:
        tensors |= _beginning(modality, own, tensors, like)
    if joining:
        tensors = {name: value for name, value in tensors.items() if name not in shared}
    return tensors, fresh, begins_as


def _part(weight: str) -> str:
    """The part of a network that a weight is of, by its name; the heads that serve training alone are one."""
    return PART if is_auxiliary(weight) else weight.partition(".")[0]


def belongs_to(parameter: str, modality: str) -> bool:
    """Whether a weight, by its name, is a modality's own."""
    return f".by_modality.{modality}." in f".{parameter}"


def _of(modality: str, tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name in tensors if belongs_to(name, modality)]


def _beginning(
    modality: str, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], like: str | None
) -> dict[str, Tensor]:
    """What a modality that the file lacks begins with: the weights of the modality `like`, or else those that all
    modalities of the file share, or its own fresh ones. What the file has of neither is left out."""
    mark = f".by_modality.{modality}."
    source = ".shared." if like is None else f".by_modality.{like}."
    names = {name: f".{name}".replace(mark, source)[1:] for name in _of(modality, own)}
    if like is None:
        return {name: tensors.get(as_one, own[name]) for name, as_one in names.items()}
    return {name: tensors[of_like] for name, of_like in names.items() if of_like in tensors}


def _require_same_kinds(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """Raise InputError for whole or complex numbers where a network has floats, or the reverse: torch would convert
    them, and lose what they say, without a word."""
    for name, tensor in tensors.items():
        if name in own and tensor.is_floating_point() != own[name].is_floating_point():
            kinds = f"{own[name].dtype} as {name!r}, got {tensor.dtype}"
            raise InputError(f"{path}: expected {kinds}; take the weights as `unpaired train` wrote them")


def require_finite(state: Mapping[str, object], where: str, advice: str) -> None:
    """Raise InputError, with `advice` on what to do, naming the first tensor that holds NaN or infinity.

    What modules keep besides their tensors (`get_extra_state`) is looked through too, where it is tensors by name.
    """
    for name, tensor in state.items():
        if is_object(tensor):
            require_finite({f"{name}/{part}": of for part, of in tensor.items()}, where, advice)
        elif isinstance(tensor, Tensor) and tensor.is_floating_point() and not (finite := torch.isfinite(tensor)).all():
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
