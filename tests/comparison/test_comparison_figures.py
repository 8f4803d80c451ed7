"""The plots of a comparison show the computed numbers: points, boxes, intervals, crosses for misses."""

from dataclasses import replace

import numpy as np
import pytest

from unpaired.comparison.comparison import compare
from unpaired.comparison.contenders import Contender
from unpaired.comparison.figures import boxes_alt, differences_alt, draw_boxes, draw_differences
from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.method_overlays import draw_methods
from unpaired.figures.style import DARK, LIGHT, png, svg
from unpaired.scores.scores import Evaluation, Score


def method(name, gain, missed=None, classes=("LV", "RV")):
    rows = [
        Score(
            f"{p}_{modality}",
            p,
            modality,
            c,
            "scored",
            0.5 + 0.05 * k + gain,
            hd95=10.0 - k - 10 * gain,
            reference_ml=5.0,
        )
        for modality in ("ct", "mr")
        for k, p in enumerate("abcd")
        for c in classes
    ]
    if missed is not None:
        rows[missed] = replace(rows[missed], status="missed", dice=0.0, hd95=300.0)
    return Contender(name, (Evaluation(rows, []),))


@pytest.fixture(scope="module")
def comparison():
    return compare([method("base", 0.0), method("good", 0.1), method("bad", -0.1, missed=1)], ["dice", "hd95"])


def points(axes):
    return [
        (line.get_marker(), np.asarray(line.get_ydata()).tolist())
        for line in axes.lines
        if line.get_marker() in {*"osDx"}
    ]


def test_a_point_is_a_patient_and_a_cross_a_miss(comparison):
    axes = draw_boxes(comparison, "dice", "ct").axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["LV", "RV", "mean"]
    drawn = [(marker, values) for marker, values in points(axes) if values]
    circles = [values for marker, values in drawn if marker == "o"]
    assert circles[0] == pytest.approx([50, 55, 60, 65])
    crosses = [values for marker, values in drawn if marker == "x"]
    assert crosses == [[0.0], [pytest.approx(20.0)]]  # RV of a, and a's mean of 0.4 and 0
    assert sum(len(values) for _, values in drawn) == 3 * 3 * 4
    assert axes.get_ylim()[1] > 100


def test_far_distances_get_a_square_root_scale_that_shows_them(comparison):
    ct, mr = (draw_boxes(comparison, "hd95", modality).axes[0] for modality in ("ct", "mr"))
    assert (ct.get_yscale(), mr.get_yscale()) == ("function", "linear")
    assert ct.get_ylim()[1] > 300
    assert 5 in ct.get_yticks()


def test_many_classes_go_to_several_rows():
    names = tuple(f"organ {k}" for k in range(12))
    one = compare([method("a", 0.0, classes=names), method("b", 0.1, classes=names)], ["dice"])
    figure = draw_boxes(one, "dice", "ct")
    assert [len(axes.get_xticks()) for axes in figure.axes] == [8, 5]  # twelve and their mean


def test_differences_show_patients_mean_and_interval(comparison):
    figure = draw_differences(comparison, "hd95")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["ct", "mr"]
    lines = {tuple(np.round(np.asarray(line.get_xdata(), dtype=float), 6).tolist()) for line in figure.axes[1].lines}
    found = comparison.differences["hd95", comparison.main_columns[1], "good"]
    assert found.mean == pytest.approx(-1.0)
    assert (-1.0, -1.0, -1.0, -1.0) in lines
    assert (round(found.interval.low, 6), round(found.interval.high, 6)) in lines
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["good", "bad"]
    better = figure.axes[1].get_xlabel()
    assert better.index("better") < better.index("worse")  # of a distance, less is better
    assert draw_differences(comparison, "dice").axes[1].get_xlabel().index("worse") < 5


def test_a_column_without_numbers_is_an_empty_one():
    def missed(name):
        rows = [Score(p, p, "ct", "RV", "missed", 0.0, reference_ml=5.0) for p in "ab"]
        return Contender(name, (Evaluation(rows, [], "excluded"),))

    one = compare([missed("a"), missed("b")], ["hd95"])
    assert not [values for _, values in points(draw_boxes(one, "hd95", "ct").axes[0]) if values]
    assert "–" in differences_alt(one, "hd95")
    draw_differences(one, "hd95")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_both_themes_draw_and_repeat_to_the_byte(comparison, theme):
    first, second = (svg(draw_differences(comparison, "dice", theme)) for _ in range(2))
    assert first == second
    assert theme.paper.encode() in first
    assert theme.paper.encode() in svg(draw_boxes(comparison, "dice", "ct", theme))


def test_words_for_those_who_can_not_see_the_plots(comparison):
    assert "good 67.50" in boxes_alt(comparison, "dice", "ct")
    assert "good in mr +10.00, corrected p" in differences_alt(comparison, "dice")


# ---- overlays of several methods


@pytest.fixture
def views():
    reference = np.zeros((6, 40, 40), np.uint8)
    reference[1:5, 10:20, 10:20] = 1
    reference[2:4, 22:30, 10:20] = 2
    wrong = reference.copy()
    wrong[4] = 0
    no_second = np.where(reference == 2, 0, reference).astype(np.uint8)
    volume = np.random.default_rng(0).normal(size=reference.shape)
    view = CaseView("p1", "ct", ("background", "LV", "RV"), volume, reference, reference, (5.0, 1.0, 1.0))
    return {"right": view, "wrong": replace(view, prediction=wrong), "blind": replace(view, prediction=no_second)}


def texts(figure):
    return [text.get_text() for text in figure.texts] + [text.get_text() for axes in figure.axes for text in axes.texts]


def test_methods_stand_side_by_side_on_the_same_slices(views):
    figure = draw_methods(views, "wrong")
    assert len(figure.axes) == 3 * 4
    shown = texts(figure)
    assert shown[:4] == ["image", "right", "wrong", "blind"]
    assert "slice 5 of 6" in shown  # where "wrong" is most wrong
    fills = [len(axes.images) for axes in figure.axes]
    assert fills == [1] * 3 + [2] * 9  # the first column has no prediction
    assert png(figure, 20).startswith(b"\x89PNG")


def test_slices_follow_the_method_and_the_class_in_question(views):
    assert "slice 5 of 6" in texts(draw_methods(views, "wrong", slices=1))
    focused = texts(draw_methods(views, "blind", slices=2, focus=2))
    assert [text for text in focused if text.startswith("slice")] == ["slice 3 of 6", "slice 4 of 6"]


def test_methods_that_do_not_fit_are_refused(views):
    with pytest.raises(InputError, match="expected the predictions of gone"):
        draw_methods(views, "gone")
    small = replace(views["right"], prediction=np.zeros((6, 40, 41), np.uint8))
    with pytest.raises(InputError, match="expected label maps of shape"):
        draw_methods({**views, "small": small}, "right")
