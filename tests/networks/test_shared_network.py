"""One network over several modalities, in one pass or one each; a line for images that don't fit."""

import pytest
import torch
from torch import Tensor, nn

from unpaired.errors import InputError
from unpaired.networks.modality_layers import Groups, ModalityNorm
from unpaired.networks.network import NetworkOutput
from unpaired.networks.shared_network import SharedNetwork, check_modalities


class Tiny(SharedNetwork):
    """A convolution and a batch norm, per modality or shared; remembers the modalities of each of its passes."""

    def __init__(self, concatenate: bool | None = None, shared: bool = False) -> None:
        super().__init__()
        self.modalities, self.channels, self.feature_names, self.size_multiples = ("ct", "mr"), 1, ("map",), (2, 2)
        self.concatenate, self.mixed = concatenate, shared
        self.convolution = nn.Conv2d(1, 3, 1)
        self.norm = ModalityNorm("batch", 3, self.modalities, 2, shared)
        self.passes: list[dict[str, int]] = []

    def run(self, x: Tensor, groups: Groups) -> NetworkOutput:
        self.passes.append(dict(groups))
        maps = self.convolution(x)
        return NetworkOutput(self.norm(maps, groups), {"map": maps})


def images(sizes: tuple[int, int] = (4, 4)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    counts = {"mr": 2, "ct": 3}
    return {
        name: torch.randn(count, 1, size, size, generator=generator)
        for (name, count), size in zip(counts.items(), sizes, strict=True)
    }


def test_one_pass_over_all_is_one_for_each() -> None:
    torch.manual_seed(0)
    together, apart = Tiny(concatenate=True), Tiny(concatenate=False)
    apart.load_state_dict(together.state_dict())
    outputs, expected = together(images()), apart(images())
    assert together.passes == [{"mr": 2, "ct": 3}]
    assert apart.passes == [{"mr": 2}, {"ct": 3}]
    assert list(outputs) == list(expected) == ["mr", "ct"]
    for name, output in outputs.items():
        torch.testing.assert_close(output.logits, expected[name].logits)
        torch.testing.assert_close(output.features, expected[name].features)


def test_by_default_a_cpu_runs_them_one_by_one() -> None:
    network = Tiny()
    network(images())
    assert len(network.passes) == 2


def test_where_layers_mix_modalities_there_is_one_pass_whatever_is_asked_for() -> None:
    network = Tiny(concatenate=False, shared=True)
    logits = torch.cat([output.logits for output in network(images()).values()])
    assert network.passes == [{"mr": 2, "ct": 3}]
    torch.testing.assert_close(logits.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-6)


def test_images_of_different_size_run_one_by_one() -> None:
    network = Tiny(concatenate=True)
    outputs = network(images((4, 6)))
    assert [tuple(output.logits.shape[2:]) for output in outputs.values()] == [(4, 4), (6, 6)]
    assert len(network.passes) == 2


def test_where_layers_mix_modalities_images_of_different_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"needs images of one size in one step.*use one patch size"):
        Tiny(shared=True)(images((4, 6)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "got no images; give at least one of its modalities: ct, mr"),
        ({"cd": torch.zeros(1, 1, 4, 4)}, "doesn't know modality 'cd'; known: ct, mr"),
        ({"ct": torch.zeros(1, 2, 4, 4)}, r"expected images of shape \(batch, 1, 2 spatial axes\), got \(1, 2, 4, 4\)"),
        ({"ct": torch.zeros(1, 1, 4, 4, 4)}, "expected images of shape"),
        (
            {"ct": torch.zeros(1, 1, 4, 5)},
            r"spatial sizes \(4, 5\) must be multiples of \(2, 2\); take patch_size \(4, 6\)",
        ),
    ],
)
def test_images_that_do_not_fit(given: dict[str, Tensor], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Tiny()(given)


def test_names_of_modalities_are_checked_without_images() -> None:
    check_modalities(["mr"], ["ct", "mr"])
    with pytest.raises(InputError, match="doesn't know modality 'mrr'; known: ct, mr"):
        check_modalities(["mrr"], ["ct", "mr"])
