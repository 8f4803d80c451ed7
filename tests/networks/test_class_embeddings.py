import pytest
import torch
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.class_embeddings import ClassEmbeddings, ImageEmbedding, ModalityScale

NAMES = ("ct", "mr", "lge")
N, WIDTH, CHANNELS = 4, 6, 5


def embeddings() -> ClassEmbeddings:
    torch.manual_seed(0)
    return ClassEmbeddings(NAMES, N, WIDTH)


def trained_scale(shared: bool = False) -> ModalityScale:
    """A scale whose weights are no longer those it begins with."""
    scale = ModalityScale(NAMES, N, WIDTH, CHANNELS, shared)
    for parameter in scale.parameters():
        torch.nn.init.normal_(parameter)
    return scale


def test_every_modality_has_its_own_small_vectors() -> None:
    torch.manual_seed(0)
    E = ClassEmbeddings(NAMES, 50, 200)
    assert {name for name, _ in E.named_parameters()} == {f"by_modality.{name}.weight" for name in NAMES}
    for name in NAMES:
        assert E(name).shape == (50, 200)
        assert E(name).std().item() == pytest.approx(0.02, rel=0.05)
    assert not torch.equal(E("ct"), E("mr"))


@pytest.mark.parametrize("shared", [False, True])
def test_the_scale_begins_as_nothing(shared: bool) -> None:
    scale = ModalityScale(NAMES, N, WIDTH, CHANNELS, shared)
    x = torch.randn(3, 7, CHANNELS)
    assert torch.equal(scale.scaled(x, embeddings(), {"ct": 2, "lge": 1}), x)


def test_equation_13_in_loops() -> None:
    E, scale = embeddings(), trained_scale()
    for m in NAMES:
        layer = scale.by_modality[m]
        W_agg, P, bias = layer.aggregate.weight[0], layer.project.weight, layer.project.bias
        w = [sum(W_agg[i] * E(m)[i, k] for i in range(N)) for k in range(WIDTH)]
        w_l = torch.stack([sum(w[k] * P[c, k] for k in range(WIDTH)) + bias[c] for c in range(CHANNELS)])
        torch.testing.assert_close(scale.vector(E, m), w_l)


@pytest.mark.parametrize("tokens", [(), (7,), (2, 3), (2, 3, 4)], ids=len)
def test_each_image_gets_the_factors_of_its_modality(tokens: tuple[int, ...]) -> None:
    E, scale = embeddings(), trained_scale()
    x = torch.randn(6, *tokens, CHANNELS)
    got = scale.scaled(x, E, {"mr": 1, "ct": 3, "lge": 2})
    for i, modality in enumerate(("mr", "ct", "ct", "ct", "lge", "lge")):
        torch.testing.assert_close(got[i], x[i] * scale.vector(E, modality))
    torch.testing.assert_close(scale.scaled(x[1:4], E, {"ct": 3}), got[1:4])
    assert scale(E, {"ct": 3}).shape == (1, CHANNELS)
    assert scale(E, {"mr": 1, "ct": 3, "lge": 2}).shape == (6, CHANNELS)


@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16], ids=str)
def test_factors_near_one_are_not_rounded_under_autocast(lower: torch.dtype) -> None:
    """bfloat16 has nothing between 1 and 1 + 1 / 128, and the factors of a young network lie there."""
    E, scale = embeddings(), ModalityScale(NAMES, N, WIDTH, CHANNELS)
    moved = torch.tensor([1.001, 0.9995, 1.003, 0.999, 1.0])
    for layer in scale.by_modality.values():
        layer.project.bias.data.copy_(moved)
    x = torch.randn(2, 7, CHANNELS).to(lower).requires_grad_()
    weights = torch.randn(2, 7, CHANNELS)
    with torch.autocast("cpu", dtype=lower):
        got = scale.scaled(x, E, {"ct": 1, "mr": 1})
        (got * weights).sum().backward()
    torch.testing.assert_close(got, x.float() * moved, rtol=1e-6, atol=0)
    gradient = scale.by_modality["ct"].project.bias.grad
    torch.testing.assert_close(gradient, (weights * x)[0].sum(0), rtol=1e-6, atol=1e-6)


def test_equal_embeddings_give_equal_factors_only_where_projections_are_shared() -> None:
    E = embeddings()
    with torch.no_grad():
        E("mr").copy_(E("ct"))
    own, shared = trained_scale(), trained_scale(shared=True)
    assert torch.equal(shared.vector(E, "ct"), shared.vector(E, "mr"))
    assert not torch.allclose(own.vector(E, "ct"), own.vector(E, "mr"))
    assert not torch.allclose(shared.vector(E, "ct"), shared.vector(E, "lge"))


def test_what_a_modality_trains_is_its_own() -> None:
    E, scale = embeddings(), trained_scale()
    scale.scaled(torch.randn(2, CHANNELS), E, {"ct": 2}).square().sum().backward()
    trained = {n for m in (E, scale) for n, p in m.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert trained == {n for m in (E, scale) for n, _ in m.named_parameters() if n.startswith("by_modality.ct.")}


def test_the_first_step_moves_the_projection_although_it_begins_at_zero() -> None:
    E, scale = embeddings(), ModalityScale(NAMES, N, WIDTH, CHANNELS)
    scale.scaled(torch.randn(2, CHANNELS), E, {"ct": 2}).sum().backward()
    gradient = scale.by_modality["ct"].project.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(("dims", "channels"), [(2, 3), (3, 1)])
def test_the_image_embedding_is_two_convolutions_of_the_modality(dims: int, channels: int) -> None:
    embedding = ImageEmbedding(NAMES, channels, dims)
    assert sum(p.numel() for p in embedding.parameters()) == len(NAMES) * 2 * (channels**2 * 3**dims + channels)
    x = torch.randn(3, channels, *(5, 4, 6)[:dims])
    got = embedding(x, {"lge": 1, "ct": 2})
    assert got.shape == x.shape
    convolve = {2: F.conv2d, 3: F.conv3d}[dims]
    for part, modality in ((slice(0, 1), "lge"), (slice(1, 3), "ct")):
        first, second = embedding.by_modality[modality].first, embedding.by_modality[modality].second
        hidden = convolve(x[part], first.weight, first.bias, padding=1).clamp(min=0)
        expected = convolve(hidden, second.weight, second.bias, padding=1)
        torch.testing.assert_close(got[part], expected)
        torch.testing.assert_close(embedding(x[part], {modality: len(x[part])}), expected)


def test_a_modality_that_can_name_no_weights() -> None:
    with pytest.raises(InputError, match=r"modality 'a\.b' can't name weights"):
        ClassEmbeddings(("a.b",), N, WIDTH)
