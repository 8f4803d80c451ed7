import pytest
import torch

from unpaired.data.batch import Batch
from unpaired.errors import InputError
from unpaired.methods.label_mapping import LabelMapping
from unpaired.methods.losses import cross_entropy
from unpaired.methods.structured_consistency import SSCConfig
from unpaired.networks.fcn import FCNConfig

C = 4
SETS = torch.cat(
    [torch.eye(C, dtype=torch.bool), torch.tensor([[False, True, True, True], [True, True, False, False]])]
)


def test_it_begins_uniform_over_what_a_label_may_be() -> None:
    T = LabelMapping(C, 2)(SETS)
    third = 1 / 3
    expected = [[0, third, third, third], [0.5, 0.5, 0, 0]]
    torch.testing.assert_close(T, torch.cat([torch.eye(C), torch.tensor(expected)]))


def test_a_uniform_row_pulls_like_the_exact_sum() -> None:
    logits = torch.randn(1, C, 5, requires_grad=True)
    labels = torch.tensor([[4, 4, 5, 1, 0]])
    exact = cross_entropy(logits, labels, SETS, "none")
    mapped = cross_entropy(logits, labels, SETS, "none", mapping=LabelMapping(C, 2)(SETS))
    torch.testing.assert_close(torch.autograd.grad(mapped, logits), torch.autograd.grad(exact, logits))


def test_it_finds_out_which_class_a_label_is() -> None:
    """Label 4 may be class 1, 2 or 3; predictions that are sure of 2 where it stands make it class 2."""
    mapping = LabelMapping(C, 2)
    logits = 3 * torch.eye(C)[torch.tensor([0, 1, 2, 2, 2])].T.unsqueeze(0)
    optimizer = torch.optim.Adam(mapping.parameters(), 0.1)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(logits, torch.tensor([[0, 1, 4, 4, 4]]), SETS, "none", mapping=mapping(SETS)).backward()
        optimizer.step()
    row = mapping(SETS)[4]
    assert row[2] > 0.9
    assert row[0] == 0


def test_what_nobody_looked_for_is_no_row_to_learn() -> None:
    """Else the row of "background or spleen" would settle on the background, and pull every spleen there."""
    mapping = LabelMapping(C, 2)
    torch.nn.init.normal_(mapping.scores)
    logits = torch.randn(1, C, 5, requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([[5, 5, 4, 1, 0]]), SETS, "none", mapping=mapping(SETS))
    on_logits, on_scores = torch.autograd.grad(loss, [logits, mapping.scores])
    exact = cross_entropy(logits, torch.tensor([[5, 5, 4, 1, 0]]), SETS, "none")
    torch.testing.assert_close(on_logits[..., :2], torch.autograd.grad(exact, logits)[0][..., :2])
    assert on_scores[1].abs().max() == 0
    assert on_scores[0].abs().max() > 0


def test_a_label_that_is_every_class_stays_ignored() -> None:
    """Else its row would settle on what is frequent, and pull the voxels that nobody annotated toward it."""
    sets = torch.cat([SETS, torch.ones(1, C, dtype=torch.bool)])
    mapping = LabelMapping(C, 3)
    torch.nn.init.normal_(mapping.scores)
    logits = torch.randn(1, C, 5, requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([[6, 6, 4, 1, 0]]), sets, mapping=mapping(sets))
    on_logits, on_scores = torch.autograd.grad(loss, [logits, mapping.scores])
    assert on_logits[:, :, :2].abs().max() < 1e-6
    assert (on_logits[:, :, 2:].abs().amax(dim=1) > 1e-3).all()
    assert on_scores[2].abs().max() == 0
    assert on_scores[0].abs().max() > 0


def test_another_number_of_labels_says_which_to_set() -> None:
    with pytest.raises(InputError, match=r"label_mapping is 1, but 2 .* --set method.label_mapping=2"):
        LabelMapping(C, 1)(SETS)


@pytest.mark.parametrize("labels", [None, 2])
def test_ssc_trains_it_and_leaves_it_out_of_prediction(labels: int | None) -> None:
    torch.manual_seed(0)
    network = FCNConfig(width=2, dropout=0.0).build(("ct", "mr"), 1, C, 2)
    method = SSCConfig(scales=("group5", "group3"), label_mapping=labels).build(network, C)
    data = {
        name: Batch(torch.randn(1, 1, 16, 16), torch.randint(0, len(SETS), (1, 16, 16)), SETS) for name in ("ct", "mr")
    }
    method(data, 0.0).loss.backward()
    if labels is None:
        assert method.label_mapping is None
        return
    assert method.label_mapping is not None
    gradient = method.label_mapping.scores.grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    before = method.predict(data["ct"].images, "ct")
    torch.nn.init.normal_(method.label_mapping.scores)
    torch.testing.assert_close(method.predict(data["ct"].images, "ct"), before, rtol=0, atol=0)
