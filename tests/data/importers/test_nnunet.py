"""What nnU-Net's dataset.json says against what its folder holds, and what a person hears of names and channels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import unpaired
from unpaired.cli import main
from unpaired.errors import InputError

LIVER = {"background": 0, "liver": 1}


def raw(folder: Path, *cases: str, channels: int = 1, **description: Any) -> Path:
    """A dataset of these labeled training cases, in files that hold nothing."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for case in cases:
        for channel in range(channels):
            (folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz").touch()
        (folder / "labelsTr" / f"{case}.nii.gz").touch()
    told = {"channel_names": {"0": "CT"}, "labels": LIVER, "file_ending": ".nii.gz", **description}
    (folder / "dataset.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"numTraining": 3}, "numTraining is 3, but 2 training scans are there; copy what is missing, or correct it"),
        ({"file_ending": ".nrrd"}, "file_ending is '.nrrd', but imagesTr/a_0000.nii.gz is a scan"),
        (
            {"channel_names": {"0": "CT", "1": "PET"}},
            r"has 'PET' as channel 1, of which there is no scan \(CASE_0001\)",
        ),
        ({"channel_names": {"1": "PET"}}, "doesn't name channel 0|has 'PET' as channel 1"),
        ({"labels": {**LIVER, "spleen": 1}}, "labels 'liver' and 'spleen' both stand for 1; drop or correct one"),
        ({"labels": {"liver": 1}}, "expected labels with a background of value 0"),
        ({"labels": {**LIVER, "spleen": 1.5}}, "label 'spleen': expected a whole number or a list of them, got 1.5"),
    ],
)
def test_a_description_that_contradicts_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], description: dict[str, Any], message: str
) -> None:
    folder = raw(tmp_path / "d", "a", "b", **description)
    with pytest.raises(InputError, match=message) as caught:
        unpaired.import_dataset(folder, tmp_path / "m.json")
    assert main(["import", "auto", str(folder), str(tmp_path / "m.json")]) == 2
    assert capsys.readouterr().err == f"unpaired: {caught.value}\n"
    assert not (tmp_path / "m.json").exists()


def test_scans_for_testing_are_no_training_scans(tmp_path: Path) -> None:
    folder = raw(tmp_path / "d", "a", "b", numTraining=2)
    (folder / "imagesTs").mkdir()
    (folder / "imagesTs" / "c_0000.nii.gz").touch()
    assert len(unpaired.import_dataset(folder, tmp_path / "m.json").dataset.cases) == 3


def test_labels_that_skip_keep_their_values(tmp_path: Path) -> None:
    folder = raw(tmp_path / "d", "a", labels={**LIVER, "spleen": 7})
    dataset = unpaired.import_dataset(folder, tmp_path / "m.json").dataset
    assert dataset.classes == ("background", "liver", "spleen")
    assert dataset.label_map_of(dataset.cases[0]) == {0: ("background",), 1: ("liver",), 7: ("spleen",)}


def test_a_person_hears_of_channels_and_of_names_spelled_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw(tmp_path / "raw" / "Dataset001_A", "p1", "p2", "p3")
    names = {"0": "T1", "1": "T2"}
    labels = {"Background": 0, "Liver_": 1}
    second = raw(tmp_path / "raw" / "Dataset002_B", "P_01", "p2", channels=2, channel_names=names, labels=labels)
    assert main(["import", "auto", str(tmp_path / "raw"), str(tmp_path / "m.json")]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "warning: patients 'p1' and 'P_01' may be one person each; if so, give one name (--patient-from REGEX)",
        "warning: classes 'liver' and 'Liver_' differ in spelling alone; if they are one structure, give one name",
        "warning: t1, t2 are aligned channels of one scan; each becomes a modality that is segmented by itself (if "
        "all patients have all of them, a network that sees them together, such as nnU-Net, is better)",
    ]
    assert "classes: liver, Liver_" in printed.out
    assert unpaired.read_dataset(tmp_path / "m.json").classes[1:] == ("liver", "Liver_")
    settings = second / "dataset.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace("Liver_", "Liver"), encoding="utf-8")
    assert main(["import", "auto", str(tmp_path / "raw"), str(tmp_path / "other.json")]) == 2
    assert "class 'liver' comes again as 'Liver'" in capsys.readouterr().err, "no manifest with both could be read"
    assert not (tmp_path / "other.json").exists()


def test_links_keep_their_names(tmp_path: Path) -> None:
    """As git-annex, DVC and folders of links have them; nnU-Net's splits name scans by their files."""
    folder = raw(tmp_path / "d", "a")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "MD5E-s1.nii.gz").touch()
    (folder / "imagesTr" / "b_0000.nii.gz").symlink_to(tmp_path / "store" / "MD5E-s1.nii.gz")
    (folder / "labelsTr" / "b.nii.gz").symlink_to(tmp_path / "store" / "MD5E-s1.nii.gz")
    (tmp_path / "link").symlink_to(folder)
    unpaired.import_dataset(tmp_path / "link", tmp_path / "m.json")
    dataset = unpaired.read_dataset(tmp_path / "m.json")
    assert dataset.case("b").image == tmp_path.resolve() / "d" / "imagesTr" / "b_0000.nii.gz"
    assert dataset.case("b").label == tmp_path.resolve() / "d" / "labelsTr" / "b.nii.gz"
    renamed = replace(dataset, cases=tuple(replace(case, id=f"d_{case.id}") for case in dataset.cases))
    assert unpaired.Split(("a",), ("b",)).apply(renamed).case("d_b").split == "validation"


def test_equal_names_in_two_datasets_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are taken for one person, which keeps a split honest; who numbers each set from 1 has to know."""
    raw(tmp_path / "raw" / "Dataset001_A", "case_1", "case_2", "case_3")
    raw(tmp_path / "raw" / "Dataset002_B", "case_2", "case_3", "case_4", channel_names={"0": "T2"})
    assert main(["import", "auto", str(tmp_path / "raw"), str(tmp_path / "m.json")]) == 0
    assert "2 patients in several modalities (case_2, case_3): scans of one name are one person's" in (
        capsys.readouterr().out
    )
    assert main(["import", "auto", str(tmp_path / "raw" / "Dataset001_A"), str(tmp_path / "m.json")]) == 0
    assert "several modalities" not in capsys.readouterr().out
