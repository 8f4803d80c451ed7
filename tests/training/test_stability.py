"""How stable label maps are, by hand: which of them are compared, and what a view is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry
from unpaired.inference.predictor import Predictor
from unpaired.training import stability
from unpaired.training.stability import contrast_stability


class Scripted(Predictor):
    """A predictor whose prepared scan has two equal slices and another; what it is shown is kept in `shown`."""

    def __init__(self) -> None:
        self.run: Any = SimpleNamespace(dataset=SimpleNamespace(classes=("background", "LV", "myo", "RV")))
        self.volume = np.random.default_rng(0).normal(size=(3, 6, 6)).astype(np.float32)
        self.volume[1] = self.volume[0]
        self.shown: list[np.ndarray] = []

    def prepared(self, image: object, modality: str) -> Any:
        return self.volume, None


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Of each scan it says LV LV myo background, then the same, then LV background background background."""
    answers = ([1, 1, 2, 0], [1, 1, 2, 0], [1, 0, 0, 0])

    def said(of: Scripted, volume: np.ndarray, modality: str) -> np.ndarray:
        of.shown.append(volume)
        return np.array(answers[(len(of.shown) - 1) % 3]).reshape(1, 2, 2)

    monkeypatch.setattr(stability, "_label_map", said)
    monkeypatch.setattr(stability, "read_image", lambda path: path)
    return Scripted()


def stable(predictor: Predictor, cases: int) -> float:
    return contrast_stability(predictor, [CaseEntry("a", "a", "ct", Path("a.nii"))] * cases)


def test_it_is_the_mean_dice_of_views_and_classes_that_one_of_the_two_has(predictor: Scripted) -> None:
    """The first view: LV 1, myo 1. The second: LV 2 * 1 / (2 + 1), myo 0. RV is in none."""
    assert stable(predictor, 2) == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert len(predictor.shown) == 6
    assert stable(predictor, 0) == 0


def test_a_view_is_one_contrast_for_all_slices_the_same_for_every_network(predictor: Scripted) -> None:
    stable(predictor, 2)
    plain, first, second, _, *again = predictor.shown
    np.testing.assert_array_equal(plain, predictor.volume)
    for view in (first, second):
        np.testing.assert_allclose(view[0], view[1], atol=1e-5)
        assert np.corrcoef(view.ravel(), plain.ravel())[0, 1] < 0.9, "a view that shows the scan as it is says nothing"
        np.testing.assert_allclose(view.mean(axis=(1, 2)), plain.mean(axis=(1, 2)), atol=1e-4)
    assert np.abs(first - second).max() > 0.1
    for view, same in zip((first, second), again, strict=True):
        np.testing.assert_array_equal(view, same)


def test_a_scan_of_one_value_that_no_contrast_changes_has_as_many_views(predictor: Scripted) -> None:
    predictor.volume[:] = 1
    assert 0 <= stable(predictor, 1) <= 1
    assert len(predictor.shown) == 3
