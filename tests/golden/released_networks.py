"""Weights and images by formula, so that a network can be compared with numbers of its released code, seeds aside.

The numbers in `released_networks.json` came from the authors' code (Swin-Unet f48f623, nnFormer d48aaeb) in evaluation
mode, with weights made by `weight` from the names in the file, for images made by `image`.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def wave(count: int, phase: float) -> Tensor:
    """`count` numbers between -1 and 1 that look irregular."""
    k = torch.arange(count, dtype=torch.float64) % 9973
    return torch.sin(1.61803398875 * k + 0.01 * k.square().remainder(617) + phase)


def weight(name: str, shape: Sequence[int]) -> Tensor:
    """The tensor of this name: around 1 for a norm's weight, small for other vectors, by fan-in for matrices."""
    phase = sum(i * ord(letter) for i, letter in enumerate(name, start=1)) % 6283 / 1000
    values = wave(math.prod(shape), phase).reshape(tuple(shape))
    if len(shape) == 1:
        return (("norm" in name and name.endswith("weight")) + 0.2 * values).float()
    if name.endswith("bias_table"):
        return values.float()
    return (values * 1.5 / math.sqrt(math.prod(shape[1:]))).float()


def image(shape: Sequence[int]) -> Tensor:
    """Images between -1 and 1."""
    return wave(math.prod(shape), 0.5).reshape(tuple(shape)).float()


def sample(output: Tensor) -> dict[str, Any]:
    """What the file holds of an output: its shape, the mean of its squares and 24 values spread over it."""
    flat = output.flatten()
    places = [round(i * (len(flat) - 1) / 23) for i in range(24)]
    return {
        "shape": list(output.shape),
        "mean_square": flat.double().square().mean().item(),
        "values": [round(value, 6) for value in flat[places].tolist()],
    }
