"""The tensor shapes everybody speaks of. Spatial axes are (height, width) in 2D and (depth, height, width) in 3D.

The signatures are documentation; under pytest they are also checked (jaxtyping + beartype, see `tests/conftest.py`).
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "batch channel *spatial"]
LabelMap = Int[Tensor, "batch *spatial"]
Logits = Float[Tensor, "batch class *spatial"]
Probabilities = Float[Tensor, "batch class *spatial"]
OneHot = Float[Tensor, "batch class *spatial"]
Features = Float[Tensor, "batch channel *spatial"]
Numbers = Int[Tensor, "batch"]
LabelSets = Bool[Tensor, "label class"]
Scalar = Float[Tensor, ""]

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""What torch calls linear interpolation, by the number of spatial axes."""
