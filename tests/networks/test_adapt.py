"""Any torch network as ours: norms per modality, tapped features, sizes found out, one-line refusals."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unpaired.errors import InputError
from unpaired.networks.adapt import AdaptedConfig, NormOfModality, split_norms
from unpaired.networks.network import NetworkConfig
from unpaired.networks.weights import load_weights, save_weights
from unpaired.recipe import from_json, to_json

NAMES = ("ct", "mr", "lge")


class Plain(nn.Module):
    """A user's network: knows nothing of modalities. Halves once; one module stands under two names."""

    def __init__(self, channels: int, classes: int, spatial_dims: int, norm: str = "batch", width: int = 4) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims]
        norms: dict[str, Any] = {
            "batch": {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[spatial_dims],
            "instance": lambda n: {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[spatial_dims](n, affine=True),
            "group": lambda n: nn.GroupNorm(2, n),
        }
        self.encoder = nn.Sequential(convolution(channels, width, 3, padding=1), norms[norm](width), nn.LeakyReLU())
        self.pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[spatial_dims](2)
        self.deeper = nn.Sequential(convolution(width, 2 * width, 3, padding=1), norms[norm](2 * width), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2)
        self.out = convolution(3 * width, classes, 1)
        self.again = self.encoder

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images' size."""
        shallow = self.again(x)
        return self.out(torch.cat([shallow, self.up(self.deeper(self.pool(shallow)))], dim=1))


def config(**changes: Any) -> AdaptedConfig:
    return AdaptedConfig(f"{__name__}:Plain", features=("encoder", "deeper.0"), **changes)


def images(dims: int, *names: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(dims)
    return {name: 1 + 3 * torch.randn(2, 1, *[8] * dims, generator=generator) for name in names}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_each_modality_runs_as_the_bare_network_with_its_own_norms(dims: int, norm: str) -> None:
    """Oracle: the bare network, given that modality's norms by hand."""
    network = config(arguments={"norm": norm}).build(NAMES, 1, 3, dims)
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    outputs = network(images(dims, *NAMES))
    for name in NAMES:
        bare = Plain(1, 3, dims, norm)
        weights = {
            key.replace(f"by_modality.{name}.", ""): value
            for key, value in network.network.state_dict().items()
            if "by_modality" not in key or f"by_modality.{name}." in key
        }
        bare.load_state_dict(weights)
        theirs = bare(images(dims, *NAMES)[name])
        torch.testing.assert_close(outputs[name].logits, theirs)
        torch.testing.assert_close(outputs[name].features["encoder"], bare.encoder(images(dims, *NAMES)[name]))
        assert list(outputs[name].features) == ["encoder", "deeper.0"]


def test_norms_are_split_once_and_everything_else_is_shared() -> None:
    network = config().build(NAMES, 1, 3, 2)
    splits = [module for module in network.modules() if isinstance(module, NormOfModality)]
    assert len(splits) == 2
    assert not any(isinstance(inner, NormOfModality) for split in splits for inner in list(split.modules())[1:])
    bare, norm_weights = Plain(1, 3, 2), 4 + 8
    count = sum(p.numel() for p in network.parameters())
    assert count == sum(p.numel() for p in bare.parameters()) + (len(NAMES) - 1) * 2 * norm_weights


def test_one_modality_moves_its_own_statistics_only() -> None:
    network = config().build(NAMES, 1, 3, 2)
    before = copy.deepcopy(network.state_dict())
    network(images(2, "mr"))
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all("by_modality.mr." in key for key in moved)


def test_row_joint_shares_the_norms_and_mixes_the_batch() -> None:
    network = config(modality_norm=False).build(NAMES, 1, 3, 2)
    given = images(2, "ct", "mr")
    bare = Plain(1, 3, 2)
    bare.load_state_dict(network.network.state_dict())
    together = bare(torch.cat([given["ct"], given["mr"]]))
    outputs = network(given)
    torch.testing.assert_close(torch.cat([outputs["ct"].logits, outputs["mr"].logits]), together)
    assert outputs["mr"].features["encoder"].shape == (2, 4, 8, 8)


def test_a_norm_without_weights_and_statistics_is_left_alone() -> None:
    stack = nn.Sequential(nn.InstanceNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.LayerNorm(3))
    split_norms(stack, NAMES)
    assert [type(module) for module in stack] == [nn.InstanceNorm2d, NormOfModality, NormOfModality]


@pytest.mark.parametrize("dims", [2, 3])
def test_it_finds_out_the_sizes_that_the_network_takes(dims: int) -> None:
    assert config().build(NAMES, 1, 3, dims).size_multiples == (2,) * dims
    with pytest.raises(InputError, match="must be multiples of"):
        config().build(NAMES, 1, 3, dims)({"ct": torch.zeros(1, 1, *[9] * dims)})


class Pooled(nn.Module):
    """Halves the first axis as often as `first` says and the second as `second` does, and comes back."""

    def __init__(self, channels: int, classes: int, spatial_dims: int, first: int, second: int) -> None:
        super().__init__()
        self.factors = (2**first, 2**second)
        self.out = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images' size, where that is a multiple of the factors."""
        return self.out(nn.functional.interpolate(nn.functional.max_pool2d(x, self.factors), scale_factor=self.factors))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 0), (6, 5)])
def test_each_axis_has_its_own_multiple(first: int, second: int) -> None:
    pooled = AdaptedConfig(f"{__name__}:Pooled", arguments={"first": first, "second": second})
    assert pooled.build(NAMES, 1, 3, 2).size_multiples == (2**first, 2**second)


def test_a_network_that_takes_no_power_of_two_up_to_64_is_refused() -> None:
    pooled = AdaptedConfig(f"{__name__}:Pooled", arguments={"first": 7, "second": 0})
    with pytest.raises(InputError, match="can't find out which image sizes it takes"):
        pooled.build(NAMES, 1, 3, 2)


def test_it_survives_the_way_through_json() -> None:
    stored = config(arguments={"norm": "group", "width": 6}, size_multiples=(4, 4))
    again = from_json(json.loads(json.dumps(to_json(stored))), trust=[__name__])
    assert again == stored
    assert hash(again) == hash(stored)
    assert isinstance(again, NetworkConfig)


def wrong_logits(channels: int, classes: int, spatial_dims: int) -> nn.Module:
    return nn.Conv2d(channels, classes + 1, 3, padding=1)


def no_module(channels: int, classes: int, spatial_dims: int) -> str:
    return "network"


def flat(channels: int, classes: int, spatial_dims: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.Flatten(), nn.Unflatten(1, (4, 8, 8)), nn.Conv2d(4, classes, 1)
    )


class TwoInputs(nn.Conv2d):
    """Wants a second argument, which nobody gives."""

    def __init__(self, channels: int, classes: int, spatial_dims: int) -> None:
        super().__init__(channels, classes, 3, padding=1)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Never reached."""
        return super().forward(x) * times


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (AdaptedConfig("nowhere"), 'expected "module:function"'),
        (AdaptedConfig("no_such_package:Net"), "No module named 'no_such_package'; install it"),
        (AdaptedConfig("torch.nn:Conv2dd"), "did you mean"),
        (AdaptedConfig(f"{__name__}:Plain", ("encodr",)), "no module 'encodr' to tap; did you mean"),
        (
            AdaptedConfig(f"{__name__}:Plain", arguments={"depth": 3}),
            r"can't be built with .*depth.*; correct network\.arguments",
        ),
        (AdaptedConfig(f"{__name__}:Plain", keywords={"channels": ""}), "can't be built with"),
        (AdaptedConfig(f"{__name__}:no_module"), "expected it to return a torch module, got str; name a class"),
        (AdaptedConfig(f"{__name__}:Plain", size_multiples=(2, 2, 2)), "expected 2 numbers"),
        (AdaptedConfig(f"{__name__}:flat"), "can't find out which image sizes it takes .RuntimeError"),
        (AdaptedConfig(f"{__name__}:TwoInputs"), "TypeError: .*missing 1 required positional argument: 'times'"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(changed: AdaptedConfig, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        changed.build(NAMES, 1, 3, 2)
    assert "\n" not in str(caught.value)


def test_outputs_that_do_not_fit_are_named() -> None:
    network = AdaptedConfig(f"{__name__}:wrong_logits").build(NAMES, 1, 3, 2)
    with pytest.raises(InputError, match=r"returned \(1, 4, 8, 8\) .* expected logits \(1, 3, 8, 8\)"):
        network({"ct": torch.zeros(1, 1, 8, 8)})
    network = AdaptedConfig(f"{__name__}:flat", ("1",), size_multiples=(8, 8)).build(NAMES, 1, 3, 2)
    with pytest.raises(InputError, match=r"feature '1' is \(1, 256\); expected \(batch, channel"):
        network({"ct": torch.zeros(1, 1, 8, 8)})


class TwiceNamed(nn.Module):
    """One convolution and norm under several names, as in `dynamic_network_architectures`; one norm used twice."""

    def __init__(self, channels: int, classes: int, spatial_dims: int) -> None:
        super().__init__()
        assert spatial_dims == 2
        self.conv, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.again = self.norm
        self.all_modules = nn.Sequential(self.conv, self.norm, nn.ReLU())
        self.output = nn.Conv2d(4, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images' size."""
        return self.output(self.again(self.all_modules(x)))


def test_one_module_under_several_names_stays_one(tmp_path: Path) -> None:
    given = AdaptedConfig(f"{__name__}:TwiceNamed")
    network = given.build(NAMES, 1, 3, 2)
    splits = {module for module in network.modules() if isinstance(module, NormOfModality)}
    assert len(splits) == 1
    inner = network.network
    assert inner.norm is inner.again is inner.all_modules[1] is splits.pop()
    outputs = network(images(2, *NAMES))
    sum(output.logits.square().sum() for output in outputs.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())

    save_weights(network, tmp_path / "weights.safetensors")
    assert len(load_file(tmp_path / "weights.safetensors")) == len({*network.parameters(), *network.buffers()})
    torch.manual_seed(99)
    again = given.build(NAMES, 1, 3, 2)
    load_weights(again, tmp_path / "weights.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


class Checkpointed(Plain):
    """Runs its encoder again in the backward pass, to spare memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images' size."""
        shallow = checkpoint(self.encoder, x, use_reentrant=False)
        return self.out(torch.cat([shallow, self.up(self.deeper(self.pool(shallow)))], dim=1))


def test_gradient_checkpointing_never_mixes_modalities_up() -> None:
    """Of the layers that run again nobody would know the modality: the last one's norms gave the others' gradients."""
    network = AdaptedConfig(f"{__name__}:Checkpointed").build(NAMES, 1, 3, 2)
    outputs = network(images(2, "ct", "mr"))
    with pytest.raises(InputError, match="switch gradient checkpointing off"):
        (outputs["ct"].logits.sum() + outputs["mr"].logits.sum()).backward()


def test_it_can_be_copied_and_read_back() -> None:
    network = config().build(NAMES, 1, 3, 2).eval()
    again = copy.deepcopy(network)
    third = config().build(NAMES, 1, 3, 2).eval()
    third.load_state_dict(network.state_dict())
    given = images(2, "mr")
    for other in (again, third):
        torch.testing.assert_close(other(given)["mr"].logits, network(given)["mr"].logits)
        assert set(other(given)["mr"].features) == {"encoder", "deeper.0"}
