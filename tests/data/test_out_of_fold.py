"""Which folds may judge a case, by hand; splits of nnU-Net and of a folder."""

import json
from pathlib import Path

import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.out_of_fold import out_of_fold
from unpaired.data.split import Split, read_folds, read_split, write_split
from unpaired.errors import InputError


def dataset(*cases: CaseEntry) -> Dataset:
    return Dataset("d", ("background", "LV"), {"ct": Modality(), "mr": Modality()}, cases)


def case(name: str, file: str = "", split: str | None = None, modality: str = "ct") -> CaseEntry:
    return CaseEntry(name, name.split("_")[0], modality, Path(file or f"{name}.nii.gz"), split=split)


def test_a_case_is_judged_by_folds_that_were_not_trained_with_it() -> None:
    everyone = dataset(*(case(name) for name in "abcdef"), case("kept", split="test"), case("unused"))
    sides = [
        {"a": "test", "b": "train", "c": "train", "d": "test", "e": "validation", "f": "train"},
        {"a": "train", "b": "test", "c": "train", "d": "test", "e": "train", "f": "validation"},
        {"a": "validation", "b": "validation", "c": "train", "d": "test", "e": "train", "f": "test"},
    ]
    judged = out_of_fold(everyone, sides)
    assert {entry.id: entry.split for entry in judged.dataset.cases} == {
        "a": "validation",
        "b": "validation",
        "c": "train",
        "d": "test",
        "e": "validation",
        "f": "validation",
        "kept": "test",
        "unused": None,
    }
    # tested before validated; kept out of all: all
    assert judged.folds == {"a": (0,), "b": (1,), "d": (0, 1, 2), "e": (0,), "f": (2,), "kept": (0, 1, 2)}
    assert judged.chose_weights(sides) == ["e"]


def test_splits_of_nnunet_are_read(tmp_path: Path) -> None:
    file = tmp_path / "splits_final.json"
    file.write_text(json.dumps([{"train": ["p1", "p2"], "val": ["p3"]}, {"train": ["p3"], "val": ["p1", "p2"]}]))
    assert read_folds(file) == [Split(("p1", "p2"), ("p3",)), Split(("p3",), ("p1", "p2"))]
    assert read_split(f"{file}:1") == Split(("p3",), ("p1", "p2"))
    for path in (file, f"{file}:2"):
        with pytest.raises(InputError, match=r"holds 2 folds; name one of them by its number from 0: .*json:0"):
            read_split(path)
    file.write_text("[]")
    with pytest.raises(InputError, match="found an empty list"):
        read_folds(file)
    file.write_text('[{"train": "p1"}]')
    with pytest.raises(InputError, match=r"nnU-Net's splits_final.json"):
        read_folds(file)


def test_a_folder_of_folds_is_read_in_order(tmp_path: Path) -> None:
    folds = [Split((f"p{number}",)) for number in range(11)]
    for number, fold in enumerate(folds):
        write_split(fold, tmp_path / f"fold{number}.json")
    assert read_folds(tmp_path) == folds
    with pytest.raises(InputError, match=r"expected fold0.json, fold1.json, ..."):
        read_folds(tmp_path.parent / tmp_path.name / "..")


def test_nnunets_names_stand_for_all_channels_of_a_scan() -> None:
    data = dataset(
        case("p1_t1", "p1_0000.nii.gz"),
        case("p1_t2", "p1_0001.nii.gz", modality="mr"),
        case("A_p2", "p2_0000.mha"),
        case("p3"),
    )
    applied = Split(("p1", "p3"), ("p2",), unlabeled=("p3",)).apply(data)
    assert {entry.id: entry.split for entry in applied.cases} == {
        "p1_t1": "train",
        "p1_t2": "train",
        "A_p2": "validation",
        "p3": "train",
    }
    with pytest.raises(InputError, match="p4"):
        Split(("p4",)).apply(data)
