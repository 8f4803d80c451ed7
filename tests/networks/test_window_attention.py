"""Window attention against plain loops over tokens, and the rules for maps that windows don't tile."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from unpaired.errors import InputError
from unpaired.networks.window_attention import WindowAttention, Windows, relative_index

C = 6
CASES = {
    "2D, tiled": ((4, 8), (2, 4)),
    "2D, padded": ((5, 7), (2, 3)),
    "2D, one window": ((3, 3), (4, 3)),
    "2D, one axis within the window": ((3, 8), (4, 4)),
    "3D, tiled": ((4, 2, 4), (2, 2, 2)),
    "3D, thin and padded": ((1, 5, 4), (3, 3, 2)),
    "1D": ((7,), (3,)),
}


def attention(window: tuple[int, ...], shifted: bool, **options: bool) -> WindowAttention:
    torch.manual_seed(0)
    layer = WindowAttention(C, 2, window, shifted, **options).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return layer


def loops(layer: WindowAttention, x: Tensor, query: Tensor | None = None) -> Tensor:
    """Swin Eq. 4 token by token: which tokens see each other follows from their places alone."""
    size, window, d = x.shape[1:-1], layer.window, C // 2
    shift = [w // 2 if layer.shifted and s > w else 0 for s, w in zip(size, window, strict=True)]
    sides = [2 * w - 1 for w in window]
    out = torch.zeros_like(x)
    if layer.qkv is not None:
        q, k, v = layer.qkv(x).chunk(3, -1)
    else:
        q, (k, v) = query, layer.kv(x).chunk(2, -1)
    places = list(itertools.product(*(range(s) for s in size)))

    def cell(place: tuple[int, ...]) -> list[int]:
        return [(p - s) // w for p, s, w in zip(place, shift, window, strict=True)]

    for b, here in itertools.product(range(len(x)), places):
        seen = [there for there in places if cell(there) == cell(here)]
        for head in range(2):
            part = slice(head * d, (head + 1) * d)
            scores = []
            for there in seen:
                place = 0
                for axis, side in enumerate(sides):
                    place = place * side + here[axis] - there[axis] + window[axis] - 1
                scores.append(q[(b, *here)][part] @ k[(b, *there)][part] / math.sqrt(d) + layer.bias_table[place, head])
            for share, there in zip(torch.stack(scores).softmax(0), seen, strict=True):
                out[(b, *here)][part] += share * v[(b, *there)][part]
    return layer.proj(out)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_attention_in_loops(case: str, shifted: bool) -> None:
    size, window = CASES[case]
    layer = attention(window, shifted)
    x = torch.randn(2, *size, C, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), loops(layer, x))


def test_skip_attention_in_loops() -> None:
    layer = attention((2, 3), shifted=False, own_query=False)
    x, query = torch.randn(2, 2, 5, 6, C, dtype=torch.float64).unbind()
    with torch.no_grad():
        torch.testing.assert_close(layer(x, query), loops(layer, x, query))
    assert layer.kv.weight.shape == (2 * C, C)


def test_gradients_reach_every_parameter() -> None:
    layer = attention((2, 2), shifted=True)
    layer(torch.randn(1, 4, 4, C, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in layer.parameters())
    assert (layer.bias_table.grad.abs().sum(1) > 0).all()  # every offset occurs in some window


def test_unmasked_windows_wrap_around_and_see_padding() -> None:
    """What the released ACDC network does: a token at one end sees the other end, and zeros' keys and values."""
    x = torch.randn(1, 6, C, dtype=torch.float64, requires_grad=True)
    for masked in (True, False):
        (gradient,) = torch.autograd.grad(attention((4,), shifted=True, masked=masked)(x)[0, 0].sum(), x)
        assert (gradient[0, 1] != 0).any()
        assert (gradient[0, 5] == 0).all()
    layer = attention((4,), shifted=True, masked=False)
    full = torch.cat([x, torch.zeros(1, 2, C, dtype=torch.float64)], 1).roll(-2, 1)
    tokens = full.reshape(2, 4, C)
    q, k, v = (t.reshape(2, 4, 2, 3).transpose(1, 2) for t in layer.qkv(tokens).chunk(3, -1))
    scores = q @ k.transpose(2, 3) / math.sqrt(3) + layer.bias((4,))
    joined = (scores.softmax(-1) @ v).transpose(1, 2).reshape(1, 8, C).roll(2, 1)[:, :6]
    torch.testing.assert_close(layer(x), layer.proj(joined))


def test_every_offset_has_its_place() -> None:
    index = relative_index((3, 4, 2))
    assert index.shape == (3, 4, 2, 3, 4, 2)
    assert index.min() == 0
    assert index.max() == 5 * 7 * 3 - 1
    places: dict[int, set[tuple[int, ...]]] = {}
    for here in itertools.product(range(3), range(4), range(2)):
        for there in itertools.product(range(3), range(4), range(2)):
            offset = tuple(a - b for a, b in zip(here, there, strict=True))
            places.setdefault(index[here + there].item(), set()).add(offset)
    assert len(places) == 5 * 7 * 3
    assert all(len(offsets) == 1 for offsets in places.values())


def test_the_released_index_mixes_offsets_up() -> None:
    index = relative_index((3, 5, 5), released=True)
    here, there = (2, 0, 3), (0, 4, 1)
    assert index[here + there] == (2 - 0 + 2) * 14 + (0 - 4 + 4) * 9 + (3 - 1 + 4)
    assert len(index.unique()) < 5 * 9 * 9
    assert torch.equal(relative_index((3, 5), released=True), relative_index((3, 5)))


def test_a_smaller_map_reads_the_middle_of_the_table() -> None:
    layer = attention((4, 4), shifted=False)
    assert torch.equal(layer.bias((4, 2))[0, 0], layer.bias_table.reshape(7, 7, 2).flip(0, 1)[3:, 3:5, 0].flatten())


def test_windows_are_axis_by_axis() -> None:
    windows = Windows.fit((3, 10, 8), (4, 4, 8), shifted=True)
    assert (windows.window, windows.shift, windows.padded) == ((3, 4, 8), (0, 2, 0), (3, 12, 8))
    x = torch.randn(2, 3, 10, 8, 5)
    assert windows.split(x).shape == (2, 3, 3 * 4 * 8, 5)
    assert torch.equal(windows.join(windows.split(x)), x)


def test_nobody_sees_nothing() -> None:
    """Each padded token still sees one, else the softmax is over nothing and the gradient is not a number."""
    for size, window in itertools.product(range(1, 12), range(1, 6)):
        apart = Windows.fit((size,), (window,), shifted=True).apart(torch.device("cpu"))
        assert apart is None or not apart.all(-1).any()


def test_mixed_precision() -> None:
    layer = attention((2, 2), shifted=True).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 4, 4, C)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("heads", "window", "says"),
    [(4, (2, 2), "4 heads can't share 6 channels; take 3 heads"), (2, (0, 2), "at least one token .*; take 1 or more")],
)
def test_layers_that_can_not_be(heads: int, window: tuple[int, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        WindowAttention(C, heads, window)
