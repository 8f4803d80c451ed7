"""Cases chosen by rule, Dice by hand, the slice that tells most; figures hold what they claim to."""

import numpy as np
import pytest

from unpaired.analyses.affinities.figure import AffinityView, affinities_alt, draw_affinities
from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.class_rows import inside_outside
from unpaired.figures.feature_maps import ClassChannels, FeatureView, draw_feature_maps, telling_slice
from unpaired.figures.segmentation_grid import (
    GridCase,
    dice_by_class,
    draw_segmentation_grid,
    median_and_worst,
    most_wrong_slice,
    segmentation_grid_alt,
    shown_slice,
)
from unpaired.figures.style import DARK, png

CLASSES = ("background", "LV", "RV")


def view(prediction=None, reference=None, name="p1_ct") -> CaseView:
    if reference is None:
        reference = np.zeros((3, 20, 24), np.int16)
        reference[1, 5:10, 5:12] = 1
        reference[1, 12:15, 5:12] = 2
        reference[2, 5:10, 5:12] = 1
    volume = np.random.default_rng(0).random(reference.shape).astype(np.float32)
    return CaseView(name, "ct", CLASSES, volume, reference, prediction, (5.0, 2.0, 1.0))


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts] + [
        text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, axes.yaxis.label)
    ]


def test_median_and_worst_are_chosen_over_all_methods_and_the_lower_median_of_an_even_number():
    a = {"p1": 0.9, "p2": 0.5, "p3": 0.8, "p4": 0.7}
    b = {"p1": 0.1, "p2": 0.6, "p3": 0.8, "p4": 0.9, "p5": 0.0}  # p5 is not there for a
    assert median_and_worst({"a": a, "b": b}) == {"p2": "median", "p1": "worst"}
    assert median_and_worst({"a": {"p1": 0.9, "p2": 0.5, "p3": 0.8}}) == {"p3": "median", "p2": "worst"}
    assert median_and_worst({"a": {"p1": 0.9, "p2": 0.5}}) == {"p2": "worst"}
    assert median_and_worst({"a": {"p1": 0.9}}) == {"p1": "only"}
    assert median_and_worst({"a": {}}) == {}
    assert median_and_worst({}) == {}


def test_dice_by_hand_without_what_is_not_certain():
    reference = np.array([[[1, 1, 0, 0, -1, 2]]], np.int16)
    prediction = np.array([[[1, 0, 1, 0, 1, 0]]], np.uint8)
    assert dice_by_class(view(prediction, reference)) == {"LV": pytest.approx(2 / 4), "RV": 0.0}
    assert dice_by_class(view(np.zeros((1, 1, 6), np.uint8), np.zeros((1, 1, 6), np.int16))) == {}
    assert dice_by_class(view()) == {}


def test_the_slice_is_where_all_methods_together_are_most_wrong():
    right = view().reference.astype(np.uint8)
    first, second = right.copy(), right.copy()
    first[0, :2] = 1
    second[2, :1] = 1
    second[0, 0, 0] = 1
    assert most_wrong_slice([view(first), view(second)]) == 0
    assert most_wrong_slice([view(right), view(right)]) == 1  # none is wrong: most foreground
    views = {"a": view(first), "b": view(second)}
    assert [shown_slice(GridCase(why, views)) for why in ("worst", "median", "only")] == [0, 1, 1]
    assert telling_slice(view().reference) == 1
    assert telling_slice(np.zeros((5, 4, 4), np.int16)) == 2


def test_the_grid_says_every_methods_dice_and_why_a_case_is_there():
    right = view().reference.astype(np.uint8)
    wrong = np.where(right == 2, 0, right)
    case = GridCase("worst", {"msbn": view(right), "csa": view(wrong)})
    figure = draw_segmentation_grid([case, GridCase("median", dict(case.views))])
    shown = texts(figure)
    assert shown.count("Dice 100.0\nLV 100.0  RV 100.0") == 2
    assert shown.count("Dice 50.0\nLV 100.0  RV 0.0") == 2
    assert {"image", "reference", "msbn", "csa", "ct: p1_ct\nworst case", "ct: p1_ct\nmedian case"} <= set(shown)
    assert png(figure, 40).startswith(b"\x89PNG")
    assert "msbn 100.0, csa 50.0" in segmentation_grid_alt([case])
    with pytest.raises(InputError, match="same methods"):
        draw_segmentation_grid([case, GridCase("median", {"msbn": view(right)})])
    with pytest.raises(InputError, match="at least one case"):
        draw_segmentation_grid([])
    with pytest.raises(InputError, match="shape"):
        draw_segmentation_grid([GridCase("only", {"msbn": view(right[:2])})])


def test_inside_and_outside_are_means_of_certain_voxels():
    values, mask = np.array([[1.0, 2.0], [30.0, 400.0]]), np.array([[True, True], [False, False]])
    certain = np.array([[True, True], [True, False]])
    assert inside_outside(values, mask, certain) == "in 1.5  out 30"
    assert inside_outside(values, np.zeros((2, 2), bool), certain) == "in –  out 11"


def test_feature_maps_name_channels_and_classes():
    maps = np.random.default_rng(0).random((2, 20, 24)).astype(np.float32)
    channels = (*(ClassChannels((7, 3), (0.5, 0.25), maps) for _ in CLASSES[1:]), ClassChannels((), (), maps[:0]))
    found = FeatureView("csa", "group4", view(), 1, maps.mean(axis=0), channels)
    figure = draw_feature_maps(found)
    shown = texts(figure)
    assert {"background", "LV", "RV", "7 · AP 50 %", "3 · AP 25 %"} <= set(shown)
    assert "csa · group4 · ct · p1_ct, slice 2 of 3" in shown
    assert png(figure, 40).startswith(b"\x89PNG")
    with pytest.raises(InputError, match="maps of shape"):
        draw_feature_maps(FeatureView("csa", "group4", view(), 1, maps.mean(axis=0)[:5], channels))


@pytest.mark.parametrize("modalities", [("ct", "mr"), ("ct", "lge", "bssfp")])
def test_affinities_say_their_mean_squared_difference(modalities):
    rng = np.random.default_rng(0)
    after = [[rng.uniform(-1, 1, (4, 3)) for _ in CLASSES[:2]] + [None] for _ in modalities]
    before = [[np.zeros((4, 3)), np.full((4, 3), 0.5 * (place == 0)), None] for place in range(len(modalities))]
    found = AffinityView("csa", ("group4", "group5"), modalities, CLASSES, before, after)
    figure = draw_affinities(found, DARK)
    expected = f"{0.25 * (len(modalities) - 1) / (len(modalities) * (len(modalities) - 1) / 2):.2g}"
    assert expected in texts(figure)
    assert texts(figure).count("absent") == 2 * (len(modalities) + (1 if len(modalities) == 2 else 3))
    assert f"LV {expected}" in affinities_alt(found)
    assert png(figure, 40).startswith(b"\x89PNG")
    with pytest.raises(InputError, match="two modalities"):
        draw_affinities(AffinityView("csa", ("a", "b"), ("ct",), CLASSES, before[:1], after[:1]))
