"""What the log says is what is drawn; what is no number is left out."""

import pytest

from unpaired.figures.curves import POINTS, Curve, curves_of, draw_curve
from unpaired.figures.style import LIGHT, svg

LOG = [
    {"step": "0", "loss": "3.0", "term/ce/ct": "1.0", "term/ce/mr": "2.0", "term/affinity": "0.5", "lr": "0.01"},
    {"step": "10", "loss": "2.0", "term/ce/ct": "0.5", "term/ce/mr": "nan", "term/affinity": "", "lr": "0.01"},
    {"step": "20", "loss": "1.0", "term/ce/ct": "0.2", "term/ce/mr": "1.0", "term/affinity": "0.1", "lr": "0.001"},
    {"step": "30", "loss": "0.", "term/ce/ct": "half-writ"},
]
VALIDATION = [
    {"step": "20", "modality": "ct", "class": "LV", "dice": "0.8"},
    {"step": "20", "modality": "ct", "class": "RV", "dice": "0.6"},
    {"step": "10", "modality": "ct", "class": "LV", "dice": "0.5"},
    {"step": "10", "modality": "ct", "class": "RV", "dice": ""},
    {"step": "20", "modality": "mr", "class": "LV", "dice": "0.4"},
]


def test_a_panel_per_term_and_a_line_per_modality():
    curves = {curve.title: curve.lines for curve in curves_of(LOG, VALIDATION)}
    assert list(curves) == ["loss", "ce", "affinity", "validation Dice", "learning rate"]
    assert curves["loss"] == {"": [(0, 3.0), (10, 2.0), (20, 1.0), (30, 0.0)]}
    assert curves["ce"] == {"ct": [(0, 1.0), (10, 0.5), (20, 0.2)], "mr": [(0, 2.0), (20, 1.0)]}
    assert curves["affinity"] == {"": [(0, 0.5), (20, 0.1)]}
    assert curves["validation Dice"] == {"ct": [(10, 0.5), (20, pytest.approx(0.7))], "mr": [(20, 0.4)]}


def test_terms_of_classes_have_their_names():
    log = [{"step": "0", "term/class_distance/0": "1.0", "term/class_distance/1": "2.0", "term/class_distance/2": "3"}]
    (curve,) = curves_of(log, [], ("background", "LV"))
    assert curve.lines == {"background": [(0, 1.0)], "LV": [(0, 2.0)], "2": [(0, 3.0)]}


def test_no_rows_give_no_panels():
    assert list(curves_of([], [])) == []


def test_words_for_those_who_can_not_see_it():
    curve = Curve("ce", {"ct": [(0.0, 1.0), (5.0, 0.25)]})
    assert curve.alt == "ce by training step: ct from 1 to 0.25"


def test_a_modality_keeps_its_color_and_style_where_others_are_missing():
    figure = draw_curve(Curve("ce", {"ct": [(0.0, 1.0)], "mr": [(0.0, 1.0)]}), ("ct", "mr"))
    assert all(color.lower().encode() in svg(figure) for color in LIGHT.series[:2])
    both = figure.axes[0].lines
    alone = draw_curve(Curve("dice", {"mr": [(0.0, 1.0)]}), ("ct", "mr")).axes[0].lines
    assert alone[0].get_color() == both[1].get_color() == LIGHT.series[1]
    assert alone[0].get_linestyle() == both[1].get_linestyle() == "--"
    assert both[0].get_linestyle() == "-"


def test_long_logs_are_thinned_to_means_and_smoothing_keeps_a_constant():
    points = [(float(step), 2.0) for step in range(5 * POINTS + 3)]
    pale, strong = draw_curve(Curve("loss", {"": points})).axes[0].lines
    assert len(pale.get_xdata()) <= POINTS
    assert pale.get_xdata()[0] == pytest.approx(2.5)  # the mean step of the first six
    assert strong.get_ydata() == pytest.approx([2.0] * len(strong.get_ydata()))


def test_learning_rate_over_decades_is_logarithmic_and_zero_is_not():
    def scale(*rates):
        return (
            draw_curve(Curve("learning rate", {"": [(float(step), rate) for step, rate in enumerate(rates)]}))
            .axes[0]
            .get_yscale()
        )

    assert scale(0.01, 0.0001) == "log"
    assert scale(0.01, 0.005) == "linear"
    assert scale(0.01, 0.0) == "linear"
