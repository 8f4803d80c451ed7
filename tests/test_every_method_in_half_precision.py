"""Every term of every method under autocast equals the one in float32: losses are computed in full precision.

Half precision is for the network. A term that autocast computes in it can overflow (float16 ends at 65,504, a sum over
the voxels of a class passes that) or round a sum of many small numbers away, and says so nowhere.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from every_method import CONFIGS, LATE
from unpaired.data.batch import Batch
from unpaired.methods.anatomy import AnatomyConfig
from unpaired.methods.method import Method, MethodConfig, Objective
from unpaired.networks.modality_layers import ModalityNorm
from unpaired.networks.network import Network, NetworkOutput

C = 3
NAMES = ("ct", "mr", "lge")
SIDE, OFFSET = 144, 8.0
"""Over a class's third of two images of this side, logits around OFFSET add up to more than float16 holds (65,504)."""
GRADIENT_SCALE = 2.0**12
"""As Fabric's gradient scaler does in float16: the gradient of a mean over so many voxels is too small for it."""
ALTERNATIVES: dict[str, MethodConfig] = {
    "SSCConfig, auxiliary on features": replace(CONFIGS["SSCConfig"], auxiliary_grid="features", absent="skip"),
    "SSCConfig, absolute": replace(CONFIGS["SSCConfig"], distance="absolute"),
    "SSCConfig, cosine": replace(CONFIGS["SSCConfig"], distance="cosine"),
    "AnatomicalConsistencyConfig, shape": replace(
        CONFIGS["AnatomicalConsistencyConfig"], anatomy=AnatomyConfig(form="shape")
    ),
    "AnatomicalConsistencyConfig, running": replace(
        CONFIGS["AnatomicalConsistencyConfig"], anatomy=AnatomyConfig(momentum=0.9)
    ),
    "CSAConfig, literal": replace(CONFIGS["CSAConfig"], consistency="literal"),
    "CSAConfig, cross-fitted": replace(CONFIGS["CSAConfig"], estimate="cross_fitted"),
    "CSAConfig, soft masks": replace(CONFIGS["CSAConfig"], mask_resizing="area", pooling="image"),
    "KnowledgeDistillationConfig, uniform": replace(CONFIGS["KnowledgeDistillationConfig"], absent="uniform"),
    "MeanTeacherConfig, divergence": replace(CONFIGS["MeanTeacherConfig"], consistency="divergence"),
    "CMCConfig, gap": replace(CONFIGS["CMCConfig"], csc="gap"),
    "CMCReleasedConfig, rows": replace(CONFIGS["CMCReleasedConfig"], unlabeled_gradient=True),
}
"""Fields whose other values are other computations."""
ALL = CONFIGS | ALTERNATIVES


class RoundedNetwork(Network):
    """Logits and feature maps as a network under autocast returns them: rounded to `rounded`, of dtype `returned`.

    The same numbers as float16 and as float32, so that what a method makes of them can differ by its own precision
    alone. Its own sums stay in float32 under autocast, which lowers matrix products and convolutions.
    """

    def __init__(self, rounded: torch.dtype, returned: torch.dtype) -> None:
        super().__init__()
        self.modalities, self.channels, self.size_multiples = NAMES, 1, (1, 1)
        self.feature_names = ("encoder1", "encoder2")
        self.rounded, self.returned = rounded, returned
        generator = torch.Generator().manual_seed(5)
        self.weights = nn.ParameterDict(
            {
                name: torch.randn(2, channels, generator=generator)
                for name, channels in (("logits", C), ("encoder1", 4), ("encoder2", 6))
            }
        )
        self.norm = ModalityNorm("instance", 4, NAMES, 2)  # for terms of the norms themselves; no image passes it

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, NetworkOutput]:
        """For each channel a linear function of the pixel's intensity; logits are around OFFSET."""
        return {name: self.output(x) for name, x in images.items()}

    def output(self, x: Tensor) -> NetworkOutput:
        logits = self.lines("logits", x) + OFFSET
        features = {name: self.lines(name, x[:, :, ::8, ::8]) for name in self.feature_names}
        return NetworkOutput(self.round(logits), {name: self.round(maps) for name, maps in features.items()})

    def lines(self, name: str, x: Tensor) -> Tensor:
        slopes, intercepts = self.weights[name].reshape(2, 1, -1, 1, 1)
        return slopes * x + intercepts

    def round(self, x: Tensor) -> Tensor:
        return x.to(self.rounded).to(self.returned)


def batches() -> dict[str, Batch]:
    """Two labeled and two unlabeled images of each modality: three bands, one a class, of a contrast of its own."""
    generator = torch.Generator().manual_seed(1)
    bands = (torch.arange(SIDE) * C // SIDE).expand(2, SIDE, SIDE).clone()
    label_sets = torch.eye(C, dtype=torch.bool)
    made = {}
    for contrast, name in enumerate(NAMES, start=-1):
        labels = bands.roll(7 * contrast, dims=2)
        noise = torch.randn(2, 2, 1, SIDE, SIDE, generator=generator)
        images, unlabeled = noise + contrast * labels.unsqueeze(1)
        made[name] = Batch(images, labels, label_sets, unlabeled)
    return made


@contextmanager
def autocast(dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast to `dtype` as Fabric's mixed precision does; None: none."""
    with nullcontext() if dtype is None else torch.autocast("cpu", dtype):
        yield


def stepped(config: MethodConfig, rounded: torch.dtype, half: bool) -> tuple[Method, Objective]:
    """The method after a step, and the objective of its second one with gradients of GRADIENT_SCALE times its loss."""
    torch.manual_seed(0)
    method = config.build(RoundedNetwork(rounded, rounded if half else torch.float32), C)
    data = batches()
    with torch.no_grad(), autocast(rounded if half else None):
        method(data, LATE)
        method.after_step()
        for parameter in method.network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    with autocast(rounded if half else None):
        objective = method(data, LATE)
    (GRADIENT_SCALE * objective.loss).backward()
    return method, objective


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", sorted(ALL))
def test_every_term_is_that_of_float32(name: str, dtype: torch.dtype) -> None:
    """Terms may differ by the order of float32's sums alone; gradients are rounded once, where they enter the network.

    There each voxel's is off by at most eps / 2 of itself. Weights sum them: errors cancel more than the values do, and
    a tenth of eps is seen; eps is allowed.
    """
    method, objective = stepped(ALL[name], dtype, half=True)
    reference, expected = stepped(ALL[name], dtype, half=False)
    assert objective.terms.keys() == expected.terms.keys()
    for term, value in expected.terms.items():
        assert objective.terms[term].dtype == torch.float32, term
        assert abs(value) > 1e-5, f"{term} is {value.item()}: too small to tell"
        assert objective.terms[term].item() == pytest.approx(value.item(), rel=1e-5, abs=0), term
    assert objective.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5, abs=0)
    eps = torch.finfo(dtype).eps
    for (part, got), wanted in zip(method.named_parameters(), reference.parameters(), strict=True):
        if wanted.grad is None:
            assert got.grad is None, part
            continue
        assert got.grad is not None, part
        largest = float(wanted.grad.abs().max())
        difference = float((got.grad - wanted.grad).abs().max())
        assert difference <= eps * largest, f"{part}: {difference} beside {largest}"
