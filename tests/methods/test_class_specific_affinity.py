"""CSA as a whole: what its objective adds up, what it trains, and fields that do not fit."""

import pytest
import torch
from random_batches import C, random_batches

from unpaired.errors import InputError
from unpaired.methods.class_specific_affinity import (
    CSAConfig,
)
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig

SMALL = FCNConfig(width=2, dropout=0.0)


@pytest.mark.parametrize("class_specific", [True, False])
def test_equation_5(class_specific: bool) -> None:
    network = SMALL.build(("ct", "mr"), 1, C, 2)
    config = CSAConfig(weight=0.7, class_specific=class_specific)
    data = random_batches(("ct", "mr"))
    loss, terms = config.build(network, C)(data, 0.0)
    supervised = SupervisedConfig().build(network, C)(data, 0.0)
    name = "csa" if class_specific else "affinity"
    assert list(terms) == [*supervised.terms, name]
    torch.testing.assert_close(loss, supervised.loss + 0.7 * terms[name])
    assert terms[name] > 0


@pytest.mark.parametrize("pairs", [(("group4", "group5"),), (("group3", "group5"), ("group5", "group6"))])
@pytest.mark.parametrize("consistency", ["elementwise", "literal"])
def test_affinity_trains_what_lies_below_its_layers_and_nothing_above(
    consistency: str, pairs: tuple[tuple[str, str], ...]
) -> None:
    config = CSAConfig(
        dice_weight=0.0,
        cross_entropy_weight=0.0,
        weight=1.0,
        layer_pairs=pairs,
        consistency=consistency,  # pyright: ignore
    )
    network = SMALL.build(("ct", "mr"), 1, C, 2)
    config.build(network, C)(random_batches(("ct", "mr")), 0.0).loss.backward()
    highest = max(int(layer[-1]) for pair in pairs for layer in pair)
    below = ("first", *(f"groups.{i}." for i in range(highest)))
    trained = {n for n, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert trained == {n for n, _ in network.named_parameters() if n.startswith(below)}


def test_prediction_needs_the_network_only() -> None:
    """Nothing of CSA is kept: the same network under plain supervision predicts the same."""
    torch.manual_seed(0)
    network = SMALL.build(("ct", "mr"), 1, C, 2)
    method = CSAConfig().build(network, C)
    method(random_batches(("ct", "mr")), 0.0).loss.backward()
    assert {n.removeprefix("network.") for n in method.state_dict()} == set(network.state_dict())
    images = random_batches(("ct",))["ct"].images
    plain = SupervisedConfig().build(network.eval(), C)
    torch.testing.assert_close(method.predict(images, "ct"), plain.predict(images, "ct"), rtol=0, atol=0)


def test_a_step_with_one_modality_is_plain_supervision() -> None:
    method = CSAConfig().build(SMALL.build(("ct", "mr"), 1, C, 2), C)
    loss, terms = method(random_batches(("ct",)), 0.0)
    assert terms["csa"] == 0
    torch.testing.assert_close(loss, terms["dice/ct"] + terms["ce/ct"])


def test_three_modalities_in_3d() -> None:
    names = ("ct", "bssfp", "lge")
    network = FCNConfig(width=2, pool_strides=((1, 2, 2),) * 3).build(names, 1, C, 3)
    assert CSAConfig().build(network, C)(random_batches(names, (2, 16, 16)), 0.0).terms["csa"] > 0


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (CSAConfig(layer_pairs=(("group4", "grop5"),)), "no feature map 'grop5'; did you mean group5"),
    ],
)
def test_fields_that_do_not_fit(config: CSAConfig, says: str) -> None:
    with pytest.raises(InputError, match=says):
        config.build(SMALL.build(("ct", "mr"), 1, C, 2), C)
