"""The image encoder of SAM-Med3D (Wang et al., 2023): a Vision Transformer over the patches of a volume.

The layout of the released `vit_b_ori`, with width C and images of 128x128x128:

    embedding    a convolution from patches of 16x16x16 voxels to C channels, 8x8x8 tokens; learned positions are added
    blocks       x' = x + MSA(LN(x)),  y = x' + MLP(LN(x')); MSA is `DecomposedAttention`, in windows of 14 tokens but
                 for blocks 3, 6, 9 and 12, which see the whole map. The windows are larger than the map: they pad it.
    neck         1x1x1 convolution to 384 channels, layer norm, 3x3x3 convolution, layer norm

Not tied to a size: any multiple of the patch fits, positions are interpolated (trilinear; linear in the tables of the
blocks that see everything). CMC (Zhou et al., MICCAI 2024) freezes the encoder and puts an adapter behind every block.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.choices import nearest_multiple
from unpaired.errors import InputError
from unpaired.networks.decomposed_attention import DecomposedAttention
from unpaired.networks.modality_layers import ChannelLayerNorm, Groups
from unpaired.networks.transformer import MLP
from unpaired.networks.window_attention import Tokens
from unpaired.shapes import Images

EPS = 1e-6

Positions = Float[Tensor, "1 depth height width channel"]
Resized = Float[Tensor, "1 deep high wide channel"]


class Adapter(nn.Module):
    """x + s * Up(GELU(Down(x))) with `width` channels between; s is learned and begins at 0, as if there were none.

    CMC names an adapter in every block and prints no formula; this is the usual bottleneck.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width)
        self.up = nn.Linear(width, channels)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tokens) -> Tokens:
        """Same shape as `x`."""
        return x + self.scale * self.up(F.gelu(self.down(x)))


class Block(nn.Module):
    """Attention and MLP, each in front of a layer norm and around a residual; then the adapter, if there is one."""

    def __init__(self, channels: int, attention: DecomposedAttention, adapter: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=EPS)
        self.attention = attention
        self.norm2 = nn.LayerNorm(channels, eps=EPS)
        self.mlp = MLP(channels)
        self.adapter = None if adapter is None else Adapter(channels, adapter)

    def forward(self, x: Tokens) -> Tokens:
        """Same shape as `x`."""
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x if self.adapter is None else self.adapter(x)


class SAMMed3DEncoder(nn.Module):
    """See the module's docstring; without arguments it is `vit_b_ori`, 92,924,928 weights.

    `size` is what the positions are made for, in voxels; `global_blocks` counts from 0; `adapter` is the width between
    an adapter's layers (None: no adapters); with `frozen` only adapters are trained. Raises InputError for numbers that
    don't fit together.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        patch: int = 16,
        size: int = 128,
        window: int = 14,
        global_blocks: Sequence[int] = (2, 5, 8, 11),
        neck: int = 384,
        relative_positions: str = "released",
        adapter: int | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        _check(width, depth, patch, size, window, global_blocks, neck, adapter)
        grid = (size // patch,) * 3
        self.embedding = nn.Conv3d(channels, width, patch, patch)
        self.positions = nn.Parameter(torch.zeros(1, *grid, width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                DecomposedAttention(
                    width, heads, grid, None if number in global_blocks else window, relative_positions
                ),
                adapter,
            )
            for number in range(depth)
        )
        self.neck = _neck(width, neck)
        if frozen:
            self._freeze_all_but_adapters()

    def _freeze_all_but_adapters(self) -> None:
        self.requires_grad_(False)
        for block in self.blocks:
            if block.adapter is not None:
                block.adapter.requires_grad_(True)

    def forward(self, x: Images, groups: Groups | None = None) -> list[Tensor]:
        """The map after each block, then that of the neck; (batch, channel, *grid). All `groups` are treated alike."""
        x = self.embedding(x).movedim(1, -1)
        x = x + resized_positions(self.positions, x.shape[1:-1])
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            maps.append(x.movedim(-1, 1))
        return [*maps, self.neck(maps[-1])]


def _neck(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(before, after, 1, bias=False),
        ChannelLayerNorm(after, eps=EPS),
        nn.Conv3d(after, after, 3, padding=1, bias=False),
        ChannelLayerNorm(after, eps=EPS),
    )


def resized_positions(positions: Positions, grid: Sequence[int]) -> Resized:
    """Position embeddings for a map of another size, interpolated (trilinear); the same ones for their own size."""
    if tuple(positions.shape[1:-1]) == tuple(grid):
        return positions
    return F.interpolate(positions.movedim(-1, 1), tuple(grid), mode="trilinear").movedim(1, -1)


def _check(
    width: int,
    depth: int,
    patch: int,
    size: int,
    window: int,
    global_blocks: Sequence[int],
    neck: int,
    adapter: int | None,
) -> None:
    if min(width, depth, patch, size, window, neck, 1 if adapter is None else adapter) < 1:
        raise InputError(
            "expected positive numbers (adapter: or None), got "
            f"width={width}, depth={depth}, patch={patch}, size={size}, window={window}, neck={neck}, "
            f"adapter={adapter}; take 1 or more"
        )
    if size % patch:
        raise InputError(
            f"size={size} is not a multiple of patch={patch}, and positions are made for whole patches; take "
            f"{nearest_multiple(size, patch)}"
        )
    if any(not 0 <= number < depth for number in global_blocks):
        raise InputError(
            f"global_blocks={tuple(global_blocks)} names blocks that are not there; {depth} blocks count from 0 to "
            f"{depth - 1}"
        )
