"""Matrices as images: their numbers and limits are the image's, one that is missing says so, bars lie in their box."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from unpaired.figures.matrices import draw_color_bar, draw_matrix
from unpaired.figures.style import LIGHT

MATRIX = np.array([[1.0, -0.5, 0.0], [0.25, 0.0, 2.0]])


@pytest.mark.parametrize(("stretched", "aspect"), [(True, "auto"), (False, 1.0)])
def test_a_matrix_is_an_image_of_its_numbers(stretched: bool, aspect: str | float) -> None:
    axes = Figure().subplots()
    image = draw_matrix(axes, MATRIX, "RdBu_r", (-1, 2), LIGHT, stretched)
    assert image is not None
    np.testing.assert_array_equal(image.get_array(), MATRIX)
    assert image.get_clim() == (-1, 2)
    assert axes.get_aspect() == aspect


def test_a_matrix_that_is_missing_says_so() -> None:
    axes = Figure().subplots()
    assert draw_matrix(axes, None, "RdBu_r", (-1, 1), LIGHT, True) is None
    assert [text.get_text() for text in axes.texts] == ["absent"]


def test_a_bar_lies_in_its_box() -> None:
    figure = Figure(figsize=(4, 2))
    image = draw_matrix(figure.add_axes((0, 0, 0.5, 1)), MATRIX, "RdBu_r", (-1, 2), LIGHT, True)
    assert image is not None
    draw_color_bar(figure, image, (3, 0.5, 0.2, 1), "cosine", 1, LIGHT)
    bar = figure.axes[-1]
    assert bar.get_position().bounds == pytest.approx((0.75, 0.25, 0.05, 0.5))
    assert bar.get_ylabel() == "cosine"
