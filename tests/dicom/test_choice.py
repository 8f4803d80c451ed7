"""Which series are taken for which modality, and the reason that a person is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.dicom.choice import choose, dicom_modality
from unpaired.dicom.index import Frame, Index, Series
from unpaired.errors import InputError

FRAMES = (Frame(Path("a"), 0, "1", "2", (4, 4)),)


def series(number: int = 1, modality: str = "MR", **attributes) -> Series:
    return replace(Series(f"1.2.840.{number}", "1", "2", "p", modality, FRAMES, number=number), **attributes)


def chosen(*given: Series, modalities=("ct", "t1", "t2"), **options) -> list[tuple[str | None, str]]:
    return [(choice.modality, choice.reason) for choice in choose(Index(Path(), given), list(modalities), **options)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ct", "CT"), ("cta", "CT"), ("liver-ct", "CT"), ("pet", "PT"), ("t2-spir", "MR"), ("lge", "MR"), ("mr", "MR")],
)
def test_a_modality_by_its_name(name: str, expected: str) -> None:
    assert dicom_modality(name) == expected


def test_the_only_modality_of_a_kind_takes_all_of_it() -> None:
    assert chosen(series(modality="CT"), series(2), modalities=("ct", "mr")) == [
        ("ct", "Modality CT"),
        ("mr", "Modality MR"),
    ]
    assert chosen(series(modality="US")) == [(None, "Modality US, which the run doesn't know")]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"description": "AX T2 HASTE fs"}, ("t2", "it is called 't2'")),
        ({"protocol": "vibe_dixon_tra"}, ("t1", "it is called 'vibe'")),
        ({"sequence": "h2_t2w_tse"}, ("t2", "it is called 't2w'")),
        ({"description": "survey"}, (None, "nothing decides between t1 and t2; name it by --modality")),
        ({"description": "t1 and t2"}, (None, "nothing decides between t1 and t2; name it by --modality")),
    ],
)
def test_words_decide_between_kinds_of_mr(attributes: dict, expected: tuple) -> None:
    assert chosen(series(**attributes)) == [expected]


def test_what_is_computed_from_scans_is_left_out_unless_asked_for() -> None:
    adc = series(5, image_type=("DERIVED", "PRIMARY", "DIFFUSION", "ADC"))
    assert chosen(adc, modalities=("mr",)) == [(None, "Image Type says ADC; ask for it by --series")]
    assert chosen(adc, modalities=("mr",), wanted=["5"]) == [("mr", "Modality MR")]


def test_what_is_no_volume_is_left_out_but_what_should_have_been_one_fails() -> None:
    scout = series(problem="a localizer, made to plan other scans")
    broken = series(2, problem="1 missing slice: 5.00 mm between a and b")
    assert chosen(scout, broken, modalities=("mr",)) == [
        (None, "a localizer, made to plan other scans"),
        ("mr", "Modality MR"),
    ]
    assert chosen(replace(broken, description="?"))[0][0] == "t1"  # whichever it is, it fails and is told


def test_a_person_says_what_series_are() -> None:
    mr, ct = series(description="c0"), series(2, modality="CT")
    assert chosen(mr, ct, modality="t2") == [("t2", "as you say"), (None, "DICOM says CT, not t2")]
    assert chosen(mr, modality_from=r"c(\d)", modalities=("0", "1")) == [
        ("0", r"'c(\\d)' finds it in what it is called")
    ]
    assert chosen(mr, modality_from="c0")[0][1] == "'c0' finds 'c0' there; did you mean ct?"
    with pytest.raises(InputError, match="is not a regular expression"):
        chosen(mr, modality_from="(")


def test_series_are_named_by_uid_its_end_or_number() -> None:
    first, second = series(11), replace(series(12), uid="1.3.12345", parts=2, part=2)
    for word in ("1.3.12345", "1.3.12345/2", "2345/2", "12"):
        assert chosen(first, second, wanted=[word], modalities=("mr",)) == [("mr", "Modality MR")]
    with pytest.raises(InputError, match="the tree has the numbers 11, 12"):
        chosen(first, second, wanted=["13"])
    with pytest.raises(InputError, match="2 series are called so; give more of the UID"):
        chosen(first, replace(second, number=11), wanted=["11"])
