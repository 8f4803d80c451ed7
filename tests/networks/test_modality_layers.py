import pytest
import torch

from unpaired.errors import InputError
from unpaired.networks.modality_layers import ChannelLayerNorm, ModalityNorm, PerModality, modality_modules

KINDS = ["batch", "instance", "group", "layer"]
SIZES = {2: (6, 5), 3: (3, 4, 5)}


def norm(kind: str, dims: int = 2, **options: object) -> ModalityNorm:
    return ModalityNorm(kind, 4, ["ct", "mr"], dims, **options)  # pyright: ignore


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_concatenated_batch_is_each_modality_alone(kind: str, dims: int) -> None:
    layer = norm(kind, dims)
    for index, parameter in enumerate(layer.parameters()):
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
    ct, mr = torch.randn(3, 4, *SIZES[dims]), 5 + 2 * torch.randn(2, 4, *SIZES[dims])
    both = layer(torch.cat([mr, ct]), {"mr": 2, "ct": 3})
    torch.testing.assert_close(both, torch.cat([layer(mr, {"mr": 2}), layer(ct, {"ct": 3})]))
    assert not torch.allclose(layer(ct, {"ct": 3}), layer(ct, {"mr": 3}))


def test_batch_norm_is_equation_1() -> None:
    x = 3 + 2 * torch.randn(4, 4, 6, 5, dtype=torch.float64)
    layer = norm("batch").double()
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = x.var((0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(layer(x, {"ct": 4}), (x - mean) / torch.sqrt(variance + 1e-3))


def test_ct_never_moves_the_statistics_of_mr() -> None:
    layer = norm("batch")
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(7 + torch.randn(4, 4, 6, 5), {"ct": 4})
    after = layer.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after if ".mr." in name)
    assert not torch.equal(after["by_modality.ct.running_mean"], before["by_modality.ct.running_mean"])


def test_running_statistics_decay_by_0_90() -> None:
    layer = norm("batch")
    layer(torch.full((2, 4, 6, 5), 10.0), {"ct": 2})
    torch.testing.assert_close(layer.state_dict()["by_modality.ct.running_mean"], torch.full((4,), 1.0))


def test_a_shared_norm_sees_the_mixed_batch() -> None:
    layer = norm("batch", shared=True)
    x = torch.cat([torch.randn(2, 4, 6, 5), 9 + torch.randn(2, 4, 6, 5)])
    out = layer(x, {"ct": 2, "mr": 2})
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)
    assert out[:2].mean() < -0.9
    assert len(list(layer.parameters())) == 2


def test_layer_norm_is_over_the_channels_of_each_position() -> None:
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    expected = (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, correction=0, keepdim=True) + 1e-3)
    torch.testing.assert_close(ChannelLayerNorm(4, eps=1e-3).double()(x), expected)


@pytest.mark.parametrize("channels", [2, 6, 7])
def test_group_norm_takes_a_divisor(channels: int) -> None:
    layer = ModalityNorm("group", channels, ["ct"], 2, norm_groups=4)
    assert layer(torch.randn(1, channels, 3, 3), {"ct": 1}).shape == (1, channels, 3, 3)


@pytest.mark.parametrize("name", ["t1.5", "", "keys", "train"])
def test_a_modality_that_cannot_name_weights(name: str) -> None:
    with pytest.raises(InputError, match=r"can't name weights.*rename it"):
        modality_modules({name: torch.nn.Identity()})


def test_an_unknown_kind() -> None:
    with pytest.raises(InputError, match="did you mean batch"):
        norm("bach")


@pytest.mark.parametrize(("kind", "count"), [("instance", 2), ("batch", 1)])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_norm_over_one_value_gets_one_line(kind: str, count: int, dims: int) -> None:
    """Patches so small that the deepest map is a single position; torch's own words were a traceback."""
    x = torch.ones(count, 4, *[1] * dims)
    with pytest.raises(InputError, match=f"{kind} norm needs more than one value .* 1x1.*larger patch size"):
        norm(kind, dims)(x, {"ct": count})
    fits = norm(kind, dims)(x.repeat_interleave(2, dim=2), {"ct": count})
    assert torch.isfinite(fits).all()
    if kind == "batch":
        assert norm(kind, dims).eval()(x, {"ct": count}).shape == x.shape


class Scaled(torch.nn.Module):
    """Two maps, scaled by `factor` and by what is given to all modalities."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor, groups: dict[str, int], shared: float) -> list[torch.Tensor]:
        assert sum(groups.values()) == len(x)
        return [self.factor * x, shared * x]


def test_each_image_goes_through_the_module_of_its_own_modality() -> None:
    layer = PerModality({"ct": Scaled(2.0), "mr": Scaled(3.0)})
    x = torch.ones(3, 1, 2, 2)
    own, shared = layer(x, {"mr": 1, "ct": 2}, 5.0)
    assert own[:, 0, 0, 0].tolist() == [3.0, 2.0, 2.0]
    assert shared[:, 0, 0, 0].tolist() == [5.0, 5.0, 5.0]
    assert layer(x, {"ct": 3}, 5.0)[0].unique().tolist() == [2.0]
