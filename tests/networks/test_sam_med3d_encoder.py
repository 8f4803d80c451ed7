"""SAM-Med3D's encoder against numbers of its released code, and what CMC adds to it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from golden.released_networks import image, weight
from golden.sam_med3d import GOLDEN
from oracles import sam_med3d_loops
from unpaired.errors import InputError
from unpaired.networks.checkpoint_names import SAM_MED3D, renamed
from unpaired.networks.sam_med3d_encoder import SAMMed3DEncoder, resized_positions
from unpaired.recipe import Optimization
from unpaired.training.optimization import build_optimizer

SMALL: dict[str, Any] = {"width": 8, "depth": 2, "heads": 2, "patch": 4, "size": 12, "window": 2, "neck": 4}
SMALL |= {"global_blocks": (1,), "relative_positions": "intended"}


def moved(encoder: SAMMed3DEncoder) -> SAMMed3DEncoder:
    """As if training had moved every weight, also those that begin at 0."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return encoder


def volumes(*size: int) -> Tensor:
    return torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(1))


def test_parameters_as_in_vit_b_ori() -> None:
    with torch.device("meta"):
        encoder = SAMMed3DEncoder()
        maps = encoder(torch.zeros(1, 1, 128, 128, 128))
    assert sum(p.numel() for p in encoder.parameters()) == 92_924_928
    assert [tuple(x.shape) for x in maps] == [(1, 768, 8, 8, 8)] * 12 + [(1, 384, 8, 8, 8)]
    tables = [len(block.attention.relative_d) for block in encoder.blocks]
    assert tables == [27, 27, 15] * 4


@pytest.mark.parametrize("name", GOLDEN)
def test_maps_of_the_released_code(name: str) -> None:
    golden = GOLDEN[name]
    encoder = SAMMed3DEncoder(**golden["fields"]).eval()
    encoder.load_state_dict(
        {renamed(key, SAM_MED3D).removeprefix("encoder."): weight(key, s) for key, s in golden["shapes"].items()}
    )
    size = golden["fields"]["size"]
    with torch.no_grad():
        output = encoder(image((1, 1, size, size, size)))[-1]
    expected = golden["output"]
    assert list(output.shape) == expected["shape"]
    assert output.double().square().mean().item() == pytest.approx(expected["mean_square"], rel=1e-5)
    flat = output.flatten()
    places = [round(i * (len(flat) - 1) / 23) for i in range(24)]
    torch.testing.assert_close(flat[places], torch.tensor(expected["values"]), rtol=0, atol=5e-6)


@pytest.mark.parametrize("reading", ["released", "intended"])
@pytest.mark.parametrize("grid", [(1, 1, 1), (3, 3, 3), (2, 5, 3)])
def test_every_multiple_of_the_patch_fits(grid: tuple[int, ...], reading: str) -> None:
    encoder = moved(SAMMed3DEncoder(**(SMALL | {"relative_positions": reading})))
    maps = encoder(volumes(*(4 * n for n in grid)))
    assert [tuple(x.shape) for x in maps] == [(2, 8, *grid)] * 2 + [(2, 4, *grid)]
    assert all(x.isfinite().all() for x in maps)


def test_positions_are_interpolated() -> None:
    places = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"), -1).unsqueeze(0)
    larger = resized_positions(places, (8, 4, 6))
    assert larger.shape == (1, 8, 4, 6, 3)
    # Linear functions stay linear away from the border, on voxel centers: (i + 0.5) / 2 - 0.5.
    torch.testing.assert_close(larger[0, 1:-1, 0, 0, 0], torch.arange(1, 7) / 2 - 0.25)
    torch.testing.assert_close(larger[0, 0, :, 0, 1], torch.arange(4.0))
    assert resized_positions(places, (4, 4, 4)) is places


def test_adapters_begin_as_if_they_were_not_there() -> None:
    torch.manual_seed(0)
    plain = SAMMed3DEncoder(**SMALL)
    adapted = SAMMed3DEncoder(**SMALL, adapter=3)
    missing, unexpected = adapted.load_state_dict(plain.state_dict(), strict=False)
    assert {name.split(".")[2] for name in missing} == {"adapter"}
    assert not unexpected
    x = volumes(8, 8, 8)
    assert torch.equal(adapted(x)[-1], plain(x)[-1])


def test_an_adapter_by_hand() -> None:
    encoder = moved(SAMMed3DEncoder(**SMALL, adapter=3))
    adapter = encoder.blocks[0].adapter
    assert adapter is not None
    x = torch.randn(2, 8)
    inner = x @ adapter.down.weight.T + adapter.down.bias
    inner = 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
    expected = x + adapter.scale.item() * (inner @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(adapter(x), expected)


@pytest.mark.parametrize("reading", ["released", "intended"])
def test_blocks_with_adapters_written_out(reading: str) -> None:
    """Windows of 2 on 3x3x3 tokens, which pad them; the second block sees all. The adapter follows the MLP's sum."""
    encoder = moved(SAMMed3DEncoder(**(SMALL | {"width": 4, "relative_positions": reading}), adapter=3)).double()
    x = volumes(12, 12, 12).double()[:1]
    with torch.no_grad():
        got = encoder(x)
    weights = {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}
    expected = sam_med3d_loops.encoder(x[0].numpy(), weights, 4, 2, (2, None), reading == "released")
    for maps, by_loops in zip(got, expected, strict=True):
        np.testing.assert_allclose(maps[0].numpy(), by_loops, rtol=1e-9, atol=1e-9)


def test_frozen_but_for_the_adapters() -> None:
    encoder = moved(SAMMed3DEncoder(**SMALL, adapter=3, frozen=True))
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in encoder.named_parameters() if ".adapter." in name}
    assert len(trained) == 2 * 5
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    decayed = Optimization(optimizer="adamw", learning_rate=0.1, weight_decay=0.5, decayed="all")
    optimizer = build_optimizer(encoder, decayed)
    encoder(volumes(8, 8, 8))[-1].sin().sum().backward()
    optimizer.step()
    for name, parameter in encoder.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in trained), name


def test_the_first_step_reaches_the_scales_and_the_second_the_rest() -> None:
    torch.manual_seed(0)
    encoder = SAMMed3DEncoder(**SMALL, adapter=3, frozen=True)
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.1)
    reached = []
    for _ in range(2):
        optimizer.zero_grad()
        encoder(volumes(8, 8, 8))[-1].sin().sum().backward()
        reached.append({n for n, p in encoder.named_parameters() if p.grad is not None and p.grad.abs().max() > 0})
        optimizer.step()
    assert reached[0] == {"blocks.0.adapter.scale", "blocks.1.adapter.scale"}
    assert reached[1] == {name for name, p in encoder.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"size": 10}, "size=10 is not a multiple of patch=4, .*; take 12$"),
        ({"global_blocks": (1, 2)}, "2 blocks count from 0 to 1"),
        ({"adapter": 0}, "adapter=0"),
        ({"window": 0}, "window=0.*; take 1 or more"),
        ({"heads": 3}, "3 heads can't share 8 channels"),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        SAMMed3DEncoder(**(SMALL | fields))
