"""Tables as manifests: what a spreadsheet writes is read, what is wrong is named by row and column."""

import json
from pathlib import Path

import pytest

from unpaired.data.dataset import Modality
from unpaired.data.manifest import is_manifest, manifest_files, read_dataset
from unpaired.errors import InputError

OPTIONS = {
    "classes": ["background", "liver", "spleen"],
    "label_maps": {"hospital": {"0": "background", "5": "liver", "9": "spleen"}},
    "modalities": {"ct": {"clip": [-175, 250]}, "mr": {}},
}
TABLE = """patient,modality,image,label,label_map,annotated,split,fold,id
p01,ct,ct/p01.nii.gz,ct/p01_seg.nii.gz,hospital,all,train,0,
p02,mr,mr/p02.nii.gz,,,,train,,second

p03,mr,"mr/p03, left.nii.gz",mr/p03_seg.nii.gz,hospital,liver; spleen,test,,
p04,mr,mr/p04.nii.gz,mr/p04_seg.nii.gz,hospital,liver,validation
"""


def write(folder: Path, table: str, options: object = OPTIONS, name: str = "cases.csv") -> Path:
    (folder / name).write_text(table, encoding="utf-8")
    if options is not None:
        (folder / name).with_suffix(".json").write_text(
            options if isinstance(options, str) else json.dumps(options), encoding="utf-8"
        )
    return folder / name


def test_reads_a_table_and_its_json(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path, TABLE))
    first, second, third, fourth = dataset.cases
    assert (first.id, first.patient, first.fold, first.split, first.annotated) == ("p01", "p01", 0, "train", None)
    assert first.image == tmp_path.resolve() / "ct/p01.nii.gz"
    assert (second.id, second.label, second.fold) == ("second", None, None)
    assert third.image.name == "p03, left.nii.gz"
    assert third.annotated == ("liver", "spleen")
    assert (fourth.annotated, fourth.split) == (("liver",), "validation")
    assert dataset.modalities["ct"] == Modality(clip=(-175.0, 250.0))
    assert dataset.label_map_of(first)[9] == ("spleen",)
    assert dataset.name == "cases"


def test_a_table_says_what_the_same_manifest_says(tmp_path: Path) -> None:
    table = write(
        tmp_path, "patient,modality,image,label\n1,ct,a.nii,b.nii\n2,mr,c.nii,\n", {"classes": ["none", "liver"]}
    )
    cases = [
        {"id": "a", "patient": "1", "modality": "ct", "image": "a.nii", "label": "b.nii"},
        {"id": "c", "patient": "2", "modality": "mr", "image": "c.nii"},
    ]
    document = {"name": "cases", "classes": ["none", "liver"], "modalities": ["ct", "mr"], "cases": cases}
    (tmp_path / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    assert read_dataset(table) == read_dataset(tmp_path / "manifest.json")


def test_tab_separated_with_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    table = "\ufeff" + TABLE.replace('"mr/p03, left.nii.gz"', "mr/p03.nii.gz").replace(",", "\t").replace("\n", "\r\n")
    dataset = read_dataset(write(tmp_path, table, name="cases.tsv"))
    assert [case.patient for case in dataset.cases] == ["p01", "p02", "p03", "p04"]


HEADER = "patient,modality,image\n"


@pytest.mark.parametrize(
    "table",
    [
        "Patient;MODALITY;image;Age\np1;CT;a.nii;63\n",
        "patient,modality,image,age,scanner\np1,Ct,a.nii,63,\n",
        "patient\tmodality\timage\np1\tct\ta.nii\n",
        "\r\n \r\npatient,modality,image\r\np1,ct,a.nii\r\n",
        "sep=;\r\npatient;modality;image\r\np1;ct;a.nii\r\n",
    ],
)
def test_what_spreadsheets_of_other_people_hold(table: str, tmp_path: Path) -> None:
    options = {"classes": ["background", "liver"], "modalities": {"CT": {"clip": [0, 1]}}}
    dataset = read_dataset(write(tmp_path, table, options, "cases.tsv" if "\t" in table else "cases.csv"))
    (case,) = dataset.cases
    assert (case.patient, case.modality, case.image.name) == ("p1", "ct", "a.nii")
    assert dataset.modalities == {"ct": Modality(clip=(0, 1))}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["cases.csv", "cases.tsv"])
def test_cells_are_told_apart_whatever_the_file_is_called(separator: str, name: str, tmp_path: Path) -> None:
    table = "patient,modality,image,split\np1,ct,a.nii,train\n".replace(",", separator)
    (case,) = read_dataset(write(tmp_path, table, {"classes": ["background", "liver"]}, name)).cases
    assert (case.patient, case.modality, case.image.name, case.split) == ("p1", "ct", "a.nii", "train")


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ("", OPTIONS, "lacks patient, modality, image"),
        (HEADER, OPTIONS, "no cases"),
        ("patient,modalty,image\n", OPTIONS, "unknown column 'modalty'; did you mean modality"),
        ("patient,modality,image,image\n", OPTIONS, "column 'image' appears twice"),
        ("patient,modality\n", OPTIONS, "lacks image"),
        (
            "patient;modality;image;age,years\n",
            OPTIONS,
            "read with commas between cells, lacks patient, modality, image",
        ),
        (HEADER + "p1,ct,\n", OPTIONS, "row 2 has no 'image'"),
        ("\nsep=,\n" + HEADER + "p1,ct,\n", OPTIONS, "row 4 has no 'image'"),
        (HEADER + "p1,ct,ct\\\\a.nii\n", OPTIONS, "has a backslash, which is no folder's end here; write / between"),
        (HEADER + "p1,ct,a.nii\n\np2,,b.nii\n", OPTIONS, "row 4 has no 'modality'"),
        (HEADER + "p1,ct,a.nii,train\n", OPTIONS, "row 2 has 4 cells under 3 columns"),
        (HEADER + "p1,pet,a.nii\n", OPTIONS, "modality 'pet'"),
        (HEADER.strip() + ",fold\np1,ct,a.nii,one\n", OPTIONS, "row 2: fold must be a whole number, got 'one'"),
        (
            HEADER.strip() + ",split\np1,ct,a.nii,training\n",
            OPTIONS,
            "got 'training'; did you mean train",
        ),
        (HEADER.strip() + ",annotated\np1,ct,a.nii,livre\n", OPTIONS, "did you mean liver"),
        (HEADER + 'p1,ct,"a.nii\n', OPTIONS, "expected a table of cells, but unexpected end of data; close each quote"),
        (HEADER + "p1,ct,a.nii\n", None, "needs cases.json beside it"),
        (HEADER + "p1,ct,a.nii\n", "{", "expected JSON"),
        (HEADER + "p1,ct,a.nii\n", ["liver"], "expected a JSON object"),
        (HEADER + "p1,ct,a.nii\n", {"clases": ["a", "b"]}, "unknown field 'clases'; did you mean classes"),
        (HEADER + "p1,ct,a.nii\n", {"classes": ["liver"]}, "at least one more class"),
    ],
)
def test_what_is_wrong_gets_one_line(tmp_path: Path, table: str, options: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_dataset(write(tmp_path, table, options))
    assert "\n" not in str(caught.value)
    assert "cases." in str(caught.value)


def test_a_missing_or_binary_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no file"):
        read_dataset(tmp_path / "none.csv")
    path = write(tmp_path, TABLE)
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="UTF-8"):
        read_dataset(path)


def test_one_rule_says_what_a_manifest_is_and_of_which_files_it_consists(tmp_path: Path) -> None:
    table = write(tmp_path, TABLE, name="cases.CSV")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "dataset.json").write_text("{}")
    (tmp_path / "scans").mkdir()
    assert all(is_manifest(path) for path in (table, tmp_path / "gone.json", "a.tsv", tmp_path / "study"))
    assert not any(is_manifest(path) for path in (tmp_path / "scans", "scan.nii.gz", tmp_path / "gone", ""))
    here = tmp_path.resolve()
    assert manifest_files(table) == (here / "cases.CSV", here / "cases.json")
    assert manifest_files(tmp_path / "study.json") == (here / "study.json",)
    assert here / "study" / "dataset.json" in manifest_files(tmp_path / "study")
