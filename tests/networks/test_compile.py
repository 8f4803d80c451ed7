"""torch.compile takes all Transformers whole, without a break in the graph; windows fall back where it can't."""

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
for config, dims, names in (  # where modalities don't meet, each is the same graph with other weights
    (SwinUNetConfig(window=3, **fields), 2, ["mr"]),
    (NNFormerConfig(windows=(2, 3), strides=(2,), modality_norm=True, **fields), 3, ["mr"]),
    (
        SAMMed3DConfig(
            width=8, depth=2, heads=2, patch=4, size=8, window=3, global_blocks=(1,), neck=8, adapter=2,
            specific_encoders=True, fusion="paired",
        ),
        3,
        ["ct", "mr"],
    ),
):
    network = config.build(["ct", "mr"], 1, 3, dims)
    size = [2 * multiple for multiple in network.size_multiples]
    images = {name: torch.randn(1, 1, *size) for name in names}
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images)["mr"].logits, network(images)["mr"].logits)
    print(config.__class__.__name__)
"""


WINDOWS = """
from unpaired.inference.engine import kernels
from unpaired.inference.engine.engine import WindowEngine
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig

network = UNetConfig(width=4, widest=8, blocks=(1, 1)).build(["ct", "mr"], 1, 3, 2).eval()
images, sizes = torch.randn(18, 1, 8, 8), []

def sound(graph, inputs):
    sizes.extend(each.shape[0] for each in inputs if each.shape[1:] == (1, 8, 8))
    return graph.forward

def wrong(graph, inputs):
    return lambda *given: [each + 1 for each in graph.forward(*given)]

def broken(graph, inputs):
    raise OSError("no compiler")

for compiler in (sound, wrong, broken):
    torch._dynamo.reset()
    kernels.COMPILER = compiler
    engine = WindowEngine(SupervisedConfig().build(network, 3).eval(), torch.device("cpu"), "compiled", report=print)
    with torch.inference_mode():  # 18 windows are a group of 16 and one of two, which is filled up
        torch.testing.assert_close(engine.predict(images, "mr"), engine.method.predict(images, "mr"))
        torch.testing.assert_close(engine.predict(images[:3], "mr"), engine.method.predict(images[:3], "mr"))
assert set(sizes) == {16}, sizes
"""
SAID = [
    "windows: 16 at once, compiled kernels, contiguous, float32",
    "engine compiled: it says something else with these weights, torch goes on without",
    "engine compiled: torch can't compile this network here (",
]


@pytest.mark.slow
def test_they_compile_without_a_break_and_windows_fall_back() -> None:
    done = subprocess.run([sys.executable, "-c", CODE + WINDOWS], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["SwinUNetConfig", "NNFormerConfig", "SAMMed3DConfig"], done.stderr[-2000:]
    assert [line.startswith(words) for line, words in zip(lines[3:], SAID, strict=True)] == [True] * 3, lines
    assert not done.returncode, done.stderr[-2000:]
