"""Attention with relative positions decomposed per axis (MViTv2, Li et al., CVPR 2022), as SAM and SAM-Med3D have it.

For a query at (d, h, w) and a key at (i, j, k), with a table of vectors R per axis and d = channels of a head,

    A = softmax(Q K^T / sqrt(d) + B) V
    B = q(d,h,w) . R_d(d-i)  +  q(d,h,w) . R_h(h-j)  +  q(d,h,w) . R_w(w-k)                           ("intended")

The released code of SAM-Med3D adds the three terms along the wrong axes, and its weights were trained like that:

    B = q(d,h,w) . R_d(d-k)  +  q(d,h,i) . R_h(h-k)  +  q(d,h,j) . R_w(j-k)                           ("released")

A key's place along one axis is read as a query's place along another, so this is defined for cubes only. A map that
is no cube is padded to one, which nobody sees; the released code stops there.

A window that the map doesn't fill is padded with zeros. In the released code, as in SAM, these take part in the
attention (keys and values of padding are the biases of the projection); "intended" hides them.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.choices import nearest_divisor
from unpaired.errors import InputError, nearest
from unpaired.networks.window_attention import Tokens, Windows

RelativePositions = Literal["released", "intended"]

Table = Float[Tensor, "offset channel"]
"""One vector per offset along an axis, -(n-1) to n-1."""
Queries = Float[Tensor, "window head depth height width channel"]
Bias = Float[Tensor, "window head seen token"]


class DecomposedAttention(nn.Module):
    """Attention over a map of tokens in 3D: inside windows of `window` tokens per axis, or over all of it.

    With `window=None` the tables are made for a map of `grid` tokens per axis, and interpolated for any other; a window
    always reads the offsets that it has. Raises InputError for heads that don't divide the channels, and for
    `relative_positions` that are not known.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        grid: Sequence[int],
        window: int | None,
        relative_positions: str = "released",
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise InputError(
                f"{heads} heads can't share {channels} channels; take {nearest_divisor(heads, channels)} heads, or a "
                "width that they divide"
            )
        if relative_positions not in get_args(RelativePositions):
            raise InputError(
                f"relative_positions {relative_positions!r} are not known; "
                f"{nearest(relative_positions, list(get_args(RelativePositions)))}"
            )
        self.heads, self.window, self.released = heads, window, relative_positions == "released"
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        sides = tuple(grid) if window is None else (window,) * 3
        self.relative_d, self.relative_h, self.relative_w = (
            nn.Parameter(torch.zeros(2 * side - 1, channels // heads)) for side in sides
        )

    def forward(self, x: Tokens) -> Tokens:
        """Tokens of the same shape."""
        grid = x.shape[1:-1]
        windows = self.windows(grid)
        tokens = windows.split(x)
        batch, count = tokens.shape[:2]
        q, k, v = self.qkv(tokens.flatten(0, 1)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # What padding asks is thrown away; where there is one window it is known which tokens these are.
        seen = grid if count == 1 else windows.window
        bias = self.bias(q.unflatten(2, windows.window), seen)
        apart = None if self.released and self.window is not None else windows.apart(x.device)
        if apart is not None:
            hidden = _first(apart, 1, windows.window, seen).repeat(batch, 1, 1).unsqueeze(1)
            bias = bias.masked_fill(hidden, -torch.inf)
        q = _first(q, 2, windows.window, seen)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        projected = self.proj(attended.transpose(1, 2).flatten(2))
        if count == 1:
            return projected.unflatten(1, seen)
        return windows.join(projected.unflatten(0, (batch, count)))

    def windows(self, grid: Sequence[int]) -> Windows:
        """How a map of this size is cut, and what it is padded to."""
        if self.window is None:
            sides = (max(grid),) * 3 if self.released else tuple(grid)
            return Windows(tuple(grid), sides, (0, 0, 0), sides)
        if not self.released:
            return Windows.fit(grid, (self.window,) * 3, shifted=False)
        padded = tuple(-(-size // self.window) * self.window for size in grid)
        return Windows(tuple(grid), (self.window,) * 3, (0, 0, 0), padded)

    def bias(self, q: Queries, seen: Sequence[int]) -> Bias:
        """B of the module's docstring, for the queries of the first `seen` places along each axis and all keys."""
        by_depth, by_height, by_width = (
            offset_vectors(table, side, interpolated=self.window is None)
            for table, side in zip((self.relative_d, self.relative_h, self.relative_w), q.shape[2:5], strict=True)
        )
        depth, height, width = (slice(size) for size in seen)
        by_depth, by_height = by_depth[depth], by_height[height]
        rows = q[:, :, depth, height]
        here = rows[:, :, :, :, width]
        terms_d = torch.einsum("nxdhwc,doc->nxdhwo", here, by_depth)  # o: the key's place along one axis
        if self.released:
            terms_h = torch.einsum("nxdhic,hoc->nxdhio", rows, by_height)  # the query's place along w, read as i
            terms_w = torch.einsum("nxdhjc,joc->nxdhjo", rows, by_width)  # ... and as j
            bias = (
                terms_d[:, :, :, :, :, None, None, :]
                + terms_h[:, :, :, :, None, :, None, :]
                + terms_w[:, :, :, :, None, None, :, :]
            )
        else:
            terms_h = torch.einsum("nxdhwc,hoc->nxdhwo", here, by_height)
            terms_w = torch.einsum("nxdhwc,woc->nxdhwo", here, by_width[width])
            bias = terms_d[..., :, None, None] + terms_h[..., None, :, None] + terms_w[..., None, None, :]
        return bias.flatten(5).flatten(2, 4)


def offset_vectors(table: Table, side: int, interpolated: bool) -> Float[Tensor, "{side} {side} channel"]:
    """The table's vector for each pair of places (query, key) along an axis of `side` tokens.

    A table of another length is interpolated, or else read in its middle, where the small offsets are.
    """
    if interpolated:
        table = resized_table(table, 2 * side - 1)
    place = torch.arange(side, device=table.device)
    return table[place[:, None] - place[None, :] + len(table) // 2]


def resized_table(table: Table, length: int) -> Float[Tensor, "{length} channel"]:
    """A table for another number of offsets, interpolated linearly as in SAM; the same one if it has as many."""
    if len(table) == length:
        return table
    return F.interpolate(table.T.unsqueeze(0), length, mode="linear").squeeze(0).T


def _first(x: Tensor, axis: int, window: Sequence[int], seen: Sequence[int]) -> Tensor:
    """The tokens of a window, which lie along `axis`, cut to the first `seen` places along each spatial axis."""
    if tuple(window) == tuple(seen):
        return x
    inside = (slice(None),) * axis + tuple(slice(size) for size in seen)
    return x.unflatten(axis, window)[inside].flatten(axis, axis + 2)
