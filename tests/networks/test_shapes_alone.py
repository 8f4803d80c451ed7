"""Shapes found without computing are those that computing gives, and nothing but torch's meta device is touched."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.networks.shapes_alone import ShapesAlone

LAYERS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "batch norm": lambda: nn.BatchNorm2d(4),
    "batch norm without statistics": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "layer norm": lambda: nn.LayerNorm(6),
    "leaky": nn.LeakyReLU,
    "leaky, in place": lambda: nn.LeakyReLU(inplace=True),
    "gelu": nn.GELU,
    "attention": lambda: lambda x: F.scaled_dot_product_attention(x, x, x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_are_those_of_computing(name: str) -> None:
    image = torch.randn(2, 4, 5, 6)
    with torch.no_grad():
        with torch.device("meta"):
            weightless = LAYERS[name]()
        with ShapesAlone():
            known = weightless(image.to("meta"))
        computed = LAYERS[name]()(image.clone())
        assert (known.shape, known.dtype, known.device.type) == (computed.shape, computed.dtype, "meta")
        torch.manual_seed(0)
        with ShapesAlone():
            torch.testing.assert_close(LAYERS[name]()(image.clone()), computed, rtol=0, atol=0)


def test_what_does_not_fit_is_still_refused() -> None:
    with ShapesAlone(), pytest.raises(RuntimeError, match="channel"):
        nn.Sequential(nn.LeakyReLU(), nn.Conv2d(3, 2, 1)).to("meta")(torch.empty(1, 4, 5, 5, device="meta"))
