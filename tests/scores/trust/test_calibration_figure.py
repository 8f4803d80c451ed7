"""Pictures of trust: a line per class with its own color and marker, points where the numbers are, empty is empty."""

import numpy as np
import pytest

from unpaired.figures.style import DARK, LIGHT, Theme, png
from unpaired.scores.trust.calibration import CaseCalibration, count_bins, summarize
from unpaired.scores.trust.figure import draw_agreement, draw_reliability
from unpaired.scores.trust.uncertainty_check import Point


def rows():
    rng = np.random.default_rng(0)
    said = rng.dirichlet([1] * 4, 4000).T
    counts = count_bins(said, rng.integers(0, 4, 4000), [(n,) for n in range(4)])
    return summarize([CaseCalibration("a", "ct", counts)], ("background", "LV", "myo", "RV"))[1:]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_points_are_the_bins(theme: Theme) -> None:
    found = rows()
    upper, lower = draw_reliability(found, "ct", theme).axes
    diagonal, *lines = upper.get_lines()
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    for line, row in zip(lines, found, strict=True):
        filled = [one for one in row.bins if one.voxels]
        assert list(line.get_xdata()) == [one.mean_probability for one in filled]
        assert list(line.get_ydata()) == [one.frequency for one in filled]
        assert line.get_label() == f"{row.class_name} (ECE {100 * (row.ece or 0):.2f} %)"
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 3
    for line, row in zip(lower.get_lines(), found, strict=True):
        assert sum(line.get_ydata()) == pytest.approx(1)
        assert len(line.get_xdata()) == sum(one.voxels > 0 for one in row.bins)


def test_agreement_has_a_point_per_case() -> None:
    points = [Point("a", "a", "ct", 0.8, 0.9), Point("b", "b", "mr", 0.7, 0.6), Point("c", "c", "ct", 0.5, 0.4)]
    figure = draw_agreement(points)
    axes = figure.axes[0]
    assert [group.get_offsets().tolist() for group in axes.collections] == [[[0.8, 0.9], [0.5, 0.4]], [[0.7, 0.6]]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ct", "mr"]
    assert len(png(figure)) > 1000


def test_nothing_to_draw_gives_empty_axes() -> None:
    assert len(png(draw_reliability([]))) > 1000
    assert len(draw_agreement([]).axes[0].collections) == 0
    assert draw_agreement([]).axes[0].get_legend() is None
