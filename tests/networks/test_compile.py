"""torch.compile takes all Transformers whole, without a break in the graph."""

import subprocess
import sys

import pytest

# In another process: the shape checks that this one wraps around every function are no part of the package.
CODE = """
import torch
from unpaired.networks.nnformer import NNFormerConfig
from unpaired.networks.sam_med3d import SAMMed3DConfig
from unpaired.networks.swin_unet import SwinUNetConfig

torch.manual_seed(0)
fields = {"width": 4, "depths": (1, 2), "heads": (1, 2), "drop_path": 0.0, "modality_scale": True, "concatenate": True}
for config, dims in (
    (SwinUNetConfig(window=3, **fields), 2),
    (NNFormerConfig(windows=(2, 3), strides=(2,), modality_norm=True, **fields), 3),
    (
        SAMMed3DConfig(
            width=8, depth=2, heads=2, patch=4, size=8, window=3, global_blocks=(1,), neck=8, adapter=2,
            specific_encoders=True, fusion="paired",
        ),
        3,
    ),
):
    network = config.build(["ct", "mr"], 1, 3, dims)
    size = [2 * multiple for multiple in network.size_multiples]
    images = {name: torch.randn(1, 1, *size) for name in ("ct", "mr")}
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images)["mr"].logits, network(images)["mr"].logits)
    print(config.__class__.__name__)
"""


@pytest.mark.slow
def test_they_compile_without_a_break() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout.split() == ["SwinUNetConfig", "NNFormerConfig", "SAMMed3DConfig"], done.stderr[-2000:]
