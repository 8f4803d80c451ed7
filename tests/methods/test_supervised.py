import pytest
import torch

from oracles import segmentation_loops
from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.supervised import SupervisedConfig
from unpaired.networks.fcn import FCNConfig
from unpaired.networks.independent import IndependentNetworksConfig
from unpaired.networks.network import NetworkConfig

SMALL = FCNConfig(width=2, dropout=0.0)
ROWS = {
    "Single": IndependentNetworksConfig(SMALL),
    "Joint": FCNConfig(width=2, dropout=0.0, modality_norm=False),
    "MSBN": SMALL,
}


def batches(names: tuple[str, ...] = ("ct", "mr"), size: tuple[int, ...] = (16, 16)) -> dict[str, Batch]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: Batch(
            torch.randn(2, 1, *size, generator=generator),
            torch.randint(0, 3, (2, *size), generator=generator),
            torch.eye(3, dtype=torch.bool),
        )
        for name in names
    }


@pytest.mark.parametrize("row", ROWS)
def test_equation_5_without_its_last_term(row: str) -> None:
    network = ROWS[row].build(("ct", "mr"), 1, 3, 2)
    method = SupervisedConfig(dice_weight=2.0, cross_entropy_weight=0.5).build(network, 3)
    data = batches()
    objective = method(data, 0.0)
    assert list(objective.terms) == ["dice/ct", "ce/ct", "dice/mr", "ce/mr"]
    outputs = network({name: batch.images for name, batch in data.items()})
    expected = 0.0
    for name, (_, labels, label_sets, _) in data.items():
        logits = outputs[name].logits.detach().double()
        dice = segmentation_loops.soft_dice_loss(logits, labels, label_sets)
        ce = segmentation_loops.cross_entropy(logits, labels, label_sets, weighted=True)
        assert objective.terms[f"dice/{name}"].item() == pytest.approx(dice.item(), rel=1e-4)
        assert objective.terms[f"ce/{name}"].item() == pytest.approx(ce.item(), rel=1e-4)
        expected += 2.0 * dice.item() + 0.5 * ce.item()
    assert objective.loss.item() == pytest.approx(expected, rel=1e-4)
    assert not any(term.requires_grad for term in objective.terms.values())


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)], ids=["dice", "ce"])
def test_each_term_trains_every_parameter(row: str, weights: tuple[float, float]) -> None:
    method = SupervisedConfig(*weights).build(ROWS[row].build(("ct", "mr"), 1, 3, 2), 3)
    method(batches(), 0.0).loss.backward()
    still = [name for name, p in method.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize(("config", "dims", "size"), [(SMALL, 2, (16, 16)), (SMALL, 3, (8, 8, 16))], ids=["2d", "3d"])
def test_it_learns(config: NetworkConfig, dims: int, size: tuple[int, ...]) -> None:
    """A few steps on one step's images, whose gray values say the class, must bring the loss down."""
    torch.manual_seed(0)
    method = SupervisedConfig().build(config.build(("ct", "mr"), 1, 3, dims), 3)
    data = {}
    for name, sign in (("ct", 1), ("mr", -1)):
        labels = torch.zeros(2, *size, dtype=torch.long)
        labels[..., 4:12], labels[..., 6:10] = 1, 2
        data[name] = Batch(sign * (labels.unsqueeze(1) - 1.0), labels, torch.eye(3, dtype=torch.bool))
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
    losses = []
    for step in range(8):
        optimizer.zero_grad()
        loss = method(data, step / 8).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_any_number_of_modalities() -> None:
    names = ("ct", "bssfp", "lge")
    method = SupervisedConfig().build(SMALL.build(names, 1, 3, 2), 3)
    assert len(method(batches(names), 0.0).terms) == 6
    assert list(method(batches(("lge",)), 0.0).terms) == ["dice/lge", "ce/lge"]


def test_an_unknown_class_weighting() -> None:
    config = SupervisedConfig()
    object.__setattr__(config, "class_weighting", "none at all")  # as read from a file: nothing checks types there
    with pytest.raises(InputError, match="frequency, none; got 'none at all'"):
        config.build(SMALL.build(("ct",), 1, 3, 2), 3)


@pytest.mark.parametrize("clip", [0.0, 1.0, -0.1])
def test_a_clip_that_is_no_probability(clip: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        SupervisedConfig(clip=clip).build(SMALL.build(("ct",), 1, 3, 2), 3)
