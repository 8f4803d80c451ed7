# pyright: reportPrivateUsage=false
# (torch keeps to itself where every operation can be answered, and the softmax of its attention)
"""What comes out of a network, found without computing: a pass on torch's meta device, less what is slow there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
NORMS = (aten.native_batch_norm.default, aten.native_group_norm.default, aten.native_layer_norm.default)
"""They return what is normalized, and its means and deviations, which only gradients need."""
ACTIVATIONS = (aten.leaky_relu.default, aten.gelu.default, aten._safe_softmax.default)
IN_PLACE = (aten.leaky_relu_.default,)


class ShapesAlone(TorchDispatchMode):
    """Inside, norms and activations on the meta device give tensors of the shape that they are given.

    torch works out the shapes of most operations at once, but takes these apart, in Python, into dozens of others.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The operation itself, but for those of this module."""
        if func in IN_PLACE and args[0].is_meta:
            return args[0]
        if func in ACTIVATIONS and args[0].is_meta:
            return torch.empty_like(args[0])
        if func in NORMS and args[0].is_meta:
            return torch.empty_like(args[0]), *(args[0].new_empty(0) for _ in range(2))
        return func(*args, **(kwargs or {}))
