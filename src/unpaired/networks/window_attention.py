"""Shifted-window multi-head attention (Swin Transformer, Liu et al., ICCV 2021), in 2D and 3D as one code path.

A map of tokens is cut into windows; inside each window, with a learned bias B for every offset between two tokens,

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d) + B) V                                                 (Swin Eq. 4)

Every other layer moves the windows by half their size along each axis; what then shares a window without being
neighbors is masked. Three rules hold for any size of map and any number of axes:

- An axis that is no longer than the window is one window, unmoved. The released Swin-Unet and nnFormer, which are
  built for one size, give the same windows at that size; on other maps they let the shortest axis decide for all.
- A map that the windows don't tile is padded at its end; padding is seen by nobody.
- The bias table belongs to the full window. A smaller window reads the middle of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from unpaired.choices import nearest_divisor
from unpaired.errors import InputError

Tokens = Float[Tensor, "batch *spatial channel"]
"""A map of tokens, channels last: each linear layer of a Transformer works along the last axis."""


class WindowAttention(nn.Module):
    """Attention inside windows of `window` tokens per axis; `shifted` moves them by half.

    `own_query=False` is nnFormer's skip attention: keys and values come from one map, and another map is the query as
    it is, without a projection. `masked=False` and `released_index=True` repeat what the released nnFormer does, for
    its weights: see `NNFormerConfig`. Raises InputError if `heads` doesn't divide `channels`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window: Sequence[int],
        shifted: bool = False,
        own_query: bool = True,
        masked: bool = True,
        released_index: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise InputError(
                f"{heads} heads can't share {channels} channels; take {nearest_divisor(heads, channels)} heads, or a "
                "width that they divide"
            )
        if min(window) < 1:
            raise InputError(f"a window needs at least one token along each axis, got {tuple(window)}; take 1 or more")
        self.heads, self.window, self.shifted, self.masked = heads, tuple(window), shifted, masked
        self.qkv = nn.Linear(channels, 3 * channels) if own_query else None
        self.kv = None if own_query else nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.bias_table = nn.Parameter(torch.empty(math.prod(2 * size - 1 for size in window), heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        # Follows from the window, so it is not stored with the weights.
        self.index: Tensor
        self.register_buffer("index", relative_index(self.window, released_index), persistent=False)

    def forward(self, x: Tokens, query: Tokens | None = None) -> Tokens:
        """Tokens of the same shape. `query` is for skip attention only, and of the same shape too."""
        windows = Windows.fit(x.shape[1:-1], self.window, self.shifted)
        tokens = windows.split(x)
        if self.qkv is not None:
            q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        else:
            assert self.kv is not None  # one of the two is always there
            assert query is not None, "skip attention needs a query"
            q = windows.split(query)
            k, v = self.kv(tokens).chunk(2, dim=-1)
        return windows.join(self.proj(self._attend(q, k, v, windows)))

    def _attend(
        self,
        q: Float[Tensor, "batch window token channel"],
        k: Float[Tensor, "batch window token channel"],
        v: Float[Tensor, "batch window token channel"],
        windows: "Windows",
    ) -> Float[Tensor, "batch window token channel"]:
        bias = self.bias(windows.window)
        apart = windows.apart(q.device) if self.masked else None
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(2, 3) for x in (q, k, v))
        batch, count = q.shape[:2]
        # The kernels want (batch, heads, tokens, channels) and a mask that repeats along the first axis or not at all.
        # Where windows differ in their mask they go to the heads, else to the batch: no mask is copied per image.
        if apart is None:
            q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        else:
            q, k, v = (x.flatten(1, 2) for x in (q, k, v))
            bias = bias.masked_fill(apart.unsqueeze(1), -math.inf).flatten(0, 1)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype).unsqueeze(0))
        return attended.reshape(batch, count, self.heads, *attended.shape[2:]).transpose(2, 3).flatten(3)

    def bias(self, window: Sequence[int]) -> Float[Tensor, "head token token"]:
        """B for a window no larger than the table's own along any axis."""
        inside = tuple(slice(size) for size in window)
        tokens = math.prod(window)
        return self.bias_table[self.index[inside + inside].reshape(tokens, tokens)].permute(2, 0, 1)


@dataclass(frozen=True)
class Windows:
    """How a map of `size` tokens is cut: windows of `window`, moved by `shift`, after padding to `padded`."""

    size: tuple[int, ...]
    window: tuple[int, ...]
    shift: tuple[int, ...]
    padded: tuple[int, ...]

    @classmethod
    def fit(cls, size: Sequence[int], window: Sequence[int], shifted: bool) -> "Windows":
        """Axis by axis: no longer than the map, and moved only where there is more than one window."""
        fitted = tuple(min(w, s) for w, s in zip(window, size, strict=True))
        shift = tuple(w // 2 if shifted and w < s else 0 for w, s in zip(window, size, strict=True))
        padded = tuple(-(-s // w) * w for s, w in zip(size, fitted, strict=True))
        return cls(tuple(size), fitted, shift, padded)

    def split(self, x: Tokens) -> Float[Tensor, "batch window token channel"]:
        """The tokens of each window, windows and tokens in row-major order."""
        ends = [0, 0]
        for size, padded in zip(reversed(self.size), reversed(self.padded), strict=True):
            ends += [0, padded - size]
        x = F.pad(x, ends) if self.padded != self.size else x
        if any(self.shift):
            x = x.roll([-shift for shift in self.shift], tuple(range(1, 1 + len(self.shift))))
        return self._cut(x)

    def join(self, windows: Float[Tensor, "batch window token channel"]) -> Tokens:
        """Put windows, as `split` cut them, back into the map that they were cut from; padding is dropped."""
        counts, dims = self._counts(), len(self.size)
        order = [axis for i in range(dims) for axis in (1 + i, 1 + dims + i)]
        x = windows.reshape(len(windows), *counts, *self.window, windows.shape[-1])
        x = x.permute(0, *order, 1 + 2 * dims).reshape(len(windows), *self.padded, windows.shape[-1])
        if any(self.shift):
            x = x.roll(self.shift, tuple(range(1, 1 + dims)))
        return x[(slice(None), *(slice(size) for size in self.size))]

    def apart(self, device: torch.device) -> Bool[Tensor, "window token token"] | None:
        """Which tokens of a window may not see each other; None where all may.

        Tokens that the shift brought around the edge are apart from those that were there, and padding from all others:
        padded tokens see each other, so that no softmax is over nothing.
        """
        if not any(self.shift) and self.padded == self.size:
            return None
        region = torch.zeros((1,) * len(self.size), dtype=torch.long, device=device)
        padding = torch.zeros_like(region, dtype=torch.bool)
        for axis, (size, shift, padded) in enumerate(zip(self.size, self.shift, self.padded, strict=True)):
            place = torch.arange(padded, device=device)
            shape = [padded if other == axis else 1 for other in range(len(self.size))]
            region = 2 * region + (place >= padded - shift).reshape(shape)
            padding = padding | ((place + shift) % padded >= size).reshape(shape)
        region = region.masked_fill(padding, -1)
        inside = self._cut(region[None, ..., None]).squeeze(-1).squeeze(0)
        return inside.unsqueeze(1) != inside.unsqueeze(2)

    def _counts(self) -> tuple[int, ...]:
        return tuple(padded // window for padded, window in zip(self.padded, self.window, strict=True))

    def _cut(self, x: Tensor) -> Tensor:
        dims = len(self.size)
        split = [length for pair in zip(self._counts(), self.window, strict=True) for length in pair]
        order = [1 + 2 * i for i in range(dims)] + [2 + 2 * i for i in range(dims)]
        x = x.reshape(len(x), *split, x.shape[-1]).permute(0, *order, 1 + 2 * dims)
        return x.reshape(len(x), math.prod(self._counts()), math.prod(self.window), x.shape[-1])


def relative_index(window: Sequence[int], released: bool = False) -> Int[Tensor, "*both"]:
    """Where the bias table holds the offset between two tokens of a window; shape (*window, *window).

    Offsets are numbered in row-major order, so each has its own place. `released=True` is nnFormer's released code in
    3D, which multiplies the first axis by `3 w - 1` and the second by `2 w - 1`, with w the window's second length:
    different offsets share places and many places stay unused. Only its released weights need that.
    """
    dims = len(window)
    places = [math.prod(2 * size - 1 for size in window[axis + 1 :]) for axis in range(dims)]
    if released and dims == 3:
        places = [3 * window[1] - 1, 2 * window[1] - 1, 1]
    index = torch.zeros((1,) * (2 * dims), dtype=torch.long)
    for axis, (size, place) in enumerate(zip(window, places, strict=True)):
        position = torch.arange(size)
        offset = position[:, None] - position[None, :] + size - 1
        shape = [size if other % dims == axis else 1 for other in range(2 * dims)]
        index = index + place * offset.reshape(shape)
    return index
