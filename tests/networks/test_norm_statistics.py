"""Running statistics taken anew are mean and variance of all batches as one, and nothing else changes."""

import copy

import pytest
import torch
from torch import nn

from unpaired.errors import InputError
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.norm_statistics import refresh_norms
from unpaired.networks.unet import UNetConfig


def images(seed: int, *modalities: str, count: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: 3 + seed + 2 * torch.randn(count, 1, 16, 16, generator=generator) for name in modalities}


def test_statistics_are_those_of_all_batches_as_one_without_dropout() -> None:
    """The last batch is one image of 5 besides 2 of 3 and 3 of 4: it counts a sixth, not a third."""
    torch.manual_seed(0)
    network = FCNConfig(width=2, dropout=0.5, initialization="he").build(("ct", "mr"), 1, 3, 2)
    batches = [images(seed, "ct", "mr", count=count) for seed, count in enumerate((2, 3, 1))]
    seen: list[torch.Tensor] = []
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    hook = norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    refresh_norms(network, iter(batches))
    hook.remove()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    every = torch.cat(seen)
    assert len(every) == 6
    torch.testing.assert_close(norm.running_mean, every.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, every.var((0, 2, 3)))
    again = copy.deepcopy(network.state_dict())
    refresh_norms(network, iter(batches))  # dropout would make it another result
    for name, value in network.state_dict().items():
        assert torch.equal(value, again[name]), name


def test_only_statistics_change_and_modes_come_back() -> None:
    torch.manual_seed(0)
    network = UNetConfig(width=4, widest=8, blocks=(1, 1), norm="batch").build(("ct", "mr"), 1, 3, 2)
    network.train()
    network.stem.eval()
    modes = {name: module.training for name, module in network.named_modules()}
    momenta = {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    before = copy.deepcopy(network.state_dict())
    refresh_norms(network, iter([images(0, "ct")]))
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("running_" in name and ".ct." in name for name in changed), changed
    assert modes == {name: module.training for name, module in network.named_modules()}
    assert momenta == {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}


def test_where_a_batch_fails_statistics_stay_what_they_were() -> None:
    network = UNetConfig(width=4, widest=8, blocks=(1, 1), norm="batch").build(("ct",), 1, 3, 2)
    before = copy.deepcopy(network.state_dict())
    two_channels = torch.zeros(1, 2, 16, 16)
    with pytest.raises(InputError, match="expected images of shape"):
        refresh_norms(network, iter([images(0, "ct"), {"ct": two_channels}]))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_without_batches_nothing_changes() -> None:
    network = UNetConfig(width=4, widest=8, blocks=(1, 1), norm="batch").build(("ct",), 1, 3, 2)
    network.train()
    network(images(1, "ct"))
    before = copy.deepcopy(network.state_dict())
    refresh_norms(network, iter(()))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_prediction_becomes_that_of_the_batchs_own_statistics() -> None:
    """One batch: evaluation mode then answers as training mode without dropout does, up to the unbiased variance."""
    torch.manual_seed(0)
    network = UNetConfig(width=4, widest=8, blocks=(1, 1), norm="batch").build(("ct",), 1, 3, 2)
    batch = images(2, "ct")
    with torch.no_grad():
        expected = network.train()(batch)["ct"].logits
        stale = network.eval()(batch)["ct"].logits
        refresh_norms(network, iter([batch]))
        fresh = network.eval()(batch)["ct"].logits
    assert (stale - expected).abs().max() > 0.1
    torch.testing.assert_close(fresh, expected, atol=0.1, rtol=0.05)
