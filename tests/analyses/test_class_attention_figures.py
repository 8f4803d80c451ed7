"""Correlations and attention are drawn as they are; what doesn't fit is refused in words."""

import numpy as np
import pytest

from unpaired.analyses.affinities.scores import differences
from unpaired.analyses.attention.figure import (
    AttentionView,
    CorrelationView,
    attention_alt,
    correlations_alt,
    draw_attention,
    draw_correlations,
)
from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.style import DARK, png

A = np.array([[0.75, 0.25], [0.5, 0.5]])
B = np.array([[0.5, 0.5], [0.25, 0.75]])


def view_of(*matrices: np.ndarray | None) -> CorrelationView:
    names = ("ct", "mr", "lge")[: len(matrices)]
    return CorrelationView("ssc", ("decoder1",), names, ("background", "LV"), [[one] for one in matrices])


def test_differences_of_two_and_of_three():
    np.testing.assert_array_equal(differences([A, B])[0], A - B)
    first, second, third = differences([A, B, A])
    np.testing.assert_allclose(first, (A - B) / 3)
    np.testing.assert_allclose(second, 2 * (B - A) / 3)
    np.testing.assert_allclose(third, first)
    assert differences([A, None]) == [None]
    assert differences([A, None, None]) == [None, None, None]


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [one.get_text() for one in figure.texts]


def test_matrices_and_their_difference_are_drawn_with_numbers():
    figure = draw_correlations(view_of(A, B))
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["ct", "mr", "ct − mr"]
    for axes, expected in zip(panels, (A, B, A - B), strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), expected)
    assert panels[0].images[0].get_clim() == panels[1].images[0].get_clim() == (0.25, 0.75)
    assert panels[2].images[0].get_clim() == (-0.25, 0.25)
    found = texts(figure)
    assert {"0.75", "+0.25", "-0.25"} <= set(found)
    assert "mean squared difference 0.062" in found  # every entry differs by a quarter
    assert "decoder1 0.062" in correlations_alt(view_of(A, B))
    assert png(draw_correlations(view_of(A, B), DARK), 40).startswith(b"\x89PNG")


def test_one_modality_has_no_difference_and_a_missing_matrix_says_so():
    assert [axes.get_title() for axes in draw_correlations(view_of(A)).axes if axes.get_title()] == ["ct"]
    assert "difference" not in correlations_alt(view_of(A)).partition("difference")[2]
    assert texts(draw_correlations(view_of(A, None))).count("absent") == 2
    with pytest.raises(InputError, match="ssc: expected correlations"):
        draw_correlations(view_of(None, None))


def attention(cols: int = 8) -> AttentionView:
    reference = np.zeros((3, 8, 8), np.int16)
    reference[1, 2:5, 2:5] = 1
    view = CaseView("p1", "ct", ("background", "LV"), np.ones((3, 8, 8)), reference, None, (1.0, 1.0, 1.0))
    maps = np.zeros((2, 8, cols), np.float32)
    maps[1] = np.where(reference[1, :, :cols] == 1, 4.0, 0.5)
    return AttentionView("ssc", ("encoder3", "decoder2"), view, 1, (maps, 2 * maps))


def test_attention_is_drawn_with_its_mean_inside_and_outside():
    figure = draw_attention(attention())
    found = texts(figure)
    assert {"in 4  out 0.5", "in 8  out 1", "background", "LV", "encoder3"} <= set(found)
    assert "encoder3, decoder2" in attention_alt(attention())
    assert png(figure, 40).startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"case p1: expected a reference, and attention of shape \(2, 8, 8\)"):
        draw_attention(attention(7))
