"""A table of patients beside the scans: whose columns are read, and what is said of those that can't be."""

from pathlib import Path

import pytest

from unpaired.cli import main
from unpaired.data.demographics import UNSTATED, Demographics
from unpaired.data.importers.catalog import import_dataset
from unpaired.data.importers.participants import read_participants
from unpaired.data.manifest import read_dataset
from unpaired.errors import InputError


def table(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def scans(folder: Path) -> Path:
    for name in ("ct/p1.nii.gz", "ct/p2.nii.gz", "mr/p1_ses-2.nii.gz", "mr/p3.nii.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_columns_are_known_by_the_names_that_people_give_them(tmp_path: Path) -> None:
    warnings: list[str] = []
    bids = "participant_id\tage\tsex\tgroup\nsub-01\t63\tF\tx\nsub-02\tn/a\tn/a\ty\nsub-01\t64\tF\tx\n"
    assert read_participants(table(tmp_path / "a.tsv", bids), warnings.append) == {
        "sub-01": Demographics(63, "F"),
        "sub-02": UNSTATED,
    }
    meta = "image_id;age;gender;institute;manufacturer;scanner_model\ns1;60;m;A;siemens;Avanto\ns2;;f;B;GE;\n"
    assert read_participants(table(tmp_path / "b.csv", meta), warnings.append) == {
        "s1": Demographics(60, "M", "A", "siemens Avanto"),
        "s2": Demographics(None, "F", "B", "GE"),
    }
    dicom = "Patient,Patient's Age,Patient's Sex,Manufacturer's Model Name\n7,040Y,O,Ingenia\n"
    assert read_participants(table(tmp_path / "c.csv", dicom), warnings.append) == {
        "7": Demographics(40, "O", scanner="Ingenia")
    }
    assert warnings == []
    odd = "id,age,sex\n1,old,F\n2,young,1\n"
    assert read_participants(table(tmp_path / "d.csv", odd), warnings.append)["1"] == Demographics(sex="F")
    assert [line.split(": ", 1)[1] for line in warnings] == [
        "2 values of age can't be read, such as 'old'; they are left out",
        "1 values of sex can't be read, such as '1'; they are left out",
    ]


def test_any_layout_takes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = table(tmp_path / "people.csv", "patient,age,sex\np1,63,F\np2,50,M\n")
    out = tmp_path / "m.json"
    command = ["import", "auto", str(scans(tmp_path / "d")), str(out), "--classes", "1:liver"]
    assert main([*command, "--participants", str(people)]) == 0
    printed = capsys.readouterr()
    assert "known of 3 patients: age of 2, sex of 2" in printed.out
    assert "says nothing of 1 of 3 patients, such as p3" in printed.err
    assert {case.id: case.demographics.age for case in read_dataset(out).cases} == {
        "p1": 63,
        "p2": 50,
        "p1_ses-2": 63,
        "p3": None,
    }


def test_a_table_of_something_else_gets_one_line(tmp_path: Path) -> None:
    folder = scans(tmp_path / "d")
    for text, message in (
        ("patient,age\nP1,63\n", "expected rows of patients such as 'p1', found 'P1'; call them as"),
        ("patient,age\n", "such as 'p1', found none"),
        ("name,age\np1,63\n", r"a column participant_id or patient, got \['name', 'age'\]; add it"),
        ("", "got an empty file"),
    ):
        people = table(tmp_path / "people.csv", text)
        with pytest.raises(InputError, match=message):
            import_dataset(folder, tmp_path / "m.json", classes={1: "liver"}, participants=people)
    with pytest.raises(InputError, match=r"none\.csv: expected a table of patients, found no file"):
        import_dataset(folder, tmp_path / "m.json", classes={1: "liver"}, participants=tmp_path / "none.csv")
    with pytest.raises(InputError, match="no file"):  # before scans are read, which would ask for classes
        import_dataset(folder, tmp_path / "m.json", participants=tmp_path / "none.csv")


def test_a_layouts_own_table_of_something_else_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub-1" / "anat").mkdir(parents=True)
    (tmp_path / "d" / "sub-1" / "anat" / "sub-1_T1w.nii.gz").touch()
    table(tmp_path / "d" / "participants.tsv", "who\tage\nsub-1\t40\n")
    warnings: list[str] = []
    imported = import_dataset(tmp_path / "d", tmp_path / "m.json", classes={1: "liver"}, warn=warnings.append)
    assert imported.dataset.cases[0].demographics == UNSTATED
    assert len(warnings) == 1
    table(tmp_path / "d" / "participants.tsv", "participant_id\tage\nsub-1\t40\n")
    imported = import_dataset(tmp_path / "d", tmp_path / "m.json", classes={1: "liver"})
    assert imported.dataset.cases[0].demographics == Demographics(40)
