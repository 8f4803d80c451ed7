import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from oracles import structured_consistency_loops as loops
from unpaired.networks.external_attention import (
    EAMConfig,
    ExternalAttention,
    ScaleOutput,
    head_counts,
    semantic_correlations,
)

N, C, H = 3, 6, 2
PLAIN = EAMConfig(heads=(H,))


def module(config: EAMConfig = PLAIN, channels: tuple[int, ...] = (C,), width: int = C) -> ExternalAttention:
    """Weights of ordinary size, so that every choice makes a difference."""
    torch.manual_seed(0)
    attention = ExternalAttention(N, width, channels, config).double()
    for name, parameter in attention.named_parameters():
        if "norm" not in name:
            nn.init.normal_(parameter, std=0.5)
    return attention


def example(channels: int = C, grid: tuple[int, ...] = (2, 3), width: int = C) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(len(grid))
    E = torch.randn(N, width, generator=generator, dtype=torch.float64)
    maps = torch.randn(2, channels, *grid, generator=generator, dtype=torch.float64)
    return E.requires_grad_(), maps.requires_grad_()


def weights_of(attention: ExternalAttention, scale: int = 0) -> dict[str, Tensor]:
    names = {"query": "W_Q", "key": "W_K", "update.value": "W_V", "update.output": "W_O", "predict": "f_s"}
    weights = {
        letter: attention.get_parameter(f"scales.{scale}.{name}.weight")
        for name, letter in names.items()
        if scale + 1 < len(attention.scales) or not name.startswith("update")
    }
    return weights | {"f_s": weights["f_s"][0], "W_i": attention.get_parameter(f"scales.{scale}.filters.weight")}


def options(config: EAMConfig) -> Mapping[str, str | bool]:
    fields = ("norm", "auxiliary", "filtered", "gate", "aggregation", "divide_by_sqrt_d", "divide_by_sqrt_heads")
    return {name: getattr(config, name) for name in (*fields, "kernel_norm")}


def expected_scale(attention: ExternalAttention, E: Tensor, maps: Tensor, config: EAMConfig) -> list[Tensor]:
    of_images = [loops.scale_of_image(E, image, weights_of(attention), H, options(config)) for image in maps]
    return [torch.stack(part) for part in zip(*of_images, strict=True)]


def parts(output: ScaleOutput) -> list[Tensor]:
    assert output.prediction is not None
    assert output.correlations is not None
    return [output.attention, output.prediction, output.correlations]


def gradients(outputs: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    total = sum((out * torch.randn(out.shape, generator=generator)).sum() for out in outputs)
    assert isinstance(total, Tensor)
    return list(torch.autograd.grad(total, leaves))


READINGS = [
    *({"gate": g, "aggregation": a} for g, a in itertools.product(("classes", "positions"), ("l1", "heads", "l2"))),
    *({"filtered": f, "auxiliary": x} for f, x in itertools.permutations(("logits", "attention", "scaled"), 2)),
    {"norm": "post"},
    {"norm": "none", "kernel_norm": False},
    {"divide_by_sqrt_d": False, "divide_by_sqrt_heads": True},
]


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: "-".join(map(str, reading.values())))
def test_every_reading_equals_the_loops(reading: dict[str, str | bool]) -> None:
    config = replace(PLAIN, **reading)  # pyright: ignore[reportArgumentType]
    attention, (E, maps) = module(config), example()
    got = parts(attention(E, [maps])[0])
    expected = expected_scale(attention, E, maps, config)
    leaves = [E, maps, *weights_of(attention).values()]
    leaves = [leaf for leaf in leaves if leaf.is_leaf] + [attention.get_parameter("scales.0.predict.weight")]
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(gradients(got, leaves), gradients(expected, leaves))


def test_3d_equals_the_loops() -> None:
    attention, (E, maps) = module(), example(grid=(2, 1, 2))
    torch.testing.assert_close(parts(attention(E, [maps])[0]), expected_scale(attention, E, maps, PLAIN))


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
@pytest.mark.parametrize("update", ["mlp", "linear", "none"])
def test_the_next_scale_asks_with_what_the_image_has_answered(norm: str, update: str) -> None:
    """Eq. 2-5 and the reduction: E_hat of scale 1, computed in loops, is what scale 2 starts from."""
    config = EAMConfig(heads=(H, 1), norm=norm, update=update)  # pyright: ignore[reportArgumentType]
    attention, (E, maps) = module(config, (C, 4)), example()
    finer = torch.randn(2, 4, 3, 4, dtype=torch.float64)
    scale = attention.get_submodule("scales.0.update")
    images = []
    for image in maps:
        asking = torch.nn.functional.layer_norm(E, (C,)) if norm == "pre" else E
        weights = weights_of(attention)
        S = loops.attention(loops.attention_logits(asking, image, weights["W_Q"], weights["W_K"], H, True))
        collected = loops.cross_attention(S, image, weights["W_V"], weights["W_O"])
        first, ffn, ffn_norm = (getattr(scale, name) for name in ("norm", "ffn", "ffn_norm"))
        images.append(loops.updated(E, collected, norm, first, ffn, ffn_norm))
    reduce = attention.get_submodule("scales.1.reduce")
    second = attention(E, [maps, finer])[1]
    weights = weights_of(attention, 1)
    for k, E_hat in enumerate(images):
        S, prediction, R = loops.scale_of_image(reduce(E_hat), finer[k], weights, 1, options(config))
        torch.testing.assert_close([part[k] for part in parts(second)], [S, prediction, R])


def test_attention_is_over_positions_and_correlations_over_classes() -> None:
    attention, (E, maps) = module(EAMConfig(heads=(2, 1)), (C, 4)), example()
    outputs = attention(E, [maps, torch.randn(2, 4, 4, 6, dtype=torch.float64)])
    for output, positions in zip(outputs, (6, 24), strict=True):
        S, prediction, R = parts(output)
        assert S.shape[-1] == positions
        assert prediction.shape[2:].numel() == positions
        torch.testing.assert_close(S.sum(-1), torch.ones_like(S[..., 0]))
        torch.testing.assert_close(R.sum(-1), torch.ones_like(R[..., 0]))
        assert R.min() > 0


def test_correlations_by_hand() -> None:
    """Two classes, one head, two positions; class 1 is only at position 1. Kernel of class 0 is 0: all gates 1/2."""
    attention = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]])
    kernels = torch.tensor([[[0.0], [torch.log(torch.tensor(3.0)).item()]]])
    R = semantic_correlations(kernels, attention, attention, replace(PLAIN, heads=(1,), aggregation="heads"))
    # kernel of class 1: responses are log 3 * S; gate of class 1 at position 1 is 3 / (3 + sqrt 3)
    gate0, gate1 = 3**0.5 / (3**0.5 + 1), 3**0.5 / (3 + 3**0.5)
    expected = torch.tensor([[[0.5, 0.5], [0.5 * gate0 + 0.5 * gate1, 1 - gate1]]])
    torch.testing.assert_close(R, expected)


def test_the_order_of_positions_says_nothing() -> None:
    attention, (E, maps) = module(), example()
    S, prediction, R = parts(attention(E, [maps])[0])
    order = torch.randperm(6)
    shuffled = maps.flatten(2)[:, :, order].unflatten(2, maps.shape[2:])
    S2, prediction2, R2 = parts(attention(E, [shuffled])[0])
    torch.testing.assert_close(R2, R)
    torch.testing.assert_close(S2, S[..., order])
    torch.testing.assert_close(prediction2.flatten(2), prediction.flatten(2)[..., order])


def test_the_literal_filter_can_say_nothing_at_first() -> None:
    """S is about 1 / L and e_i about 0.02: with both as printed all gates are 1 / N and R is uniform."""
    torch.manual_seed(0)
    E, maps = 0.02 * torch.randn(5, 96), torch.randn(2, 96, 32, 32)
    spread = {}
    for name, config in {
        "literal": EAMConfig(filtered="attention", kernel_norm=False),
        "effective": EAMConfig(),
    }.items():
        R = ExternalAttention(5, 96, (96,), config)(E, [maps])[0].correlations
        spread[name] = (R - 1 / 5).abs().max().item()
    assert spread["literal"] < 1e-5
    assert spread["effective"] > 1000 * spread["literal"]


def test_only_what_is_used_has_weights() -> None:
    last_only = ExternalAttention(N, C, (C, 4), EAMConfig(), predicts=False, correlates=(True, False))
    names = {name.split(".weight")[0] for name, _ in last_only.named_parameters()}
    assert not any("predict" in name or "scales.1.filters" in name or "scales.1.update" in name for name in names)
    assert "scales.0.filters" in names
    output = last_only(torch.randn(N, C), [torch.randn(1, C, 2, 2), torch.randn(1, 4, 2, 2)])[1]
    assert output.prediction is None
    assert output.correlations is None


def test_every_weight_is_trained() -> None:
    attention, (E, maps) = module(EAMConfig(heads=(2, 1)), (C, 4)), example()
    outputs = attention(E, [maps, torch.randn(2, 4, 4, 6, dtype=torch.float64)])
    sum((part * torch.randn_like(part)).sum() for output in outputs for part in parts(output)[1:]).backward()
    assert not [name for name, p in attention.named_parameters() if p.grad is None or p.grad.abs().max() == 0]


@pytest.mark.parametrize(
    ("channels", "heads"),
    [((384, 192, 96), (12, 6, 3)), ((128, 256), (4, 8)), ((8, 4, 2), (2, 2, 2)), ((7, 3, 1), (1, 3, 1))],
)
def test_head_counts(channels: tuple[int, ...], heads: tuple[int, ...]) -> None:
    assert head_counts(channels) == heads
