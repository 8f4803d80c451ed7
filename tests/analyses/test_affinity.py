"""Disagreement over all pairs in plain loops; an order that brings a hidden block structure back."""

from itertools import combinations

import numpy as np
import pytest

from unpaired.analyses.affinities.scores import channel_order, disagreements
from unpaired.analyses.affinities.tables import disagreement_table
from unpaired.errors import InputError


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_disagreement_is_the_mean_over_all_pairs(modalities):
    rng = np.random.default_rng(modalities)
    matrices = [[rng.uniform(-1, 1, (4, 3)) for _ in range(2)] for _ in range(modalities)]
    for number, found in enumerate(disagreements(matrices)):
        elementwise, literal = [], []
        for a, b in combinations(range(modalities), 2):
            gaps = [x - y for x, y in zip(matrices[a][number].flat, matrices[b][number].flat, strict=True)]
            elementwise.append(sum(gap**2 for gap in gaps) / 12)
            literal.append((sum(gaps) / 12) ** 2)
        assert found.elementwise == pytest.approx(np.mean(elementwise))
        assert found.literal == pytest.approx(np.mean(literal))
        assert found.literal <= found.elementwise


def test_a_class_that_one_modality_lacks_is_not_compared():
    (found,) = disagreements([[np.zeros((2, 2))], [None]])
    assert (found.elementwise, found.literal) == (None, None)
    with pytest.raises(InputError, match="one shape"):
        disagreements([[np.zeros((2, 2))], [np.zeros((2, 3))]])


def test_the_table_has_a_row_before_and_after():
    zero, half = np.zeros((2, 2)), np.full((2, 2), 0.5)
    matrices = {"csa": ([[zero, None], [half, zero]], [[zero, zero], [zero, zero]])}
    table = disagreement_table(matrices, ("LV", "RV"))
    assert table.head == ["run", "training", "LV", "RV"]
    assert table.rows == [["csa", "before", "0.25", "–"], ["csa", "after", "0", "0"]]


def test_hidden_blocks_come_together():
    rng = np.random.default_rng(0)
    rows, columns = np.repeat([0, 1, 2], 4), np.repeat([0, 1, 2, 3], 3)
    blocks = rng.uniform(-1, 1, (3, 4))[np.ix_(rows, columns)]
    shuffled_rows, shuffled_columns = rng.permutation(12), rng.permutation(12)
    hidden = blocks[np.ix_(shuffled_rows, shuffled_columns)] + rng.normal(0, 1e-3, (12, 12))
    found_rows, found_columns = channel_order([[hidden, None], [hidden, hidden]])
    assert sorted(found_rows) == sorted(found_columns) == list(range(12))
    for labels, kinds in ((rows[shuffled_rows][found_rows], 3), (columns[shuffled_columns][found_columns], 4)):
        assert (np.diff(labels) != 0).sum() == kinds - 1


def test_order_of_nothing_and_of_two():
    assert [len(order) for order in channel_order([[None], [None]])] == [0, 0]
    assert [order.tolist() for order in channel_order([[np.eye(2)], [np.eye(2)]])] == [[0, 1], [0, 1]]
