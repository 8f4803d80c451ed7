"""Normalizations, each computed by hand."""

import numpy as np
import pytest

from unpaired.data.dataset import Modality
from unpaired.data.normalize import normalize
from unpaired.errors import InputError


def test_every_normalization_by_hand() -> None:
    volume = np.array([[[0.0, 2.0], [4.0, 6.0]], [[10.0, 10.0], [10.0, 10.0]]])
    values = volume.ravel()
    np.testing.assert_allclose(normalize(volume, Modality()).ravel(), (values - 6.5) / values.std(), rtol=1e-6)
    per_slice = normalize(volume, Modality("zscore_slice"))
    np.testing.assert_allclose(per_slice[0].ravel(), (values[:4] - 3) / np.sqrt(5), rtol=1e-6)
    assert not per_slice[1].any()  # a constant slice is zeros, not NaN
    nonzero = values[1:]
    got = normalize(volume, Modality("zscore_nonzero")).ravel()
    assert got[0] == 0
    np.testing.assert_allclose(got[1:], (nonzero - nonzero.mean()) / nonzero.std(), rtol=1e-6)
    np.testing.assert_allclose(normalize(volume, Modality("minmax")).ravel(), values / 10)
    np.testing.assert_allclose(normalize(volume, Modality("none", clip=(2.0, 5.0))).ravel(), values.clip(2, 5))
    low, high = np.percentile(values, (10, 60))
    np.testing.assert_allclose(
        normalize(volume, Modality("none", clip_percentiles=(10.0, 60.0))).ravel(), values.clip(low, high), rtol=1e-6
    )
    np.testing.assert_allclose(normalize(volume, Modality(), "minmax").ravel(), values / 10)
    assert not normalize(np.full((2, 2, 2), 7.0), Modality("minmax")).any()
    assert not normalize(np.zeros((2, 2, 2)), Modality("zscore_nonzero")).any()
    assert volume[0, 0, 1] == 2  # the input is left alone


def test_what_was_0_before_clipping_stays_0() -> None:
    volume = np.array([[[0.0, 2.0], [4.0, 30.0]]])
    got = normalize(volume, Modality("zscore_nonzero", clip=(1.0, 10.0))).ravel()
    values = np.array([2.0, 4.0, 10.0])
    np.testing.assert_allclose(got, [0, *(values - 16 / 3) / values.std()], rtol=1e-6)
    below = normalize(np.array([[[-3.0, 0.0], [5.0, 0.0]]]), Modality("zscore_nonzero")).ravel()
    np.testing.assert_allclose(below, [-1, 0, 1, 0], rtol=1e-6)


@pytest.mark.parametrize("kind", ["zscore", "zscore_slice", "zscore_nonzero", "minmax"])
def test_the_unit_of_the_values_changes_nothing(kind: str) -> None:
    """A diffusion coefficient in square meters a second is 1e-9; in square micrometers it is 1000."""
    volume = np.random.default_rng(0).normal(1, 0.3, (3, 6, 6)).astype(np.float32)
    expected = normalize(volume, Modality(), kind)
    for unit in (1e-9, 1e-6, 1e3, 1e9):
        np.testing.assert_allclose(normalize(volume * np.float32(unit), Modality(), kind), expected, atol=1e-5)
        assert not normalize(np.full((2, 5, 5), 1.1 * unit), Modality(), kind).any()


def test_an_unknown_name_gets_the_near_one() -> None:
    with pytest.raises(InputError, match="did you mean zscore"):
        normalize(np.zeros((2, 2, 2)), Modality(), "z-score")
