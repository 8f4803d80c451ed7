"""A Transformer for several modalities made into a plain one for a single modality, with equal logits.

What SSC makes modality-specific is constant once training is over: w_l1 and w_l2 of SSC Eq. 14-15 scale what the last
linear layers of attention and FFN return, so they fold into those layers' weights,

    w * (W x + b) = (w W) x + w b,

and of encoders and norms per modality one is kept. The result is a smaller network for export and speed.
"""

from dataclasses import replace

import torch
from torch import Tensor

from unpaired.networks.checkpoint_names import plain_name
from unpaired.networks.nnformer import NNFormer
from unpaired.networks.shared_network import check_modalities
from unpaired.networks.swin_unet import SwinUNet
from unpaired.networks.transformer import TransformerBlock

OWN = "image_embedding."
"""What a plain network keeps under its modality's name."""


def fold_modality(network: SwinUNet | NNFormer, modality: str) -> SwinUNet | NNFormer:
    """A new network for this modality alone, without scales, class embeddings and other modalities' weights.

    In evaluation its logits and features are those of `network` up to rounding. `network` is left as it is. Raises
    InputError for a modality it doesn't know.
    """
    check_modalities([modality], network.modalities)
    config = replace(
        network.config, modality_scale=False, modality_norm=False, specific_encoders=False, pretrained=None
    )
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn and thrown away: nobody's random state moves
        plain = config.build([modality], network.channels, network.classes, network.spatial_dims)
    plain.to(next(network.parameters())).train(network.training)
    factors = _factors(network, modality)
    sources = {
        name if name.startswith(OWN) else plain_name(name): tensor
        for name, tensor in network.state_dict().items()
        if "by_modality." not in name or f"by_modality.{modality}." in name
    }
    weights: dict[str, Tensor] = {}
    for name in plain.state_dict():
        key = name if name.startswith(OWN) else plain_name(name)
        weights[name] = sources[key]
        layer, _, kind = key.rpartition(".")
        if layer in factors:
            factor = factors[layer]
            weights[name] = sources[key] * (factor.unsqueeze(1) if kind == "weight" else factor)
    plain.load_state_dict(weights)
    return plain


def _factors(network: SwinUNet | NNFormer, modality: str) -> dict[str, Tensor]:
    """The factor of each channel that a linear layer returns, by the layer's plain name."""
    factors: dict[str, Tensor] = {}
    if network.class_embeddings is None:
        return factors
    with torch.no_grad():
        for name, block in network.named_modules():
            if not isinstance(block, TransformerBlock) or ("by_modality." in name and f".{modality}." not in name):
                continue
            for layer, scale in (("attention.proj", block.scale1), ("mlp.fc2", block.scale2)):
                if scale is not None:
                    factors[f"{plain_name(name)}.{layer}"] = scale.vector(network.class_embeddings, modality)
    return factors
