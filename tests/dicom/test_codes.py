"""Coded terms of classes: every code is DICOM's own, every importer's class has one, names go there and back."""

import itertools
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts

from unpaired.data.class_codes import ANATOMY, ClassCode, Code
from unpaired.data.importers import amos, btcv, chaos, mmwhs
from unpaired.dicom.codes import (
    LOCAL_SCHEME,
    code_of,
    display_color,
    name_of,
    same_classes,
    structure_names,
    words_of,
)
from unpaired.dicom.structures import STRUCTURES, VERTEBRAE, Structure
from unpaired.errors import InputError
from unpaired.phantom.acquisition import CLASSES

_NAMES = """
spleen kidney_right kidney_left gallbladder liver stomach pancreas adrenal_gland_right adrenal_gland_left
lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right
esophagus trachea thyroid_gland small_bowel duodenum colon urinary_bladder prostate kidney_cyst_left
kidney_cyst_right sacrum vertebrae_S1 heart aorta pulmonary_vein brachiocephalic_trunk subclavian_artery_right
subclavian_artery_left common_carotid_artery_right common_carotid_artery_left brachiocephalic_vein_left
brachiocephalic_vein_right atrial_appendage_left superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein
iliac_artery_left iliac_artery_right iliac_vena_left iliac_vena_right humerus_left humerus_right scapula_left
scapula_right clavicula_left clavicula_right femur_left femur_right hip_left hip_right spinal_cord
gluteus_maximus_left gluteus_maximus_right gluteus_medius_left gluteus_medius_right gluteus_minimus_left
gluteus_minimus_right autochthon_left autochthon_right iliopsoas_left iliopsoas_right brain skull sternum
costal_cartilages heart_myocardium heart_atrium_left heart_ventricle_left heart_atrium_right heart_ventricle_right
pulmonary_artery
"""
TOTALSEGMENTATOR = _NAMES.split()
TOTALSEGMENTATOR += [f"vertebrae_{level}" for level in VERTEBRAE]
TOTALSEGMENTATOR += [f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)]

PUBLIC: dict[str, set[str]] = {}
for _spelled in concepts["SCT"].values():
    for _value, (_meaning, _groups) in _spelled.items():
        PUBLIC.setdefault(_value, set()).add(_meaning)


@pytest.mark.parametrize("row", STRUCTURES, ids=lambda row: row.name)
def test_every_term_of_the_table_is_one_of_dicom(row: Structure) -> None:
    for code in (row.code, row.category, row.region):
        if code is not None:
            assert code.scheme == "SCT"
            assert code.meaning.lower() in {meaning.lower() for meaning in PUBLIC[code.value]}, code


def test_no_two_structures_share_a_name() -> None:
    names = [words for row in STRUCTURES for words in {words_of(name) for name in (row.name, *row.synonyms)}]
    assert len(names) == len(set(names))


def test_what_has_the_code_of_another_says_so() -> None:
    """Two structures of one code differ in their region, or all but one are marked as wider."""
    for _, rows in itertools.groupby(sorted(STRUCTURES, key=lambda row: row.code.value), lambda row: row.code.value):
        regions = [row.region for row in rows if not row.wider]
        assert len(regions) == len(set(regions))


@pytest.mark.parametrize("name", TOTALSEGMENTATOR)
def test_all_structures_of_totalsegmentator_have_a_code(name: str) -> None:
    code = code_of(name)
    assert code.type.scheme == "SCT"
    side = code.modifier or code.region_modifier
    if ("left" in name or "right" in name) and not any(word in name for word in ("heart", "appendage", "middle")):
        assert side is not None
        assert side.meaning.lower() in name


def test_classes_of_importers_and_phantoms_have_a_code_but_the_one_that_is_two_organs() -> None:
    names = {
        *amos.VALUES,
        *btcv.VALUES,
        *chaos.VALUES,
        *mmwhs.VALUES.values(),
        *CLASSES["heart"][1:],
        *CLASSES["abdomen"][1:],
    }
    assert {name for name in names if code_of(name).type.scheme == LOCAL_SCHEME} == {"prostate or uterus"}


@pytest.mark.parametrize(
    ("name", "value", "side"),
    [
        ("LV", "87878005", None),
        ("myo", "49848007", None),
        ("left kidney", "64033007", "Left"),
        ("Kidney_R", "64033007", "Right"),
        ("LungUpperLobe-left", "45653009", "Left"),
        ("right adrenal gland", "23451007", "Right"),
        ("rib_left_4", "113197003", "Left"),
        ("heart_ventricle_left", "87878005", None),
    ],
)
def test_a_name_in_any_spelling(name: str, value: str, side: str | None) -> None:
    code = code_of(name)
    assert (code.type.value, code.modifier and code.modifier.meaning) == (value, side)
    assert code.category == ANATOMY
    assert code.color is not None


@pytest.mark.parametrize(
    ("names", "others", "same"),
    [
        (["Myocardium", "lv"], ["LV", "myo", "RV"], {"Myocardium": "myo", "lv": "LV"}),
        (
            ["kidney_L", "kidney right"],
            ["right kidney", "left kidney"],
            {"kidney_L": "left kidney", "kidney right": "right kidney"},
        ),
        (["kidney"], ["left kidney"], {}),
        (["rib 1"], ["rib 2"], {}),  # of one code
        (["aorta"], ["AA"], {}),
        (["myo", "myocardium"], ["myo"], {"myo": "myo"}),  # the equal one wins
        (["lv myo", "myocardium"], ["myo"], {}),  # nobody knows which
        (["myo"], ["lvm", "myocardium"], {}),
        (["organ 7"], ["organ 8"], {}),
        (["Organ 7"], ["organ 7"], {"Organ 7": "organ 7"}),
    ],
)
def test_classes_that_are_the_same_by_whatever_name(names: list[str], others: list[str], same: dict[str, str]) -> None:
    assert same_classes(names, others) == same


def test_a_side_is_that_of_the_region_where_something_may_lie_anywhere() -> None:
    code = code_of("kidney_cyst_left")
    assert (code.type.meaning, code.modifier) == ("Cyst", None)
    assert code.region == Code("64033007", "Kidney")
    assert code.region_modifier == Code("7771000", "Left")


@pytest.mark.parametrize("name", ["left liver", "widget", "prostate or uterus", "средостение", "\\^%", "x" * 80])
def test_an_unknown_class_gets_a_valid_local_code(name: str) -> None:
    code = code_of(name)
    assert code.type.scheme == LOCAL_SCHEME
    assert len(code.type.value) <= 16
    assert len(code.type.meaning) <= 64
    assert "\\" not in code.type.value + code.type.meaning
    assert code_of(name) == code


def test_two_unknown_classes_have_two_codes() -> None:
    names = ["thing A of a long name", "thing B of a long name", "a", "b", "α", "β"]
    assert len({code_of(name).type.value for name in names}) == len(names)


def test_a_manifest_has_the_last_word() -> None:
    own = ClassCode(Code("T-1", "Widget", "99MINE"), color=(1, 2, 3))
    assert code_of("liver", {"liver": own}) == own
    assert code_of("organ 7", {"organ 7": "left kidney"}) == code_of("left kidney")
    assert code_of("organ 7", {"organ 7": ClassCode(Code("1", "x"))}).color is not None
    with pytest.raises(InputError, match=r"codes\.x: 'livver' is no structure .*did you mean liver"):
        code_of("x", {"x": "livver"})


@pytest.mark.parametrize("name", [name for name in structure_names() if not code_of(name).type.scheme.startswith("99")])
def test_names_come_back_from_their_codes(name: str) -> None:
    row = next(row for row in STRUCTURES if row.name == name)
    code = code_of(name)
    back = name_of(code.type, (), code.region)
    assert back == name or row.wider


def test_a_side_comes_back() -> None:
    left = code_of("left kidney")
    assert left.modifier is not None
    assert name_of(left.type, (left.modifier,)) == "left kidney"
    assert name_of(Code("10200004", "Liver"), (left.modifier,)) == "liver"
    assert name_of(Code("1", "?", "99X")) is None
    cyst = code_of("right kidney cyst")
    assert cyst.region_modifier is not None
    assert name_of(cyst.type, (cyst.region_modifier,), cyst.region) == "right kidney cyst"
    assert name_of(cyst.type, (), Code("10200004", "Liver")) == "cyst"


@pytest.mark.parametrize(
    ("color", "expected"),
    [((255, 255, 255), (65535, 32896, 32896)), ((0, 0, 0), (0, 32896, 32896)), ((255, 0, 0), (34886, 53484, 50171))],
)
def test_display_colors_are_dicoms_cielab(color: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    """Red is L* 53.23, a* 80.11, b* 67.22 (D65): 53.23 / 100 and (80.11 + 128) / 255 of 65535."""
    pytest.importorskip("highdicom")
    value = display_color(ClassCode(Code("1", "x"), color=color))
    assert value == pytest.approx(expected, abs=70)


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "codes.md"


def table_of_codes() -> str:
    """The table of docs/reference/codes.md: `python tests/dicom/test_codes.py` writes it anew."""
    lines = ["| structure | also called | SNOMED CT code | meaning | category | where | color |", "|" + "---|" * 7]
    for row in STRUCTURES:
        name = f"{row.name} (left, right)" if row.paired else row.name
        meaning = f"{row.code.meaning} (wider)" if row.wider else row.code.meaning
        region = "" if row.region is None else f"{row.region.value} {row.region.meaning}"
        color = "#{:02x}{:02x}{:02x}".format(*row.color)
        cells = (name, ", ".join(row.synonyms), row.code.value, meaning, row.category.meaning, region, color)
        lines.append("| " + " | ".join(cells).replace("|  |", "| |") + " |")
    return "\n".join(lines).replace("|  |", "| |") + "\n"


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8").endswith("\n" + table_of_codes())


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text[: text.index("| structure |")] + table_of_codes(), encoding="utf-8")
