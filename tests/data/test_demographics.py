"""Age, sex, site and scanner of a case: what is read for them, and their way through a manifest and back."""

import json
from pathlib import Path
from typing import Any

import pytest

from unpaired.data.demographics import UNSTATED, Demographics, read_demographics, readable_demographics
from unpaired.data.join import join_datasets
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.errors import InputError


@pytest.mark.parametrize(
    ("given", "years"),
    [(63, 63), ("63.5", 63.5), ("063Y", 63), ("018M", 1.5), ("89+", 89), (" 7 y", 7), (0, 0), ("021D", 0.06)],
)
def test_ages_are_years(given: Any, years: float) -> None:
    assert read_demographics({"age": given}, "here").age == pytest.approx(years)


@pytest.mark.parametrize(("given", "sex"), [("F", "F"), ("female", "F"), ("m", "M"), ("Other", "O"), ("n/a", None)])
def test_a_sex_is_a_letter_or_its_word(given: str, sex: str | None) -> None:
    assert read_demographics({"sex": given}, "here").sex == sex


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"age": "sixty"}, "here: expected an age in years, such as 63 or 063Y, got 'sixty'; correct it"),
        ({"age": 1960}, "got 1960"),
        ({"age": -1}, "got -1"),
        ({"age": True}, "got True"),
        ({"age": float("nan")}, "got nan"),
        ({"sex": 1}, "here: expected sex to be one of F, M, O, got 1"),
        ({"sex": "w"}, "got 'w'"),
        ({"site": ["a"]}, "here: site: expected a name"),
        ({"scanner": "a\u202eb"}, "which no name may"),
    ],
)
def test_what_says_nothing_a_person_can_use_gets_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_demographics(given, "here")
    assert "\n" not in str(caught.value)
    assert readable_demographics({**given, "scanner": given.get("scanner", "Avanto")})[1] == list(given)


def test_what_anonymizers_leave_says_nothing() -> None:
    left = {"age": "000Y", "sex": "", "site": "ANONYMIZED", "scanner": "Unknown"}
    assert readable_demographics(left) == (UNSTATED, [])


def test_a_manifest_keeps_them(tmp_path: Path) -> None:
    cases = [
        {"patient": "1", "modality": "ct", "image": "a.nii", "age": "063Y", "sex": "female", "site": " A  b "},
        {"patient": "2", "modality": "mr", "image": "b.nii", "age": "", "sex": None, "scanner": "Avanto"},
        {"patient": "3", "modality": "mr", "image": "c.nii", "stage": 4, "sexes": 2},
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"classes": ["none", "liver"], "cases": cases}), "utf-8")
    dataset = read_dataset(tmp_path)
    said = [case.demographics for case in dataset.cases]
    assert said == [Demographics(63, "F", "A b"), Demographics(scanner="Avanto"), UNSTATED]
    written = read_dataset(write_dataset(dataset, tmp_path / "other" / "m.json"))
    assert [case.demographics for case in written.cases] == said
    entry = json.loads((tmp_path / "other" / "m.json").read_text("utf-8"))["cases"][2]
    assert not entry.keys() & {"age", "sex", "site", "scanner"}
    (tmp_path / "more.json").write_text(json.dumps({"classes": ["none", "liver"], "cases": [cases[0] | {"id": "x"}]}))
    joined = join_datasets([dataset, read_dataset(tmp_path / "more.json")], "both")
    assert joined.case("x").demographics == said[0]


def test_a_table_has_columns_for_them(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"classes": ["none", "liver"]}', "utf-8")
    table = tmp_path / "t.csv"
    table.write_text("Patient,Modality,Image,AGE,sex,side\n1,ct,a.nii,63,M,left\n2,ct,b.nii,,,\n", "utf-8")
    assert [case.demographics for case in read_dataset(table).cases] == [Demographics(63, "M"), UNSTATED]
    table.write_text("patient,modality,image,age\n1,ct,a.nii,old\n", "utf-8")
    with pytest.raises(InputError, match=r"t.csv: case 'a.nii': expected an age in years, .* got 'old'"):
        read_dataset(table)
