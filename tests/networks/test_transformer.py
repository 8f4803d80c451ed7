"""SSC Eq. 13-15 and whole nnFormers in 3D, written out in numpy: every block, window, shift and size by its formula."""

import numpy as np
import pytest
import torch
from torch import nn

from oracles.convolution_loops import Array, Weights, below, convolve, convolve_transposed
from oracles.transformer_loops import block, gelu, layer_norm
from unpaired.networks.class_embeddings import ClassEmbeddings
from unpaired.networks.nnformer import NNFormer, NNFormerConfig
from unpaired.networks.transformer import BlockSettings, TransformerBlock

NAMES = ("ct", "mr")
N, WIDTH, C, HEADS = 3, 5, 4, 2


def moved(module: nn.Module) -> nn.Module:
    """In double precision, every weight away from the value it begins with."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.double)
    return module


def arrays(module: nn.Module) -> Weights:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items() if tensor.is_floating_point()}


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.double)


@pytest.mark.parametrize("skipped", [False, True], ids=["own", "skip"])
@pytest.mark.parametrize("shifted", [False, True], ids=["aligned", "shifted"])
def test_equations_13_to_15_in_a_volume(shifted: bool, skipped: bool) -> None:
    """Windows of 2x3x2 on 3x5x2 tokens: padded, and padded, and one window; images of two modalities in one batch."""
    window = (2, 3, 2)
    settings = BlockSettings(NAMES, 3, modality_norm=False, scale_from=(N, WIDTH))
    layer = moved(TransformerBlock(settings, C, HEADS, window, shifted, drop_path=0.0, own_query=not skipped))
    embeddings = moved(ClassEmbeddings(NAMES, N, WIDTH))
    x, skip = random(2, 3, 3, 5, 2, C)
    assert isinstance(embeddings, ClassEmbeddings)
    with torch.no_grad():
        got = layer(x, {"mr": 1, "ct": 2}, embeddings, skip if skipped else None).numpy()
    for image, modality in enumerate(("mr", "ct", "ct")):
        E, answering = embeddings(modality).detach().numpy(), skip[image].numpy() if skipped else None
        expected = block(x[image].numpy(), arrays(layer), window, shifted, E, modality, answering)
        np.testing.assert_allclose(got[image], expected, rtol=0, atol=1e-10)


WINDOWS = ((2, 4, 4), (3, 2, 2), (1, 1, 1))
PATCH, SIZE = (1, 4, 4), (3, 20, 24)
TOKENS = ((3, 5, 6), (3, 2, 3), (1, 1, 1))
"""Of each stage: in-plane alone to the second (5 and 6 halved are 2 and 3), then along every axis (3, 2, 3)."""


def nnformer() -> NNFormer:
    """As the network for thick slices, smaller, with all that SSC gives to a modality."""
    config = NNFormerConfig(
        width=4,
        depths=(2, 2, 1),
        heads=(1, 2, 2),
        windows=WINDOWS,
        patch_strides=((1, 2, 2), (1, 2, 2)),
        strides=((1, 2, 2), (2, 2, 2)),
        drop_path=0.0,
        modality_scale=True,
        image_embedding=True,
    )
    torch.manual_seed(0)
    network = moved(config.build(NAMES, 1, N, 3))
    assert isinstance(network, NNFormer)
    return network


def last(x: Array) -> Array:
    return np.moveaxis(x, 0, -1)


def first(x: Array) -> Array:
    return np.moveaxis(x, -1, 0)


def normed(x: Array, weights: Weights, name: str) -> Array:
    return layer_norm(x, below(weights, f"{name}.shared"), 1e-5)


def embedded(x: Array, weights: Weights, modality: str) -> Array:
    """SSC's image embedding, nnFormer's two projections of two convolutions each, a norm."""
    own = below(weights, f"image_embedding.by_modality.{modality}")
    x = convolve(x, below(own, "first"), (1, 1, 1), (1, 1, 1)).clip(min=0)
    x = convolve(x, below(own, "second"), (1, 1, 1), (1, 1, 1))
    for name in ("project1", "project2"):
        project = below(weights, f"encoder.{name}")
        x = gelu(convolve(x, below(project, "convolution1"), (1, 2, 2), (1, 1, 1)))
        x = first(normed(last(x), project, "norm1"))
        x = convolve(x, below(project, "convolution2"), (1, 1, 1), (1, 1, 1))
        if name == "project1":
            x = first(normed(last(gelu(x)), project, "norm2"))
    return normed(last(x), weights, "encoder.embedding_norm")


def stage(x: Array, weights: Weights, number: int, E: Array, modality: str, skip: Array | None = None) -> Array:
    """Every second block is shifted; a skip is for the first."""
    for i in range(len({name.split(".")[1] for name in weights})):
        own = below(weights, f"blocks.{i}")
        x = block(x, own, WINDOWS[number], i % 2 == 1, E, modality, skip if i == 0 else None)
    return x


def written_out(x: Array, weights: Weights, modality: str) -> dict[str, Array]:
    """All maps and logits of one image."""
    E = weights[f"class_embeddings.by_modality.{modality}.weight"]
    maps: dict[str, Array] = {}
    x, outputs = embedded(x, weights, modality), []
    # Strides and paddings of the two steps down: 5 -> 2 and 3 -> 1 need no padding, 6 -> 3 and 2 -> 1 do.
    steps = (((1, 2, 2), (0, 0, 1)), ((2, 2, 2), (0, 1, 0)))
    for number in range(3):
        if number:
            down = below(weights, f"encoder.downs.{number - 1}")
            x = last(convolve(first(normed(gelu(x), down, "norm")), below(down, "convolution"), *steps[number - 1]))
        assert x.shape[:-1] == TOKENS[number]
        x = stage(x, below(weights, f"encoder.stages.{number}"), number, E, modality)
        outputs.append(normed(x, weights, f"encoder.norms.{number}"))
    maps |= {"encoder1": outputs[0], "encoder2": outputs[1], "bottleneck": outputs[2]}
    x = outputs[2]
    for number in (1, 0):
        up = below(weights, f"decoder.ups.{number}")
        x = first(normed(x, up, "norm"))
        x = last(convolve_transposed(x, below(up, "convolution"), steps[number][0], TOKENS[number]))
        x = stage(x, below(weights, f"decoder.stages.{number}"), number, E, modality, outputs[number])
        maps[f"decoder{number + 1}"] = x
    maps = {name: first(x) for name, x in maps.items()}
    for number, (name, size) in enumerate((("logits", SIZE), ("logits/2", (3, 8, 12)))):
        head = below(weights, f"outputs.{number}")
        maps[name] = convolve_transposed(maps[f"decoder{number + 1}"], head, PATCH, size)
    return maps


def test_nnformer_in_a_volume() -> None:
    network = nnformer()
    images = dict(zip(NAMES, random(2, 1, 1, *SIZE), strict=True))
    with torch.no_grad():
        outputs = network(images)
    for modality, output in outputs.items():
        expected = written_out(images[modality][0].numpy(), arrays(network), modality)
        assert set(expected) == {*network.feature_names, "logits", "logits/2"}
        for name, maps in {**output.features, "logits": output.logits}.items():
            np.testing.assert_allclose(maps[0].numpy(), expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
