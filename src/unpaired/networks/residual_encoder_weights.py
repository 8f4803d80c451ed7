"""Weights of others' residual-encoder U-Nets into ours: nnU-Net's own, and the self-supervised ones of nnssl.

`UNetConfig(widest=320)` in 3D is ResEnc-L of nnssl (Wald et al., "Revisiting MAE Pre-training for 3D Medical Image
Segmentation", CVPR 2025, and "An OpenMind for 3D medical vision self-supervised learning", ICCV 2025): six stages of
32, 64, 128, 256, 320 and 320 channels and 1, 3, 4, 6, 6 and 6 residual blocks, instance norms. Its checkpoints hold the
state of `ResidualEncoderUNet` of `dynamic_network_architectures` under "network_weights". There a convolution and its
norm have a second name inside `all_modules`, and the whole encoder one inside the decoder: those are passed over.

- Stem and encoder are loaded, as nnssl's authors fine-tune. Each modality's norms or copies of a stage get them.
- The decoder is loaded where asked for: it helps if it learned to segment, where a self-supervised one painted images.
- Outputs stay fresh: they know other classes.
- The stem's weights for one channel are divided over several, the same function of an image that is repeated; of a stem
  for several, one channel gets the sum.
- Where the network has slices, or a kernel of 1 across thick ones, it gets the sum of a kernel over depth: the same
  function of a volume whose slices are all alike.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from unpaired.errors import InputError
from unpaired.networks.checkpoint_names import plain_name, residual_encoder_names
from unpaired.networks.pretrained import PretrainedReport, checkpoint_kind, fill, read_checkpoint

SECOND_NAME = re.compile(r"\.all_modules\.|^decoder\.encoder\.")
STAGE = re.compile(r"^(?:encoder\.)?stages\.(\d+)\.")


def load_into_unet(network: nn.Module, decoder: bool, path: str | Path, sha256: str | None) -> PretrainedReport:
    """Fill a U-Net in place from a checkpoint of nnU-Net's residual-encoder U-Net; `decoder`: its decoder as well.

    Raises InputError for a file that can't be read, is of another network, or has not one tensor that fits.
    """
    tensors, digest = read_checkpoint(path, sha256)
    kind = checkpoint_kind(tensors)
    if kind != "residual-encoder":
        raise InputError(
            f"{path} is not a checkpoint of a residual-encoder U-Net (it looks like {kind or 'nothing known'}); a "
            "U-Net begins with those of nnU-Net and nnssl, and with a run of yours by init_from"
        )
    reasons = {name: reason for name in tensors if (reason := _left_out(name, decoder)) is not None}
    taken = {name: tensor for name, tensor in tensors.items() if name not in reasons}
    report = fill(network, taken, [residual_encoder_names(_stages(tensors))], str(path), digest, _fitted)
    return replace(report, skipped=report.skipped | reasons)


def _stages(tensors: Mapping[str, Tensor]) -> int:
    return 1 + max(int(match[1]) for name in tensors if (match := STAGE.match(name)))


def _left_out(name: str, decoder: bool) -> str | None:
    """Why a tensor is not even tried, or None."""
    if SECOND_NAME.search(name):
        return "another name of a tensor that has been read"
    if name.startswith("decoder.seg_layers."):
        return "an output, of other classes"
    if name.startswith("decoder.") and not decoder:
        return "the decoder, which network.pretrained_decoder=true loads"
    return None


def _fitted(tensor: Tensor, shape: torch.Size, name: str, window: Sequence[int]) -> Tensor | None:
    """The tensor in the network's shape: channels of the stem and depth of kernels as the module's docstring says."""
    if not name.endswith("convolution.weight"):  # norms and biases fit or don't; upsampling has a kernel for each voxel
        return tensor if tensor.shape == shape else None
    if tensor.ndim == 5 and len(shape) == 4:
        tensor = tensor.sum(2)
    elif tensor.ndim == len(shape) == 5 and shape[2] == 1:
        tensor = tensor.sum(2, keepdim=True)
    if plain_name(name).startswith("stem.") and tensor.ndim == len(shape) and tensor.shape[1] != shape[1]:
        if tensor.shape[1] == 1:
            tensor = tensor.expand(-1, shape[1], *tensor.shape[2:]) / shape[1]
        elif shape[1] == 1:
            tensor = tensor.sum(1, keepdim=True)
    return tensor if tensor.shape == shape else None
