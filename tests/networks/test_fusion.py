"""CMC's awareness and fusion, written out, and what pairing does."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unpaired.errors import InputError
from unpaired.networks.fusion import Fusion

NAMES = ("ct", "mr", "lge")
CHANNELS = 4


def fusion(partners: str, modalities: Sequence[str] = NAMES) -> Fusion:
    torch.manual_seed(0)
    return Fusion(modalities, CHANNELS, partners).double()


def some_maps(images: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(images, CHANNELS, 2, 3, 2, generator=generator, dtype=torch.double)


def aware_by_hand(layer: Fusion, modality: str, x: Tensor) -> Tensor:
    """MIA of one image, place by place where its layers are."""
    part = layer.awareness[modality]
    mixed = x + F.conv3d(x[None], part.convolution1.weight, part.convolution1.bias, padding=1)[0]
    result = x.clone()
    for place in itertools.product(*(range(n) for n in x.shape[1:])):
        at = (slice(None), *place)
        score = part.convolution2.weight[:, :, 0, 0, 0] @ mixed[at] + part.convolution2.bias
        weights = score.exp() / score.exp().sum()
        result[at] += part.convolution3.weight[:, :, 0, 0, 0] @ weights + part.convolution3.bias
    return result


def fused_by_hand(layer: Fusion, x: Tensor) -> Tensor:
    """G of one image."""
    x = F.conv3d(x[None], layer.convolution1.weight, layer.convolution1.bias, padding=1)[0]
    # As many groups as channels up to eight: each channel by itself.
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, correction=0)
    x = ((x - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
    return F.conv3d(x[None], layer.convolution2.weight, layer.convolution2.bias, padding=1)[0]


def test_three_modalities_by_hand() -> None:
    layer, x = fusion("paired"), some_maps(6)
    with torch.no_grad():
        aware, output = layer(x, dict.fromkeys(NAMES, 2))
        for image in range(2):
            own = [aware_by_hand(layer, name, x[2 * n + image]) for n, name in enumerate(NAMES)]
            shared = fused_by_hand(layer, torch.stack(own).mean(0))
            for n in range(3):
                torch.testing.assert_close(aware[2 * n + image], own[n])
                torch.testing.assert_close(output[2 * n + image], own[n] + shared)


@pytest.mark.parametrize("partners", ["paired", "alone"])
def test_one_modality_is_fused_with_itself(partners: str) -> None:
    layer, x = fusion(partners), some_maps(2)
    with torch.no_grad():
        _, output = layer(x, {"mr": 2})
        for image in range(2):
            own = aware_by_hand(layer, "mr", x[image])
            torch.testing.assert_close(output[image], own + fused_by_hand(layer, own))


def test_slices_are_the_middle_of_volumes_of_one_slice() -> None:
    """In 2D it is the 3D one whose kernels see nothing above and below."""
    volumes = fusion("paired")
    slices = Fusion(NAMES, CHANNELS, "paired", spatial_dims=2).double()
    weights = {name: x[:, :, x.shape[2] // 2] if x.ndim == 5 else x for name, x in volumes.state_dict().items()}
    slices.load_state_dict(weights)
    x = some_maps(6)[:, :, :1]
    for three, two in zip(
        volumes(x, dict.fromkeys(NAMES, 2)), slices(x[:, :, 0], dict.fromkeys(NAMES, 2)), strict=True
    ):
        torch.testing.assert_close(three[:, :, 0], two)


def test_a_partner_that_is_the_same_changes_nothing() -> None:
    layer, x = fusion("paired"), some_maps(2)
    layer.awareness["mr"].load_state_dict(layer.awareness["ct"].state_dict())
    _, alone = layer(x, {"ct": 2})
    _, pair = layer(torch.cat([x, x]), {"ct": 2, "mr": 2})
    torch.testing.assert_close(pair[:2], alone)
    torch.testing.assert_close(pair[2:], alone)


def test_another_partner_changes_it_only_where_paired() -> None:
    x = some_maps(6)
    other = torch.cat([x[:2], x[4:], x[2:4]])
    for partners in ("paired", "alone"):
        layer = fusion(partners)
        _, first = layer(x[:4], {"ct": 2, "mr": 2})
        _, second = layer(other[:4], {"ct": 2, "mr": 2})
        if partners == "paired":
            assert (first[:2] - second[:2]).abs().max() > 1e-4
        else:
            torch.testing.assert_close(first[:2], second[:2])


def test_the_order_of_modalities_is_no_matter() -> None:
    layer, x = fusion("paired"), some_maps(4)
    _, in_order = layer(x, {"ct": 2, "mr": 2})
    _, swapped = layer(torch.cat([x[2:], x[:2]]), {"mr": 2, "ct": 2})
    torch.testing.assert_close(torch.cat([swapped[2:], swapped[:2]]), in_order)


def test_every_weight_is_trained() -> None:
    layer = fusion("paired")
    layer(some_maps(6), dict.fromkeys(NAMES, 2))[1].sin().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        # A norm of each channel by itself takes the first convolution's constant away.
        assert (parameter.grad.abs().max() > 1e-9) == (name != "convolution1.bias"), name


def test_what_does_not_fit() -> None:
    with pytest.raises(InputError, match=r"fusion 'lone' is not known.*alone"):
        fusion("lone")
    with pytest.raises(InputError, match=r"as many images of each modality in one step, got \{'ct': 2, 'mr': 1\}"):
        fusion("paired")(some_maps(3), {"ct": 2, "mr": 1})
    assert fusion("alone")(some_maps(3), {"ct": 2, "mr": 1})[1].shape[0] == 3
