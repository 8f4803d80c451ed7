import pytest
import torch

from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import NetworkConfig

SMALL = FCNConfig(width=2, dropout=0.0)
NAMES = ("ct", "mr")


def batches(step: int) -> dict[str, Batch]:
    generator = torch.Generator().manual_seed(step)
    return {
        name: Batch(
            torch.randn(2, 1, 16, 16, generator=generator),
            torch.randint(0, 3, (2, 16, 16), generator=generator),
            torch.eye(3, dtype=torch.bool),
        )
        for name in NAMES
    }


def train(
    config: NetworkConfig, modalities: tuple[str, ...], optimizer: type[torch.optim.Optimizer]
) -> torch.nn.Module:
    torch.manual_seed(3)
    network = config.build(modalities, 1, 3, 2)
    method = SupervisedConfig().build(network, 3)
    updates = optimizer(method.parameters(), lr=1e-2)  # pyright: ignore
    for step in range(4):
        updates.zero_grad()
        method({name: batch for name, batch in batches(step).items() if name in modalities}, step / 4).loss.backward()
        updates.step()
    return network


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_together_equals_training_each_alone(optimizer: type[torch.optim.Optimizer]) -> None:
    together = train(IndependentNetworksConfig(SMALL), NAMES, optimizer).state_dict()
    for name in NAMES:
        alone = train(SMALL, (name,), optimizer).state_dict()
        of_name = {
            key.removeprefix(f"by_modality.{name}."): value for key, value in together.items() if f"y.{name}." in key
        }
        assert of_name.keys() >= alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(of_name[key], value, rtol=0, atol=1e-7)


def test_each_starts_as_if_built_alone_and_the_random_state_moves_on() -> None:
    torch.manual_seed(5)
    both = IndependentNetworksConfig(SMALL).build(NAMES, 1, 3, 2)
    after_both = torch.rand(1)
    torch.manual_seed(5)
    alone = SMALL.build(["mr"], 1, 3, 2)
    assert torch.equal(after_both, torch.rand(1))
    for copy in both.by_modality.values():
        assert all(torch.equal(a, b) for a, b in zip(copy.parameters(), alone.parameters(), strict=True))


def test_nothing_is_shared() -> None:
    network = IndependentNetworksConfig(SMALL).build(NAMES, 1, 3, 2)
    network({"ct": torch.randn(2, 1, 16, 16)})["ct"].logits.sum().backward()
    assert all(p.grad is not None for p in network.by_modality["ct"].parameters())
    assert all(p.grad is None for p in network.by_modality["mr"].parameters())


def test_an_unknown_modality() -> None:
    with pytest.raises(InputError, match="known: ct, mr"):
        IndependentNetworksConfig(SMALL).build(NAMES, 1, 3, 2)({"mri": torch.zeros(1, 1, 16, 16)})
