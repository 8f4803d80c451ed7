"""Trilinear resampling against scipy, with samples laid voxel center to voxel center."""

import numpy as np
import pytest
from scipy import ndimage

from unpaired.data.resample import resample


@pytest.mark.parametrize(
    ("crop", "grid"),
    [
        (((0, 9), (0, 8), (0, 7)), (9, 8, 7)),
        (((2, 7), (1, 8), (0, 7)), (11, 3, 7)),
        (((-3, 4), (5, 12), (0, 1)), (5, 20, 1)),
    ],
    ids=["whole", "cropped", "beyond the scan"],
)
def test_values_equal_scipy_with_the_edge_repeated(
    crop: tuple[tuple[int, int], ...], grid: tuple[int, int, int]
) -> None:
    view = np.random.default_rng(3).normal(0, 100, (7, 8, 9)).transpose(2, 1, 0)  # a view, as files give
    places = []
    for (start, stop), count, size in zip(crop, grid, view.shape, strict=True):
        place = start + (np.arange(count) + 0.5) * (stop - start) / count - 0.5
        places.append(place.clip(max(start, 0), min(stop, size) - 1))
    expected = ndimage.map_coordinates(view, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
    result = resample(view, crop, grid)
    assert (result.dtype, result.shape, result.flags.c_contiguous) == (np.float32, grid, True)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_integers_are_not_wrapped_or_rounded() -> None:
    view = np.array([[[0, 255]]], np.uint8)
    np.testing.assert_allclose(resample(view, ((0, 1), (0, 1), (0, 2)), (1, 1, 4))[0, 0], [0, 63.75, 191.25, 255])
