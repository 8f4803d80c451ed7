"""Which convolutions leave bfloat16 on a processor: the dtype they return, by the size of map and kernel."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unpaired.data.batch import Batch
from unpaired.inference.engine.small_maps import right_in_bfloat16
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig


def dtype_of(layer: nn.Module, *size: int, less: bool = True, device: str = "cpu") -> torch.dtype:
    with right_in_bfloat16(device, less), torch.autocast("cpu", torch.bfloat16):
        return layer(torch.randn(1, 2, *size)).dtype


@pytest.mark.parametrize(
    ("layer", "small", "large"),
    [
        (nn.Conv3d(2, 3, 3, padding=1), (2, 8, 8), (4, 8, 8)),
        (nn.Conv3d(2, 3, 3, padding=1), (3, 8, 8), (4, 8, 8)),
        (nn.Conv3d(2, 3, 3, stride=2, padding=1), (8, 8, 1), (8, 8, 4)),
        (nn.Conv3d(2, 3, (1, 3, 3), padding=(0, 1, 1)), (1, 3, 8), (1, 4, 8)),
        (nn.Conv2d(2, 3, 1, stride=(1, 2)), (4, 1), (1, 3)),
        (nn.Conv3d(2, 3, 3, padding=2, dilation=2), (8, 5, 8), (8, 6, 8)),
        (nn.Conv2d(2, 3, (3, 5), padding=(1, 2), dilation=(2, 1)), (5, 8), (6, 6)),
        (nn.ConvTranspose3d(2, 3, 2, 2), (2, 4, 4), (3, 4, 4)),
        (nn.ConvTranspose2d(2, 3, (3, 1), dilation=(2, 3)), (5, 1), (6, 1)),
    ],
)
def test_maps_no_larger_than_the_kernel(layer: nn.Module, small: tuple[int, ...], large: tuple[int, ...]) -> None:
    assert dtype_of(layer, *small) == torch.float32
    assert dtype_of(layer, *large) == torch.bfloat16


def test_kernels_of_one_voxel_never() -> None:
    assert dtype_of(nn.Conv3d(2, 3, 1), 1, 1, 1) == torch.bfloat16


def test_only_on_a_processor_in_less_than_float32() -> None:
    layer = nn.Conv3d(2, 3, 3, padding=1)
    assert dtype_of(layer, 2, 8, 8, device="cuda") == torch.bfloat16
    assert dtype_of(layer, 2, 8, 8, less=False) == torch.bfloat16


def test_named_arguments_and_a_reduced_input() -> None:
    x, kernel = torch.randn(1, 2, 2, 8), torch.randn(3, 2, 3, 3)
    with right_in_bfloat16("cpu", True), torch.autocast("cpu", torch.bfloat16):
        result = F.conv2d(input=x.bfloat16(), weight=kernel, padding=1)
    torch.testing.assert_close(result, F.conv2d(x.bfloat16().float(), kernel, padding=1))


def test_a_step_whose_deepest_map_is_two_voxels_deep() -> None:
    """All gradients are float32's up to bfloat16's rounding of the larger maps."""
    gradients = []
    images, labels = torch.randn(2, 1, 8, 8, 8), torch.randint(3, (2, 8, 8, 8))
    for less in (False, True):
        torch.manual_seed(0)
        network = UNetConfig(width=4, widest=8, blocks=(1, 1, 1)).build(("ct",), 1, 3, 3)
        method = SupervisedConfig().build(network, 3)
        with right_in_bfloat16("cpu", less), torch.autocast("cpu", torch.bfloat16, enabled=less):
            loss = method({"ct": Batch(images, labels, torch.eye(3, dtype=torch.bool))}, 0.0).loss
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None]))
    assert torch.isfinite(gradients[1]).all()
    assert F.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.99
