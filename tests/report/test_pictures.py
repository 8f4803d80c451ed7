"""Every structure that is empty in one map has its own picture, or is named where there are very many."""

import io
from base64 import b64decode

import pytest
from PIL import Image

from undrawn import undrawn
from unpaired.data.images import read_image, write_image
from unpaired.report import pictures
from unpaired.report.pictures import empty_masks
from unpaired.report.template import render
from unpaired.scores.evaluate import evaluate_dataset


@pytest.fixture(scope="module")
def worse(world, tmp_path_factory):
    """The world's predictions, where e_mr lost both classes and b_ct lost LV."""
    dataset, predictions, _ = world
    folder = tmp_path_factory.mktemp("worse")
    for name, lost in (("a_ct", ()), ("b_ct", (1,)), ("c_ct", ()), ("e_mr", (1, 2))):
        image = read_image(predictions / f"{name}.nii.gz")
        array = image.array.copy()
        for value in lost:
            array[array == value] = 0
        write_image(folder / f"{name}.nii.gz", array, image.affine)
    return dataset, folder, evaluate_dataset(dataset, folder)


def size(picture):
    return Image.open(io.BytesIO(b64decode(picture.light.partition(",")[2]))).size


def test_each_missed_structure_is_drawn_by_itself(worse):
    shown = list(empty_masks(*worse))
    assert {(item.case, item.class_name) for item in shown} == {
        ("b_ct", "LV"),
        ("c_ct", "RV"),
        ("e_mr", "LV"),
        ("e_mr", "RV"),
    }
    assert {item.status for item in shown} == {"missed"}
    assert len({item.picture.light for item in shown}) == 4
    for item in shown:
        assert f"{item.class_name} of {item.case}" in item.picture.alt
        assert "in the reference, but not in the prediction" in item.picture.alt
    lv = next(item for item in shown if (item.case, item.class_name) == ("b_ct", "LV"))
    assert lv.milliliters == pytest.approx(8 * 8 * 2 * 1.5 * 1.5 * 8 / 1000)


def test_invented_structures_are_drawn_too(world, tmp_path):
    """The other way round: what the prediction has and the reference has not."""
    dataset, predictions, _ = world
    image = read_image(predictions / "c_ct.nii.gz")
    array = image.array.copy()
    array[17:20, 8:12, 1] = 2
    write_image(tmp_path / "c_ct.nii.gz", array, image.affine)
    case = dataset.case("c_ct")
    array[array == 2] = 0
    write_image(tmp_path / "label.nii.gz", array, image.affine)
    changed = type(case)(case.id, case.patient, case.modality, case.image, tmp_path / "label.nii.gz", split="test")
    dataset = type(dataset)(dataset.name, dataset.classes, dataset.modalities, (changed,))
    shown = list(empty_masks(dataset, tmp_path, evaluate_dataset(dataset, tmp_path)))
    assert [(item.class_name, item.status) for item in shown] == [("RV", "false_positive")]
    assert "in the prediction, but not in the reference" in shown[0].picture.alt
    assert shown[0].milliliters == pytest.approx(12 * 1.5 * 1.5 * 8 / 1000)


def test_of_many_each_is_smaller_and_none_is_left_out(worse, monkeypatch):
    with undrawn(whole=True):
        few = list(empty_masks(*worse))
        monkeypatch.setattr(pictures, "MANY", 3)
        many = list(empty_masks(*worse))
    assert [(item.case, item.class_name) for item in many] == [(item.case, item.class_name) for item in few]
    assert size(many[0].picture)[0] < size(few[0].picture)[0]


def test_of_very_many_the_largest_are_drawn_and_all_are_named(worse, monkeypatch):
    with undrawn():
        all_drawn = list(empty_masks(*worse))
        monkeypatch.setattr(pictures, "DRAWN", 2)
        shown = list(empty_masks(*worse))
    sizes = sorted((item.milliliters for item in all_drawn), reverse=True)
    assert [(item.case, item.class_name) for item in shown] == [(item.case, item.class_name) for item in all_drawn]
    drawn = [item.milliliters for item in shown if item.picture is not None]
    assert sorted(drawn, reverse=True) == sizes[:2]
    assert [item.problem for item in shown] == [""] * 4, "what is not drawn is no problem"
    page = render_section(shown)
    assert page.count("<figure>") == 2
    assert page.count("<li>") == 2
    assert "All 4 structures" in page
    assert "the others are named below" in page
    assert "<li>" not in render_section(all_drawn)


def render_section(shown):
    return render("sections/empty_masks.html.jinja", empty_masks=shown)


def test_without_the_prediction_the_structure_is_still_named(worse, tmp_path):
    dataset, _, evaluation = worse
    shown = list(empty_masks(dataset, tmp_path, evaluation))
    assert len(shown) == 4
    assert all(item.picture is None and "no longer in" in item.problem for item in shown)
