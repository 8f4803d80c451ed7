"""The convolutions of nnFormer (Zhou et al., IEEE TIP 2023) between its Transformer stages: embedding, down and up.

Maps between the stages are tokens, channels last; what these layers do is told in `networks.nnformer`.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.networks.blocks import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS
from unpaired.networks.modality_layers import Groups
from unpaired.networks.transformer import BlockSettings

CONVOLVE = {2: F.conv2d, 3: F.conv3d}


class Projection(nn.Module):
    """Strided convolution, GELU, norm, convolution; and GELU, norm again unless it is the last."""

    def __init__(self, settings: BlockSettings, before: int, after: int, stride: tuple[int, ...], last: bool) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[settings.spatial_dims]
        self.convolution1 = convolution(before, after, 3, stride, padding=1)
        self.norm1 = settings.norm(after)
        self.convolution2 = convolution(after, after, 3, padding=1)
        self.norm2 = None if last else settings.norm(after)

    def forward(
        self, x: Float[Tensor, "batch before *spatial"], groups: Groups
    ) -> Float[Tensor, "batch after *reduced"]:
        """The spatial size is divided by the stride, rounded up."""
        x = F.gelu(self.convolution1(x))
        x = self.convolution2(self.norm1(x.movedim(1, -1), groups).movedim(-1, 1))
        if self.norm2 is None:
            return x
        return self.norm2(F.gelu(x).movedim(1, -1), groups).movedim(-1, 1)


class Down(nn.Module):
    """GELU, norm and a strided convolution to twice the channels."""

    def __init__(self, settings: BlockSettings, channels: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = settings.norm(channels)
        kernel = tuple(1 if step == 1 else 3 for step in stride)
        self.convolution = CONVOLUTIONS[settings.spatial_dims](channels, 2 * channels, kernel, stride)

    def forward(
        self, x: Float[Tensor, "batch *spatial channel"], groups: Groups
    ) -> Float[Tensor, "batch *halved twice"]:
        """Half the size along each axis of stride 2, odd sizes rounded down; a size of 1 stays."""
        x = self.norm(F.gelu(x), groups).movedim(-1, 1)
        layer = self.convolution
        padding = [
            0 if step == 1 or (size % 2 == 1 and size > 1) else 1
            for size, step in zip(x.shape[2:], layer.stride, strict=True)
        ]
        return CONVOLVE[x.ndim - 2](x, layer.weight, layer.bias, layer.stride, padding).movedim(1, -1)


class Up(nn.Module):
    """Norm and a transposed convolution to half the channels."""

    def __init__(self, settings: BlockSettings, channels: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = settings.norm(channels)
        self.convolution = TRANSPOSED_CONVOLUTIONS[settings.spatial_dims](channels, channels // 2, stride, stride)

    def forward(
        self, x: Float[Tensor, "batch *spatial channel"], size: Sequence[int], groups: Groups
    ) -> Float[Tensor, "batch *larger half"]:
        """To `size`, which `Down` made into that of `x`: twice as long, one more where it was odd."""
        x = self.norm(x, groups).movedim(-1, 1)
        steps = self.convolution.stride
        at_least = [step * short for step, short in zip(steps, x.shape[2:], strict=True)]
        x = self.convolution(x, output_size=[max(pair) for pair in zip(size, at_least, strict=True)])
        return x[(..., *(slice(length) for length in size))].movedim(1, -1)
