"""Convolutions that a processor gets wrong in bfloat16: of maps as small as the kernel. They are computed in float32.

torch 2.13 (oneDNN, on a processor with avx512_bf16) reads memory there that nobody wrote: for the gradient of a kernel
of 3 on a map of depth 2, for that of a strided one (of any size) on a map one pixel wide, and for the values of a
strided one on a map of depth 1. Now and then that memory holds NaN, and a run loses its loss from the deepest stage of
its network on.
Found by filling all new memory with NaN and going through sizes, strides, kernels, channels and layouts: none was wrong
whose map is larger than kernel and stride along every axis. These convolutions are the cheapest of a network.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CONVOLUTIONS: dict[Callable[..., Tensor], int] = {
    torch.conv2d: 5,
    torch.conv3d: 5,
    torch.conv_transpose2d: 7,
    torch.conv_transpose3d: 7,
}
"""Each convolution, and where its dilation stands among its arguments."""


def right_in_bfloat16(device_type: str, less: bool) -> AbstractContextManager[Any]:
    """Entered around a step or windows under autocast: what is right there in `less` than float32 stays in it.

    Nothing changes in float32 and on other devices than "cpu". Backward passes need no context of their own.
    """
    return SmallMapsInFloat32() if less and device_type == "cpu" else nullcontext()


class SmallMapsInFloat32(TorchFunctionMode):
    """Takes convolutions out of autocast whose maps are no larger than their kernel, or stride, along some axis."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch for each of its functions."""
        kwargs = kwargs or {}
        if func not in CONVOLUTIONS or not _small(args, kwargs, CONVOLUTIONS[func]):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_in_float32, args), **{name: _in_float32(value) for name, value in kwargs.items()})


def _small(args: Sequence[Any], kwargs: Mapping[str, Any], dilation_at: int) -> bool:
    """Whether along some axis the map is no longer than kernel or stride; a kernel of 1 with stride 1 doesn't count."""
    maps = args[0] if args else kwargs["input"]
    kernel = args[1] if len(args) > 1 else kwargs["weight"]
    axes = kernel.ndim - 2

    def each(position: int, name: str) -> list[int]:
        value = args[position] if len(args) > position else kwargs.get(name, 1)
        return [value] * axes if isinstance(value, int) else list(value) * (axes // len(value))

    rows = zip(kernel.shape[2:], each(3, "stride"), each(dilation_at, "dilation"), strict=True)
    reaches = [max(apart * (size - 1) + 1, stride) for size, stride, apart in rows]
    return any(reach > 1 and length <= reach for length, reach in zip(maps.shape[-axes:], reaches, strict=True))


def _in_float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value
