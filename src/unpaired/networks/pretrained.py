"""Weights that others trained: how a checkpoint is read and reported, and what of it goes into our Transformers.

A checkpoint is read with `weights_only=True` (or from safetensors): tensors, never code. Its keys are renamed to ours
by the tables of `checkpoint_names`; what has no counterpart, or another shape, is left out and said so in the report.

- Swin (ImageNet, official layout) into Swin-Unet, as its authors do: the encoder as it is, and each stage's blocks once
  more into the decoder stage of the same width. Blocks that a shallower stage lacks stay out.
- Swin into nnFormer, as its authors did: attention, MLP and norms of the same blocks, in encoder and decoder. Not the
  embedding, the steps down or, in 3D, the bias tables, which are all of another kind; nor `qkv` where a decoder block
  has keys and values only: they learned to answer projected queries, and there is no projection.
- A released Swin-Unet or nnFormer into the same network of ours, whole.
- A released SAM-Med3D: its image encoder. Prompt encoder and mask decoder stay out, there are no clicks here.
- Residual-encoder U-Nets of nnU-Net and nnssl: `networks.residual_encoder_weights`.

Bias tables of another 2D window are interpolated (bicubic, per head), and so are SAM-Med3D's positions (linear).
Index and mask tables follow from the window and are never loaded. An image channel's weights are the sum over the
checkpoint's three where the network has one: the same function as repeating the image three times. Where modalities
have encoders or norms of their own, each gets them.
"""

import argparse
import hashlib
import math
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.checkpoint_names import (
    NNFORMER,
    SAM_MED3D,
    SWIN_DECODER_BLOCKS,
    SWIN_ENCODER,
    SWIN_NNFORMER,
    Rename,
    plain_name,
    renamed,
    swin_unet_names,
)
from unpaired.networks.decomposed_attention import resized_table
from unpaired.networks.sam_med3d_encoder import resized_positions
from unpaired.networks.weights import UNREADABLE
from unpaired.networks.window_attention import WindowAttention

WHERE = "docs/how-to/networks.md says where to get them"
WRAPPERS = ("model", "state_dict", "network_weights", "model_state_dict")
PREFIXES = re.compile(r"^(module\.|_orig_mod\.|swin_unet\.|backbone\.)+")
RESIDUAL_BLOCK = re.compile(r"^(encoder\.)?stages\.\d+\.blocks\.\d+\.conv1\.conv\.weight$")
DERIVED = ("relative_position_index", "attn_mask", "relative_coords_table")

Fit = Callable[[Tensor, torch.Size, str, Sequence[int]], Tensor | None]
"""(checkpoint's tensor, shape here, name here, window of a bias table) -> the tensor in that shape, or None."""


@dataclass(frozen=True)
class PretrainedReport:
    """What became of a checkpoint's tensors, by name."""

    file: str
    sha256: str
    loaded: dict[str, str]
    """Tensor of the network: tensor of the checkpoint."""
    skipped: dict[str, str]
    """Tensor of the checkpoint that went nowhere: why."""
    fresh: tuple[str, ...]
    """Tensors of the network that the checkpoint said nothing about."""

    def as_json(self) -> dict[str, Any]:
        """For a run's record: file, hash, and reasons with how many tensors each kept out."""
        reasons: dict[str, int] = {}
        for reason in self.skipped.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        return {
            "file": self.file,
            "sha256": self.sha256,
            "loaded": len(self.loaded),
            "fresh": len(self.fresh),
            "skipped": reasons,
        }

    def __str__(self) -> str:
        """A few lines for people: counts, and why something was left out."""
        lines = [f"{self.file}: {len(self.loaded)} tensors of the network loaded, {len(self.fresh)} left as they were"]
        reasons = self.as_json()["skipped"]
        return "\n".join([*lines, *(f"  {count} left out: {reason}" for reason, count in reasons.items())])


def read_checkpoint(path: str | Path, sha256: str | None = None) -> tuple[dict[str, Tensor], str]:
    """A checkpoint's tensors by name, and the file's SHA-256; if one is given it must be that.

    Reads torch files with tensors only, and safetensors; a dict under one of WRAPPERS is opened, and prefixes such as
    "module." go. Arguments of a command line beside the tensors are read too: a `Namespace` runs nothing. Raises
    InputError for a file that is missing, another one, broken, or needs code to be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"found no checkpoint at {path}; {WHERE}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise InputError(
            f"{path} has SHA-256 {digest}, expected {sha256}; it is another file, or damaged: get it again"
        )
    safe = path.suffix == ".safetensors"
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content: Any = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, and reading that would run its code; on a machine where you trust it, "
            'save its "model", "state_dict" or "network_weights" alone, as safetensors'
        ) from error
    except (SafetensorError, *UNREADABLE) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a readable checkpoint ({reason}); get it again") from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = {
        PREFIXES.sub("", str(name)): value
        for name, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise InputError(
            f"{path}: expected tensors by name (a state dict, or one under {', '.join(WRAPPERS)}), found none; {WHERE}"
        )
    return tensors, digest


def load_into_swin_unet(network: nn.Module, stages: int, path: str | Path, sha256: str | None) -> PretrainedReport:
    """Fill a Swin-Unet in place, from ImageNet's Swin or a released Swin-Unet.

    Raises InputError for a file that can't be read, or holds neither.
    """
    tensors, digest = read_checkpoint(path, sha256)
    kind = checkpoint_kind(tensors)
    if kind == "swin-unet":
        tables = [swin_unet_names(stages)]
    elif kind == "swin":
        tables = [SWIN_ENCODER, SWIN_DECODER_BLOCKS]
    else:
        raise InputError(
            f"{path} is not a checkpoint of Swin or Swin-Unet (it looks like {kind or 'nothing known'}); {WHERE}"
        )
    return fill(network, tensors, tables, str(path), digest, _fitted)


def load_into_nnformer(
    network: nn.Module, stages: int, released_index: bool, path: str | Path, sha256: str | None
) -> PretrainedReport:
    """Fill an nnFormer in place, from a 2D Swin or a released nnFormer.

    Raises InputError for a file that can't be read or holds neither, and for released weights in a network without the
    released index (`released_index`): they would load and mean something else.
    """
    tensors, digest = read_checkpoint(path, sha256)
    kind = checkpoint_kind(tensors)
    if kind == "nnformer":
        if not released_index:
            raise InputError(
                f"{path} holds weights of the released nnFormer, which were trained with its own relative index; build "
                "the network with released=True, as in NNFormerConfig.acdc(released=True)"
            )
        tables = [NNFORMER]
    elif kind == "swin":
        last_norm = ((r"^norm\.", f"encoder.norms.{stages - 1}."),)
        tables = [(*SWIN_NNFORMER, *last_norm), SWIN_DECODER_BLOCKS]
    else:
        raise InputError(
            f"{path} is not a checkpoint of Swin or nnFormer (it looks like {kind or 'nothing known'}); {WHERE}"
        )
    return fill(network, tensors, tables, str(path), digest, _fitted)


def load_into_sam_med3d(
    network: nn.Module, released_positions: bool, path: str | Path, sha256: str | None
) -> PretrainedReport:
    """Fill the encoders of a SAM-Med3D in place, from a released SAM-Med3D or its image encoder alone.

    Raises InputError for a file that can't be read or holds none, and for a network without the released positions:
    the weights would load and mean something else.
    """
    tensors, digest = read_checkpoint(path, sha256)
    if checkpoint_kind(tensors) != "sam-med3d":
        raise InputError(
            f"{path} is not a checkpoint of SAM-Med3D (it looks like {checkpoint_kind(tensors) or 'nothing known'}); "
            f"{WHERE}"
        )
    if not released_positions:
        raise InputError(
            f"{path} holds weights of the released SAM-Med3D, which were trained with its own relative positions; set "
            'network.relative_positions to "released"'
        )
    return fill(network, tensors, [SAM_MED3D], str(path), digest, _fitted)


def checkpoint_kind(tensors: Mapping[str, Tensor]) -> str | None:
    """Which layout the names have: "swin", "swin-unet", "nnformer", "sam-med3d", "residual-encoder", or None."""
    if any(name.endswith(".attn.rel_pos_d") for name in tensors):  # SAM, in 2D, has h and w only
        return "sam-med3d"
    if any(RESIDUAL_BLOCK.search(name) for name in tensors):
        return "residual-encoder"
    for start, kind in (("model_down.", "nnformer"), ("layers_up.", "swin-unet"), ("layers.0.blocks.0.attn.", "swin")):
        if any(name.startswith(start) for name in tensors):
            return kind
    return None


def fill(
    network: nn.Module, tensors: Mapping[str, Tensor], tables: Sequence[Rename], file: str, digest: str, fit: Fit
) -> PretrainedReport:
    """Fill a network, in place, with the tensors whose name in one of the tables and shape by `fit` it has.

    Raises InputError if there is none.
    """
    targets: dict[str, list[str]] = {}
    state = network.state_dict()
    windows = {
        f"{name}.bias_table": module.window
        for name, module in network.named_modules()
        if isinstance(module, WindowAttention)
    }
    for name in state:
        if not name.startswith(("image_embedding.", "class_embeddings.")) and ".scale" not in name:
            targets.setdefault(plain_name(name), []).append(name)
    loaded: dict[str, str] = {}
    skipped: dict[str, str] = {}
    with torch.no_grad():
        for source, tensor in tensors.items():
            reasons: list[str] = []
            for name in _targets(source, tables, targets):
                fitted = fit(tensor, state[name].shape, name, windows.get(name, ()))
                if fitted is None:
                    reasons.append(f"shape {tuple(tensor.shape)} in the checkpoint, {tuple(state[name].shape)} here")
                else:
                    state[name].copy_(fitted)  # shares its memory with the network
                    loaded[name] = source
            if source not in loaded.values():
                skipped[source] = reasons[0] if reasons else _why_nowhere(source)
    if not loaded:
        reason = next(iter(skipped.values()), "it is empty")
        raise InputError(
            f"{file}: not one tensor fits this network (the first: {reason}); give the network the checkpoint's width "
            "and stages, or take another checkpoint"
        )
    return PretrainedReport(file, digest, loaded, skipped, tuple(name for name in state if name not in loaded))


def _targets(source: str, tables: Sequence[Rename], targets: Mapping[str, list[str]]) -> Iterator[str]:
    for table in tables:
        yield from targets.get(renamed(source, table), [])


def _why_nowhere(source: str) -> str:
    if source.endswith(DERIVED):
        return "follows from the window"
    return "no counterpart in the network"


def _fitted(tensor: Tensor, shape: torch.Size, name: str, window: Sequence[int]) -> Tensor | None:
    """The tensor in the network's shape, where that is possible without inventing anything; `window` of bias tables."""
    if tensor.shape == shape:
        return tensor
    if name.endswith("bias_table"):
        return resized_bias_table(tensor, window) if tensor.ndim == 2 and tensor.shape[1] == shape[1] else None
    if name.endswith(".positions"):
        fits = tensor.ndim == len(shape) and (tensor.shape[0], tensor.shape[-1]) == (shape[0], shape[-1])
        return resized_positions(tensor, shape[1:-1]) if fits else None
    if ".attention.relative_" in name:
        return resized_table(tensor, shape[0]) if tensor.ndim == 2 and tensor.shape[1] == shape[1] else None
    if name.endswith("embedding.weight") and (shape[0], 1, *shape[2:]) == shape and tensor.shape[2:] == shape[2:]:
        return tensor.sum(1, keepdim=True) if len(tensor) == shape[0] else None
    return None


def resized_bias_table(
    table: Float[Tensor, "offset head"], window: Sequence[int]
) -> Float[Tensor, "place head"] | None:
    """A 2D bias table of square windows for `window`, interpolated (bicubic) per head.

    None if `window` is not of 2D (a 3D table may have a square number of offsets too: 9x9x9), or the table not square.
    """
    before = math.isqrt(len(table))
    if before**2 != len(table) or len(window) != 2:
        return None
    maps = table.T.reshape(1, -1, before, before).float()
    return F.interpolate(maps, tuple(2 * size - 1 for size in window), mode="bicubic").flatten(2).squeeze(0).T
