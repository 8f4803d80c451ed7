"""A learnable mapping from label values to classes, which the authors of SSC sketch for "multiple datasets with
different label taxonomy" (Yang et al., MIDL 2023, App. F): "we just need to introduce a learnable transformation matrix
in our proposed EAM module to learn the mapping relationships between different semantic labels". No more is said; this
is our reading of it.

The general answer to labels that differ is no matrix: where a value may stand for several classes, every loss sums
their probabilities (`unpaired.methods.losses`). That is exact if what the value covers is known to be one structure
whose parts were merged. It says too little where a value certainly is ONE class, but nobody knows which: then the
manifest can name all candidates, and this matrix T finds out. Row v holds how much label v speaks for each class:

    T[v] = softmax over the classes that v may stand for (uniform at first; 0 elsewhere),   p(v) = sum_c T[v, c] p(c)

Single classes keep their row of the identity. With a uniform row p(v) is the plain sum divided by the number of
candidates, so its gradient on the network is that of the exact sum. A value that may stand for the background or a
class that nobody looked for takes the plain sum, with T as without: its row would settle on the background, which is
most of it, and teach the network that the class is background. A row belongs to a set of candidates: values with the
same candidates share it, so T can't learn that one of them is the left kidney and another the right.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unpaired.errors import InputError
from unpaired.shapes import LabelSets


class LabelMapping(nn.Module):
    """T for `labels` label values beyond the C classes, in the order of `Dataset.label_sets()`."""

    def __init__(self, classes: int, labels: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(labels, classes))

    def forward(self, label_sets: LabelSets) -> Float[Tensor, "label class"]:
        """T, with a row for each of `label_sets`. Raises InputError if they are another number of labels."""
        labels, classes = len(self.scores), label_sets.shape[1]
        if len(label_sets) - classes != labels:
            raise InputError(
                f"label_mapping is {labels}, but {len(label_sets) - classes} of the dataset's labels stand for several "
                f"classes: --set method.label_mapping={len(label_sets) - classes}"
            )
        learned = self.scores.masked_fill(~label_sets[classes:], -torch.inf).softmax(dim=1)
        return torch.cat([torch.eye(classes, dtype=learned.dtype, device=learned.device), learned])
