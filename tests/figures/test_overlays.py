"""The right slices, the right part, the right proportions, and labels where they belong."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from unpaired.errors import InputError
from unpaired.figures.case_view import CaseView
from unpaired.figures.crop import display_window, organ_box
from unpaired.figures.overlays import default_title, draw_case, only_class, telling_slices
from unpaired.figures.style import class_color, png


def view_of(reference, prediction, spacing=(5.0, 2.0, 1.0), volume=None):
    shape = (reference if reference is not None else prediction).shape
    volume = np.random.default_rng(0).random(shape).astype(np.float32) if volume is None else volume
    return CaseView("p1_ct", "ct", ("background", "LV", "RV"), volume, reference, prediction, spacing)


def labels(shape=(12, 60, 120)):
    array = np.zeros(shape, np.uint8)
    array[2:10, 20:40, 40:80] = 1
    array[4:8, 25:35, 50:60] = 2
    return array


def test_slices_hold_labels_and_the_most_wrong_one():
    reference, prediction = labels(), labels()
    prediction[9] = 0
    chosen = telling_slices(view_of(reference, prediction), 4)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 4
    assert 9 in chosen
    assert all(reference[index].any() for index in chosen)


def test_slices_are_spread_evenly_where_all_is_right():
    assert telling_slices(view_of(labels(), labels()), 4) == [3, 5, 7, 9]
    assert telling_slices(view_of(labels(), None), 2) == [4, 8]


def test_fewer_slices_than_columns_and_no_labels_at_all():
    assert telling_slices(view_of(labels()[3:5], labels()[3:5]), 4) == [0, 1]
    assert telling_slices(view_of(np.zeros((9, 4, 4), np.uint8), None), 3) == [1, 4, 7]
    with pytest.raises(InputError, match="one column"):
        telling_slices(view_of(labels(), None), 0)


def test_the_box_holds_every_label_and_not_the_whole_picture():
    rows, cols = organ_box(view_of(labels(), labels(), spacing=(5.0, 1.0, 1.0)))
    assert rows.start <= 20 - 18 + 1
    assert rows.stop >= 40 + 18 - 1
    assert (cols.start, cols.stop) == (40 - 18, 80 + 18)


def test_the_box_stays_inside_and_is_everything_without_labels():
    array = np.zeros((2, 30, 40), np.uint8)
    assert organ_box(view_of(array, None)) == (slice(0, 30), slice(0, 40))
    array[0, 0, 39] = 1
    rows, cols = organ_box(view_of(array, None))
    assert rows.start == 0
    assert cols.stop == 40


def test_air_does_not_take_the_contrast_of_ct():
    volume = np.full((2, 20, 20), -1000.0, np.float32)
    volume[:, 5:15, 5:15] = np.linspace(0, 100, 100).reshape(10, 10)
    view = view_of(np.zeros((2, 20, 20), np.uint8), None, volume=volume)
    low, high = display_window(view, slice(0, 20), slice(0, 20))
    assert 0 <= low < 5
    assert 95 < high <= 100
    assert display_window(replace(view, volume=np.zeros((2, 20, 20))), slice(0, 20), slice(0, 20)) == (0.0, 1.0)


def test_a_panel_has_the_proportions_of_the_body():
    view = view_of(labels(), labels())
    figure = draw_case(view)
    rows, cols = organ_box(view)
    expected = (rows.stop - rows.start) * 2.0 / ((cols.stop - cols.start) * 1.0)
    panels = figure.axes
    assert len(panels) == 8
    for axes in panels:
        box = axes.get_position()
        drawn = box.height * figure.get_figheight() / (box.width * figure.get_figwidth())
        assert drawn == pytest.approx(expected, rel=0.02)
        assert axes.get_aspect() in (1.0, "equal")


def test_fill_is_the_prediction_and_outline_the_reference():
    reference, prediction = np.zeros((1, 40, 40), np.uint8), np.zeros((1, 40, 40), np.uint8)
    reference[0, 10:20, 10:20] = 1
    prediction[0, 12:22, 10:20] = 2
    figure = draw_case(view_of(reference, prediction, (5.0, 1.0, 1.0)), columns=1)
    bare, drawn = figure.axes
    assert len(bare.images) == 1
    fill = np.asarray(drawn.images[1].get_array())
    rows, cols = organ_box(view_of(reference, prediction, (5.0, 1.0, 1.0)))
    assert np.array_equal(fill[..., 3] > 0, prediction[0, rows, cols] == 2)
    assert tuple(fill[fill[..., 3] > 0][0][:3]) == pytest.approx(to_rgba(class_color(2))[:3])
    outline = drawn.collections[0].get_paths()[0].vertices
    # The outline runs half a voxel outside the centers of the mask's voxels, in mm within the box.
    assert outline[:, 1].min() == pytest.approx(10 - rows.start)
    assert outline[:, 1].max() == pytest.approx(20 - rows.start)
    assert outline[:, 0].min() == pytest.approx(10 - cols.start)


@pytest.mark.parametrize("missing", ["reference", "prediction", "both"])
def test_what_is_missing_is_not_drawn(missing):
    view = view_of(labels(), labels())
    view = replace(view, reference=None) if missing in ("reference", "both") else view
    view = replace(view, prediction=None) if missing in ("prediction", "both") else view
    words = [text.get_text() for text in draw_case(view).legends[0].get_texts()]
    assert ("fill: prediction" in words) == (missing == "reference")
    assert ("outline: reference" in words) == (missing == "prediction")


def test_each_class_is_named_once_inside_itself():
    """In its fill or its outline, so nobody has to tell colors apart; a class that isn't there has no name."""
    reference, prediction = labels(), labels()
    prediction[prediction == 2] = 0
    figure = draw_case(view_of(reference, prediction, spacing=(5.0, 1.0, 1.0)))
    drawn = {}
    for axes in figure.axes:
        for text in axes.texts:
            if text.get_text() in ("LV", "RV"):
                assert text.get_text() not in drawn
                drawn[text.get_text()] = text.get_position()
    rows, cols = organ_box(view_of(reference, prediction, spacing=(5.0, 1.0, 1.0)))
    for number, name in ((1, "LV"), (2, "RV")):
        x, y = drawn[name]
        assert (reference == number)[:, rows.start + int(y), cols.start + int(x)].any()
    alone = draw_case(view_of(np.where(reference == 1, 1, 0), None))
    assert [text.get_text() for axes in alone.axes for text in axes.texts].count("RV") == 0


def test_focus_shows_the_slices_of_one_class_with_all_labels():
    reference, prediction = labels(), labels()
    prediction[prediction == 2] = 1
    view = view_of(reference, prediction)
    slices = [
        text.get_text() for axes in draw_case(view, 3, focus=2).axes for text in axes.texts if "of" in text.get_text()
    ]
    assert {int(text.split()[1]) - 1 for text in slices} <= {4, 5, 6, 7}
    only = only_class(view, 2)
    assert set(np.unique(only.reference)) == {0, 2}
    assert not only.prediction.any()
    assert np.array_equal(view.reference, labels())


def test_title_names_case_modality_and_dice():
    prediction = labels()
    prediction[prediction == 2] = 0
    assert default_title(view_of(labels(), prediction)) == "p1_ct · ct · Dice: LV 1.000, RV 0.000"
    assert default_title(view_of(labels(), None)) == "p1_ct · ct"


def test_label_maps_of_another_shape_are_named():
    with pytest.raises(InputError, match=r"case p1_ct: expected label maps of shape \(12, 60, 120\)"):
        draw_case(replace(view_of(labels(), None), prediction=labels((11, 60, 120))))


def test_pictures_leave_pyplot_alone():
    assert png(draw_case(view_of(labels(), labels()), columns=2)).startswith(b"\x89PNG")
    code = (
        "import sys, unpaired.figures.overlays, unpaired.figures.curves; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
