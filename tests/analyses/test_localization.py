"""Average precision against a plain loop, by hand, and as counts per cell; channels chosen on other patients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unpaired.analyses.localization.scores import (
    CaseLocalization,
    Cells,
    average_precision,
    average_precisions,
    ceilings,
    choose_channels,
    localization_rows,
    localize,
    shared_choice,
)
from unpaired.errors import InputError


def loop_average_precision(saliency, mask):
    """AP = sum_k (R_k - R_{k-1}) P_k over the distinct saliencies, from the largest down; one voxel at a time."""
    positives = sum(1 for inside in mask if inside)
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(saliency), reverse=True):
        hits = seen = 0
        for value, inside in zip(saliency, mask, strict=True):
            if value >= threshold:
                seen += 1
                hits += bool(inside)
        recall = hits / positives
        total += (recall - recall_before) * hits / seen
        recall_before = recall
    return total


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=200)
def test_average_precision_is_the_loops_also_with_ties(voxels):
    saliency, mask = np.array([v for v, _ in voxels], np.float32), np.array([inside for _, inside in voxels])
    if not mask.any():
        assert np.isnan(average_precision(saliency, mask))
        return
    assert average_precision(saliency, mask) == pytest.approx(loop_average_precision(saliency.tolist(), mask.tolist()))


def test_average_precision_by_hand():
    mask = np.array([1, 0, 1, 0])
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), mask) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(np.array([4.0, 1.0, 3.0, 2.0]), mask) == 1.0
    assert average_precision(np.array([1.0, 4.0, 2.0, 3.0]), mask) == pytest.approx(0.5 * 1 / 3 + 0.5 * 2 / 4)
    assert average_precision(np.zeros((2, 2)), mask.reshape(2, 2)) == 0.5  # no contrast: the class's share
    assert average_precision(np.ones(4), np.ones(4)) == 1.0


def test_counts_per_cell_are_all_voxels_repeated_to_the_image():
    rng = np.random.default_rng(0)
    saliency = rng.integers(0, 9, (5, 6, 4)).astype(np.float32)
    labels = rng.integers(0, 3, (24, 16))
    fine = saliency.repeat(4, axis=1).repeat(4, axis=2)
    blocks = labels.reshape(6, 4, 4, 4).transpose(0, 2, 1, 3).reshape(24, 16)
    positives = np.stack([(blocks == c).sum(axis=1) for c in range(3)])
    found = average_precisions(saliency.reshape(5, -1), positives, np.full(24, 16))
    for channel in range(5):
        for c in range(3):
            expected = loop_average_precision(fine[channel].ravel().tolist(), (labels == c).ravel().tolist())
            assert found[channel, c] == pytest.approx(expected, abs=1e-12)


def test_any_growing_function_of_saliency_changes_nothing_and_nothing_beats_the_ceiling():
    rng = np.random.default_rng(1)
    saliency, voxels = rng.random((20, 50)), rng.integers(1, 9, 50)
    positives = np.stack([rng.integers(0, voxels + 1), np.zeros(50, int)])
    found = average_precisions(saliency, positives, voxels)
    assert np.allclose(found[:, 0], average_precisions(np.exp(5 * saliency), positives, voxels)[:, 0])
    assert (found[:, 0] <= ceilings(positives, voxels)[0]).all()
    assert average_precisions((positives[0] / voxels)[None], positives, voxels)[0, 0] == ceilings(positives, voxels)[0]
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(ceilings(positives, voxels)[1])


def test_saliency_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="diverge"):
        average_precision(np.array([1.0, np.nan]), np.array([0, 1]))
    with pytest.raises(InputError, match="shape"):
        average_precision(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="equally many cells"):
        average_precisions(np.zeros((1, 3)), np.zeros((1, 3), int), np.ones(4, int))


def test_a_layer_in_parts_is_the_layer_whole():
    rng = np.random.default_rng(2)
    saliency, voxels = rng.random((7, 30)).astype(np.float32), rng.integers(1, 5, 30)
    first = rng.integers(0, voxels + 1)
    positives = np.stack([voxels - first, first, np.zeros(30, int)])
    whole = localize([Cells(saliency, positives, voxels)], "a", "p", "ct", "l")
    parts = localize(
        [Cells(saliency[a:b], positives, voxels) for a, b in ((0, 3), (3, 6), (6, 7))], "a", "p", "ct", "l"
    )
    for name in ("channels", "mean_map", "chance", "ceiling"):
        assert np.allclose(getattr(whole, name), getattr(parts, name), equal_nan=True), name
    assert whole.chance[1] == pytest.approx(first.sum() / voxels.sum())
    assert np.isnan(whole.chance[2])
    assert whole.mean_map[1] == pytest.approx(
        average_precisions(saliency.mean(0, keepdims=True), positives, voxels)[0, 1]
    )
    with pytest.raises(InputError, match="at least one channel"):
        localize([], "a", "p", "ct", "l")


def case(name, modality, channels, chance=0.1):
    """One foreground class and background with the same numbers."""
    both = np.stack([np.array(channels)] * 2, axis=1)
    flat = np.full(2, chance)
    return CaseLocalization(name, f"p_{name}", modality, "l", both, flat + 0.2, flat, flat + 0.8)


def test_channels_are_chosen_on_others_and_reported_on_the_test_patients():
    others = [case("a", "ct", [0.2, 0.6, 0.4]), case("b", "ct", [0.3, 0.4, 0.5]), case("c", "mr", [0.9, 0.1, 0.1])]
    choices = choose_channels(others)
    assert [one.channel for one in choices["ct", "l", 1]] == [1, 2, 0]
    assert choices["ct", "l", 1][0].precision == pytest.approx(0.5)
    assert choices["ct", "l", 1][0].cases == 2
    test = case("t", "ct", [0.8, 0.15, 0.7])
    (row,) = [row for row in localization_rows([test], choices, ("background", "LV")) if row.class_name == "LV"]
    assert (row.best_channel, row.best) == (1, 0.15)  # not the 0.8 that it would be if chosen on itself
    assert (row.shared_channel, row.shared) == (0, 0.8)
    assert row.mean == pytest.approx((0.8 + 0.15 + 0.7) / 3)
    assert (row.map, row.chance, row.ceiling, row.channels) == (pytest.approx(0.3), 0.1, 0.9, 3)


def test_each_other_modality_counts_alike_in_what_is_shared():
    found = [case("a", "ct", [0.0, 0.6]), case("b", "ct", [0.0, 0.6]), case("c", "mr", [0.9, 0.1])]
    found.append(case("d", "lge", [0.5, 0.5]))
    choices = choose_channels(found)
    shared = shared_choice(choices, ("lge", "l", 1))
    assert shared is not None
    assert (shared.channel, shared.precision, shared.cases) == (0, pytest.approx(0.45), 3)


def test_a_class_that_nobody_has_has_no_channel_and_a_case_without_it_no_row():
    nobody = case("a", "ct", [np.nan, np.nan], chance=np.nan)
    assert choose_channels([nobody]) == {}
    assert list(localization_rows([nobody], {}, ("background", "LV"))) == []
    (row, _) = localization_rows([case("t", "ct", [0.5, 0.7])], {}, ("background", "LV"))
    assert (row.best, row.best_channel, row.shared, row.shared_channel) == (None, None, None, None)
