"""The labels of dataset.json files as classes: both versions of nnU-Net, regions, ignored voxels, wrong ones."""

from typing import Any

import pytest

from unpaired.data.importers.label_names import classes_by_value, read_labels
from unpaired.errors import InputError


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "liver": 1, "spleen": 6},
        {"0": "background", "1": "liver", "6": "spleen"},
        {"spleen": [6], "background": [0], "liver": 1},
    ],
)
def test_names_and_values_either_way_round(labels: dict[str, Any]) -> None:
    classes, table = read_labels(labels, "d.json")
    assert classes == ("background", "liver", "spleen")
    assert table == {0: ("background",), 1: ("liver",), 6: ("spleen",)}


def test_regions_become_classes_that_exclude_each_other() -> None:
    # BraTS as nnU-Net writes it: edema 1, necrosis 2, enhancing tumor 3, given as nested regions.
    labels = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}
    classes, table = read_labels(labels, "d.json")
    assert table == {
        0: ("background",),
        1: ("whole tumor without tumor core and enhancing tumor",),
        2: ("tumor core without enhancing tumor",),
        3: ("enhancing tumor",),
    }
    assert classes == ("background", *(table[value][0] for value in (1, 2, 3)))


def test_a_region_of_several_values_is_one_class() -> None:
    classes, table = read_labels({"background": 0, "kidney": [1, 2], "liver": 3}, "d.json")
    assert classes == ("background", "kidney", "liver")
    assert table[1] == table[2] == ("kidney",)


def test_several_values_of_one_name() -> None:
    _, table = read_labels({"0": "background", "1": "lung", "2": "lung"}, "d.json")
    assert table == {0: ("background",), 1: ("lung",), 2: ("lung",)}


def test_a_background_is_called_alike_in_all_datasets() -> None:
    assert read_labels({"Background": 0, "liver": 1}, "d.json")[0] == ("background", "liver")


def test_ignored_voxels_may_be_of_any_class() -> None:
    classes, table = read_labels({"background": 0, "liver": 1, "ignore": 2}, "d.json")
    assert classes == ("background", "liver")
    assert table[2] == ("background", "liver")


def test_classes_that_a_person_says() -> None:
    assert classes_by_value({2: "liver"}) == (("background", "liver"), {0: ("background",), 2: ("liver",)})
    assert classes_by_value({0: "air", 2: "liver"})[0] == ("air", "liver")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "expected labels such as"),
        ([], "expected labels such as"),
        ({"liver": 1}, "background of value 0"),
        ({"background": 0, "liver": "x"}, "label 'liver': expected a whole number"),
        ({"background": 0, "liver": 1.5}, "label 'liver': expected a whole number"),
        ({"background": 0, "liver": []}, "label 'liver': expected a whole number"),
        ({"background": 0, "liver": True}, "label 'liver': expected a whole number"),
        ({"background": 0, "liver": float("inf")}, "label 'liver': expected a whole number"),
    ],
)
def test_wrong_labels_get_one_line(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_labels(labels, "d.json")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("d.json")
