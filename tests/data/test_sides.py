"""Paired organs and the axes that tell them apart."""

import pytest

from unpaired.data.sides import class_swap, label_swap, mirror_warning, side_pairs, swapped_pairs
from unpaired.errors import InputError

KIDNEYS = ("background", "left kidney", "liver", "kidney_right", "Right Kidney")


def test_pairs_differ_in_left_and_right_alone() -> None:
    assert side_pairs(KIDNEYS) == [("left kidney", "Right Kidney")]
    assert side_pairs(("background", "lung-left", "lung_right")) == [("lung-left", "lung_right")]
    assert side_pairs(("background", "kidney (left)", "Kidney, Right")) == [("kidney (left)", "Kidney, Right")]
    assert side_pairs(("background", "left kidney", "liver")) == []
    assert side_pairs(("background", "KidneyL", "KidneyR", "RightLung", "LeftLung")) == [
        ("KidneyL", "KidneyR"),
        ("LeftLung", "RightLung"),
    ]
    assert side_pairs(("background", "LV", "RV", "LA", "RA")) == [], "each of these stays what it is"
    assert side_pairs(("background", "LVmyo", "RVmyo", "lvm", "rvm")) == []
    assert side_pairs(("background", "liver", "lung", "left lung", "right lung")) == [("left lung", "right lung")]


@pytest.mark.parametrize(
    "pair",
    [
        ("lkid", "rkid"),
        ("LKidney", "RKidney"),
        ("linke Niere", "rechte Niere"),
        ("Niere links", "Niere rechts"),
        ("rein gauche", "rein droit"),
        ("surrénale_gauche", "surrénale_droite"),
        ("rene sinistro", "rene destro"),
        ("rene sx", "rene dx"),
        ("riñón izquierdo", "riñón derecho"),
        ("ren sinister", "ren dexter"),
        ("glandula suprarenalis sinistra", "glandula suprarenalis dextra"),
    ],
)
def test_sides_in_a_letter_and_in_other_languages(pair: tuple[str, str]) -> None:
    assert side_pairs(("background", pair[1], "liver", pair[0])) == [pair]
    assert side_pairs(("background", pair[0], "liver")) == []


@pytest.mark.parametrize(
    ("plane", "mirrored", "warned"),
    [
        ("axial", ("width",), True),
        ("axial", ("height", "depth"), False),
        ("coronal", ("width", "height"), True),
        ("sagittal", ("depth",), True),
        ("sagittal", ("width", "height"), False),
        ("native", ("width",), True),
        ("native", ("height",), False),
        ("axial", (), False),
    ],
)
def test_the_axis_that_runs_from_left_to_right_is_warned_of(plane: str, mirrored: tuple, warned: bool) -> None:
    said = mirror_warning(KIDNEYS, plane, mirrored)
    assert (said is not None) == warned
    assert said is None or ("left kidney and Right Kidney" in said and "\n" not in said)
    assert mirror_warning(("background", "liver"), plane, mirrored) is None


def test_named_pairs_are_no_longer_warned_of() -> None:
    assert mirror_warning(KIDNEYS, "axial", ("width",), "by_name") is None
    assert mirror_warning(KIDNEYS, "axial", ("width",), (("Right Kidney", "left kidney"),)) is None
    assert mirror_warning(KIDNEYS, "axial", ("width",), (("liver", "kidney_right"),)) is not None


@pytest.mark.parametrize(
    ("swaps", "words"),
    [
        ((("left kidney", "spleen"),), "'spleen' is no structure"),
        ((("left kidney", "background"),), "'background' is no structure"),
        ((("left kidney", "left kidney"),), "'left kidney' twice"),
        ((("left kidney", "liver"), ("liver", "kidney_right")), "'liver' twice"),
    ],
)
def test_pairs_that_are_none(swaps: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        swapped_pairs(KIDNEYS, swaps)
    with pytest.raises(InputError, match="no two of the classes liver, spleen differ in left and right alone"):
        swapped_pairs(("background", "liver", "spleen"), "by_name")


def test_label_sets_are_swapped_member_by_member_and_completed() -> None:
    """Kidneys apart, merged, only one of them looked for (0 or 2), anything (the label of ignored voxels)."""
    swap = class_swap(("background", "left kidney", "right kidney", "liver"), "axial", "by_name")
    assert swap is not None
    assert (swap.axes, swap.numbers) == (("width",), (0, 2, 1, 3))
    sets, labels = label_swap(((0,), (1,), (2,), (3,), (1, 2), (0, 2), (0, 1, 2, 3)), swap)
    assert sets == ((0,), (1,), (2,), (3,), (1, 2), (0, 2), (0, 1, 2, 3), (0, 1))
    assert labels is not None
    for index, members in enumerate(sets):
        expected = {swap.numbers[number] for number in members}
        assert set(sets[labels.numbers[index]]) == expected
        assert labels.numbers[labels.numbers[index]] == index, "mirrored twice, all is as before"
    assert label_swap(((0,), (2, 1)), None) == (((0,), (1, 2)), None)


def test_only_an_odd_number_of_mirrored_sides_changes_sides() -> None:
    swap = class_swap(("background", "left", "right"), "sagittal", "by_name")
    assert swap is not None
    assert [swap.is_due(axes) for axes in ((), ("depth",), ("width",), ("depth", "height"))] == [
        False,
        True,
        False,
        True,
    ]
