"""Decomposed relative positions against one query and one key at a time, in both readings."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from unpaired.errors import InputError
from unpaired.networks.decomposed_attention import DecomposedAttention, offset_vectors, resized_table

HEADS, CHANNELS = 2, 6


def attention(grid: tuple[int, int, int], window: int | None, reading: str) -> DecomposedAttention:
    """With weights that are nowhere zero."""
    generator = torch.Generator().manual_seed(3)
    layer = DecomposedAttention(CHANNELS, HEADS, grid, window, reading).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.double))
    return layer


def some_tokens(grid: tuple[int, ...], batch: int = 2) -> Tensor:
    return torch.randn(batch, *grid, CHANNELS, generator=torch.Generator().manual_seed(4), dtype=torch.double)


def window_by_loops(layer: DecomposedAttention, tokens: Tensor, real: set[tuple[int, ...]], padding_seen: bool) -> dict:
    """What attention over one padded window returns for each real token, before the last projection."""
    side, width = tokens.shape[:3], CHANNELS // HEADS
    places = list(itertools.product(*(range(n) for n in side)))
    projected = {p: layer.qkv(tokens[p]) for p in places}
    tables = (layer.relative_d, layer.relative_h, layer.relative_w)

    def vector(axis: int, query: int, key: int) -> Tensor:
        return tables[axis][query - key + len(tables[axis]) // 2]

    result = {}
    for d, h, w in sorted(real):
        heads = []
        for head in range(HEADS):

            def part(p: tuple[int, ...], which: int, head: int = head) -> Tensor:
                start = which * CHANNELS + head * width
                return projected[p][start : start + width]

            scores, values = [], []
            for i, j, k in places:
                if (i, j, k) not in real and not padding_seen:
                    continue
                q = part((d, h, w), 0)
                score = q @ part((i, j, k), 1) / math.sqrt(width)
                if layer.released:
                    score += q @ vector(0, d, k) + part((d, h, i), 0) @ vector(1, h, k)
                    score += part((d, h, j), 0) @ vector(2, j, k)
                else:
                    score += q @ (vector(0, d, i) + vector(1, h, j) + vector(2, w, k))
                scores.append(score)
                values.append(part((i, j, k), 2))
            heads.append(torch.stack(scores).softmax(0) @ torch.stack(values))
        result[d, h, w] = torch.cat(heads)
    return result


@pytest.mark.parametrize(
    ("reading", "grid", "window", "padded", "padding_seen"),
    [
        ("intended", (2, 3, 2), None, (2, 3, 2), False),
        ("released", (3, 3, 3), None, (3, 3, 3), False),
        ("released", (2, 3, 1), None, (3, 3, 3), False),  # no cube: padded to one, which nobody sees
        ("released", (2, 2, 2), 3, (3, 3, 3), True),
        ("released", (1, 2, 3), 3, (3, 3, 3), True),
        ("intended", (2, 2, 1), 3, (2, 2, 1), False),
    ],
)
def test_one_window_by_loops(
    reading: str, grid: tuple[int, int, int], window: int | None, padded: tuple[int, ...], padding_seen: bool
) -> None:
    layer = attention((3, 3, 3) if reading == "released" else grid, window, reading)
    x = some_tokens(grid)
    with torch.no_grad():
        outputs = layer(x)
        for image, output in zip(x, outputs, strict=True):
            tokens = torch.zeros(*padded, CHANNELS, dtype=torch.double)
            tokens[tuple(slice(n) for n in grid)] = image
            real = set(itertools.product(*(range(n) for n in grid)))
            for place, expected in window_by_loops(layer, tokens, real, padding_seen).items():
                torch.testing.assert_close(output[place], layer.proj(expected))


@pytest.mark.parametrize(("reading", "padding_seen"), [("released", True), ("intended", False)])
def test_several_windows_by_loops(reading: str, padding_seen: bool) -> None:
    layer, grid, side = attention((2, 2, 2), 2, reading), (3, 2, 4), 2
    x = some_tokens(grid, batch=2)
    with torch.no_grad():
        outputs = layer(x)
        for number, image in enumerate(x):
            tokens = torch.zeros(4, 2, 4, CHANNELS, dtype=torch.double)
            tokens[:3] = image
            for corner in itertools.product((0, 2), (0,), (0, 2)):
                inside = tokens[tuple(slice(c, c + side) for c in corner)]
                real = {
                    p
                    for p in itertools.product(range(side), repeat=3)
                    if all(c + o < n for c, o, n in zip(corner, p, grid, strict=True))
                }
                for place, expected in window_by_loops(layer, inside, real, padding_seen).items():
                    at = tuple(c + o for c, o in zip(corner, place, strict=True))
                    torch.testing.assert_close(outputs[number][at], layer.proj(expected))


def test_the_readings_differ_and_agree_without_tables() -> None:
    released, intended = attention((3, 3, 3), None, "released"), attention((3, 3, 3), None, "intended")
    intended.load_state_dict(released.state_dict())
    x = some_tokens((3, 3, 3))
    assert (released(x) - intended(x)).abs().max() > 1e-2
    with torch.no_grad():
        for layer in (released, intended):
            for table in (layer.relative_d, layer.relative_h, layer.relative_w):
                table.zero_()
    torch.testing.assert_close(released(x), intended(x))


@pytest.mark.parametrize("reading", ["released", "intended"])
@pytest.mark.parametrize("window", [None, 3])
def test_every_weight_is_trained(reading: str, window: int | None) -> None:
    layer = attention((2, 2, 2), window, reading)
    layer(some_tokens((2, 2, 2))).sin().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-8, name


def test_tables_of_another_length() -> None:
    table = torch.arange(-3.0, 4).unsqueeze(1).expand(7, 2)  # the offset itself, for four places
    inside = offset_vectors(table, 2, interpolated=False)
    assert inside[..., 0].tolist() == [[0, -1], [1, 0]]
    own = offset_vectors(table, 4, interpolated=True)
    assert own[0, :, 0].tolist() == [0, -1, -2, -3]
    wider = offset_vectors(table, 7, interpolated=True)[:, :, 1]
    assert wider.diagonal().abs().max() < 1e-6
    torch.testing.assert_close(wider, -wider.T)
    assert wider[6, 0] == 3
    assert resized_table(table, 7) is table


def test_fields_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="4 heads can't share 6 channels"):
        DecomposedAttention(6, 4, (2, 2, 2), None)
    with pytest.raises(InputError, match=r"'relaesed' are not known.*released"):
        DecomposedAttention(6, 2, (2, 2, 2), None, "relaesed")
