"""The released SAM-Med3D: numbers of its code, and the names and shapes of its checkpoint.

The numbers in `sam_med3d.json` came from the authors' image encoder (f3de1fa), as `released_networks.py` says.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def released_state() -> dict[str, Tensor]:
    """The names of a released SAM-Med3D, narrower, with some of its prompt encoder and mask decoder."""
    generator = torch.Generator().manual_seed(5)
    width, neck, grid = 8, 8, 2
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, grid, grid, grid, width),
        "patch_embed.proj.weight": (width, 1, 4, 4, 4),
        "patch_embed.proj.bias": (width,),
    }
    for block, side in enumerate((3, grid, 3)):
        shapes |= {
            f"blocks.{block}.norm1.weight": (width,),
            f"blocks.{block}.norm1.bias": (width,),
            f"blocks.{block}.attn.rel_pos_d": (2 * side - 1, width // 2),
            f"blocks.{block}.attn.rel_pos_h": (2 * side - 1, width // 2),
            f"blocks.{block}.attn.rel_pos_w": (2 * side - 1, width // 2),
            f"blocks.{block}.attn.qkv.weight": (3 * width, width),
            f"blocks.{block}.attn.qkv.bias": (3 * width,),
            f"blocks.{block}.attn.proj.weight": (width, width),
            f"blocks.{block}.attn.proj.bias": (width,),
            f"blocks.{block}.norm2.weight": (width,),
            f"blocks.{block}.norm2.bias": (width,),
            f"blocks.{block}.mlp.lin1.weight": (4 * width, width),
            f"blocks.{block}.mlp.lin1.bias": (4 * width,),
            f"blocks.{block}.mlp.lin2.weight": (width, 4 * width),
            f"blocks.{block}.mlp.lin2.bias": (width,),
        }
    shapes |= {
        "neck.0.weight": (neck, width, 1, 1, 1),
        "neck.1.weight": (neck,),
        "neck.1.bias": (neck,),
        "neck.2.weight": (neck, neck, 3, 3, 3),
        "neck.3.weight": (neck,),
        "neck.3.bias": (neck,),
    }
    state = {f"image_encoder.{name}": torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    state["prompt_encoder.no_mask_embed.weight"] = torch.zeros(1, neck)
    state["mask_decoder.transformer.layers.0.norm1.weight"] = torch.zeros(neck)
    return state
