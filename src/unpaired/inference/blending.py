"""Overlapping windows blended into boxes: a box is given out as soon as no window to come reaches into it.

Along one axis, what the next window does not reach into is final, and the rest is carried to that window. What is final
along the innermost axis is a window of the axis around it. So what is held is, in full planes, as much as two windows
share along the first axis; one window deep, what they share along the second; and one window along the third.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from unpaired.data.restore import Box


@dataclass(frozen=True)
class Sums:
    """Weighted probabilities added up over a part of a volume, and behind them, as one class more, the weights' sums.

    `start` is the part's first voxel, `values` are (class + 1, *size).
    """

    start: tuple[int, int, int]
    values: Tensor


def blended(windows: Iterable[Sums], starts: Sequence[Sequence[int]], shape: Sequence[int]) -> Iterator[Box]:
    """The weighted averages of windows, in boxes that fill a volume of `shape`, in the windows' order.

    Windows lie at every combination of the `starts` of the three axes, the last axis running fastest; each axis' begin
    with 0 and its last window ends with the volume. The windows' values are changed.
    """
    for axis in (2, 1, 0):
        windows = _added(windows, axis, starts[axis], shape)
    for sums in windows:
        yield Box(sums.start, (sums.values[:-1] / sums.values[-1]).numpy())


def _added(parts: Iterable[Sums], axis: int, starts: Sequence[int], shape: Sequence[int]) -> Iterator[Sums]:
    """The sums that are final along one axis. Inner axes are final already, along outer ones parts are windows."""
    following = dict(zip(starts, [*starts[1:], shape[axis]], strict=True))
    carried = torch.empty(0)
    for part in parts:
        start, values = part.start, part.values
        length = values.shape[axis + 1]
        final = following[start[axis]] - start[axis]
        along = zip(start[axis + 1 :], values.shape[axis + 2 :], strict=True)
        inner = [slice(first, first + size) for first, size in along]
        here = (slice(None), *[slice(None)] * axis)
        if start[axis] == 0:
            if not any(start[axis + 1 :]):
                most = max((before + length - after for before, after in pairwise(starts)), default=0)
                size = (*values.shape[: axis + 1], most, *shape[axis + 1 :])
                carried = carried if carried.shape == size else torch.empty(size)
        else:
            before = starts[starts.index(start[axis]) - 1]
            shared = before + length - start[axis]
            values.narrow(axis + 1, 0, shared).add_(carried[(*here, slice(0, shared), *inner)])
        if length > final:
            carried[(*here, slice(0, length - final), *inner)] = values.narrow(axis + 1, final, length - final)
        yield replace(part, values=values.narrow(axis + 1, 0, final))
