"""Layers by the number of spatial axes, which make 2D and 3D one code path, and blocks that several networks share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.modality_layers import Groups, ModalityNorm

CONVOLUTIONS: dict[int, Callable[..., nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONVOLUTIONS: dict[int, Callable[..., nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
MAX_POOLINGS: dict[int, Callable[..., nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOLINGS: dict[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}

Before = Float[Tensor, "batch before *spatial"]
After = Float[Tensor, "batch after *spatial"]
Resized = Float[Tensor, "batch after *resized"]
Initialization = Literal["official", "he"]


def check_spatial_dims(spatial_dims: int) -> None:
    """Raise InputError for images that are neither slices (2 spatial axes) nor volumes (3)."""
    if spatial_dims not in CONVOLUTIONS:
        raise InputError(f"the network segments 2D or 3D images, got spatial_dims={spatial_dims}; take 2 or 3")


@dataclass(frozen=True)
class Layers:
    """Builds the convolutions and norms of one network for its modalities and number of spatial axes."""

    modalities: tuple[str, ...]
    spatial_dims: int
    norm_kind: str
    """A NormKind, see `ModalityNorm`."""
    modality_norm: bool
    """A norm per modality; False: one for all."""
    eps: float = 1e-3
    """What the norms add to a variance."""

    @property
    def mixed(self) -> bool:
        """Whether norms mix the modalities of a pass: only batch norm has statistics of more than one image."""
        return not self.modality_norm and self.norm_kind == "batch"

    def convolution(
        self,
        before: int,
        after: int,
        kernel: Sequence[int],
        stride: int | Sequence[int] = 1,
        dilation: int = 1,
        bias: bool = False,
    ) -> nn.Conv2d | nn.Conv3d:
        """A convolution from `before` to `after` channels, padded with zeros so that a stride of 1 keeps the size."""
        padding = tuple(dilation * (size // 2) for size in kernel)
        build = CONVOLUTIONS[self.spatial_dims]
        return build(before, after, tuple(kernel), stride, padding, dilation, bias=bias)

    def norm(self, channels: int) -> ModalityNorm:
        """The network's kind of norm over so many channels."""
        shared = not self.modality_norm
        return ModalityNorm(self.norm_kind, channels, self.modalities, self.spatial_dims, shared, eps=self.eps)


class Unit(nn.Module):
    """Convolution (plain or transposed), norm, and LeakyReLU with `slope` for negative values (None: no activation)."""

    def __init__(self, convolution: nn.Module, norm: ModalityNorm, slope: float | None) -> None:
        super().__init__()
        self.convolution, self.norm, self.slope = convolution, norm, slope

    def forward(self, x: Before, groups: Groups) -> Resized:
        """The spatial size is what the convolution makes of it."""
        x = self.norm(self.convolution(x), groups)
        return x if self.slope is None else F.leaky_relu(x, self.slope)


class Pair(nn.Module):
    """Two units, one after the other."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Before, groups: Groups) -> Resized:
        """The spatial size is what the two units make of it."""
        return self.second(self.first(x, groups), groups)


def initialize_convolutions(network: nn.Module, kind: Initialization, slope: float) -> None:
    """Draw the weights of all convolutions in `network` anew, in place; their biases become 0.

    "he": normal by fan-in (Kaiming) for LeakyReLU with `slope`. "official", as in the released code of UMMKD: normal
    with deviation 0.01, truncated at two deviations but for transposed convolutions.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            continue
        if kind == "he":
            nn.init.kaiming_normal_(module.weight, a=slope)
        elif isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.normal_(module.weight, std=0.01)
        else:
            nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
