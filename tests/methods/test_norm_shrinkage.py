"""Norms drawn together: the penalty in loops, nothing for norms that are alike, one line where there is none."""

from dataclasses import replace

import pytest
import torch
from random_batches import C, random_batches

from unpaired.errors import InputError
from unpaired.methods.cmc_released import CMCReleasedConfig
from unpaired.methods.mean_teacher import MeanTeacherConfig
from unpaired.methods.norm_shrinkage import NormShrinkage, NormShrinkageConfig, norm_differences, norm_vectors
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.unet import UNetConfig

UNET = UNetConfig(width=2, widest=4, blocks=(1, 1))
NAMES = ("ct", "mr", "lge")


def built(config: NormShrinkageConfig, network: UNetConfig = UNET, names: tuple[str, ...] = NAMES) -> NormShrinkage:
    torch.manual_seed(0)
    return config.build(network.build(names, 1, C, 2), C)


def scatter(method: NormShrinkage) -> None:
    for name, parameter in method.network.named_parameters():
        if ".by_modality." in name:
            torch.nn.init.normal_(parameter)


def test_the_penalty_equals_the_loops() -> None:
    method = built(NormShrinkageConfig(SupervisedConfig()))
    assert norm_differences(method.network).item() == 0
    scatter(method)
    state, total, count = method.network.state_dict(), 0.0, 0
    for name, value in state.items():
        if ".by_modality.ct." not in name:
            continue
        for place in range(len(value)):
            g = [state[name.replace(".ct.", f".{m}.")][place].item() for m in NAMES]
            mean = sum(g) / 3
            total += sum((of - mean) ** 2 for of in g)
            count += 1
    assert count > 20
    assert norm_differences(method.network).item() == pytest.approx(total / count, rel=1e-5)


def test_it_is_the_other_objective_and_the_penalty_and_moves_norms_together() -> None:
    method = built(NormShrinkageConfig(SupervisedConfig(), weight=3.0))
    scatter(method)
    batches = random_batches(NAMES, (8, 8))
    objective, plain = method(batches, 0.0), method.method(batches, 0.0)
    assert objective.loss.item() == pytest.approx(plain.loss.item() + 3 * objective.terms["norms"].item(), rel=1e-5)
    before = objective.terms["norms"].item()
    gradients = torch.autograd.grad(objective.terms["norms"], list(method.network.parameters()), allow_unused=True)
    with torch.no_grad():
        for (name, parameter), gradient in zip(method.network.named_parameters(), gradients, strict=True):
            assert (gradient is not None) == (".by_modality." in name)
            if gradient is not None:
                parameter -= 5 * gradient
    assert norm_differences(method.network).item() < before


def test_it_asks_for_unlabeled_images_where_the_other_method_does() -> None:
    assert not built(NormShrinkageConfig(SupervisedConfig())).needs_unlabeled
    assert built(NormShrinkageConfig(MeanTeacherConfig(SupervisedConfig()))).needs_unlabeled


def test_the_bias_of_a_modalitys_own_convolution_is_no_shift_of_a_norm() -> None:
    method = built(NormShrinkageConfig(SupervisedConfig()), replace(UNET, own=("output",)))
    plain = built(NormShrinkageConfig(SupervisedConfig()))
    assert len(norm_vectors(method.network)) == len(norm_vectors(plain.network))
    for name, parameter in method.network.named_parameters():
        if name.startswith("output.by_modality."):
            torch.nn.init.normal_(parameter)
    assert norm_differences(method.network).item() == 0


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (UNetConfig(modality_norm=False), NAMES),
        (replace(UNET, modality_norm=False, own=("output",)), NAMES),
        (UNET, ("ct",)),
    ],
)
def test_without_norms_that_differ_there_is_nothing_to_shrink(network: UNetConfig, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="no norms that differ between modalities"):
        built(NormShrinkageConfig(SupervisedConfig()), network, names)


def test_it_says_of_itself_what_the_method_within_says() -> None:
    """Else training wouldn't say that CMC-code, wrapped, has nothing to compare."""
    released = CMCReleasedConfig(layer="encoder2")
    for config, compares in ((released, True), (SupervisedConfig(), False)):
        assert built(NormShrinkageConfig(config)).compares_unlabeled == compares
        torch.manual_seed(0)
        network = UNET.build(NAMES, 1, C, 2)
        assert MeanTeacherConfig(config).build(network, C).compares_unlabeled == compares
