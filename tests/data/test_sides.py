"""Paired organs and the axes that tell them apart."""

import pytest

from unpaired.data.sides import mirror_warning, side_pairs

KIDNEYS = ("background", "left kidney", "liver", "kidney_right", "Right Kidney")


def test_pairs_differ_in_left_and_right_alone() -> None:
    assert side_pairs(KIDNEYS) == [("left kidney", "Right Kidney")]
    assert side_pairs(("background", "lung-left", "lung_right")) == [("lung-left", "lung_right")]
    assert side_pairs(("background", "left kidney", "liver")) == []


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
