"""Folds in nnU-Net's form: by hand, from every place that holds folds, and back."""

import json
from pathlib import Path

import pytest

from unpaired import Split, nnunet_splits, read_split, write_dataset, write_split
from unpaired.cli import main
from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.split import read_folds
from unpaired.errors import InputError

HEART, LIVER = "Dataset001_Heart", "Dataset002_Liver"


def case(name: str, folder: str, file: str, modality: str = "ct", labeled: bool = True) -> CaseEntry:
    label = Path("raw") / folder / "labelsTr" / f"{name}.nii.gz" if labeled else None
    return CaseEntry(name, name.split("_")[0], modality, Path("raw") / folder / file, label)


def dataset() -> Dataset:
    """Two of nnU-Net's datasets, one with two channels a scan, an unlabeled scan and one of imagesTs."""
    hearts = [case(f"h{n}", HEART, f"imagesTr/h{n}_0000.nii.gz") for n in range(5)]
    livers = [
        case(f"l{n}_{name}", LIVER, f"imagesTr/l{n}_000{channel}.nii.gz", name)
        for n in range(3)
        for channel, name in enumerate(("t1", "t2"))
    ]
    other = [case("h8", HEART, "imagesTr/h8_0000.nii.gz", labeled=False), case("h9", HEART, "imagesTs/h9_0000.nii.gz")]
    modalities = {name: Modality() for name in ("ct", "t1", "t2")}
    return Dataset("both", ("background", "organ"), modalities, (*hearts, *livers, *other))


def both(number: int) -> tuple[str, str]:
    return f"l{number}_t1", f"l{number}_t2"


FOLDS = [
    Split(("h2", "h3", "h4", *both(1), "h8"), ("h1", *both(2)), ("h0", *both(0), "h9"), unlabeled=("h4",)),
    Split(("h0", "h1", "h2", "h8", *both(0), *both(2)), ("h3",), ("h4", *both(1), "h9")),
]


def written(folder: Path) -> dict[str, list[dict[str, list[str]]]]:
    return {file.parent.name: json.loads(file.read_text()) for file in folder.glob("*/splits_final.json")}


def test_val_is_what_a_fold_tests_and_train_what_it_may_learn_from(tmp_path: Path) -> None:
    said: list[str] = []
    files = nnunet_splits(dataset(), FOLDS, tmp_path, say=said.append)
    assert files == [tmp_path / name / "splits_final.json" for name in (HEART, LIVER)]
    assert written(tmp_path) == {
        HEART: [{"train": ["h2", "h3"], "val": ["h0"]}, {"train": ["h0", "h1", "h2"], "val": ["h4"]}],
        LIVER: [{"train": ["l1"], "val": ["l0"]}, {"train": ["l0", "l2"], "val": ["l1"]}],
    }
    assert said[0] == f"wrote {files[0]}: 2 folds of 5 scans"
    assert "3 scans are in no fold's val (h1, h2, h3), so nnU-Net's scores" in said[1]
    assert "--with-validation" in said[-1]
    nnunet_splits(dataset(), FOLDS, tmp_path / "more", with_validation=True, say=said.append)
    assert written(tmp_path / "more")[HEART][0] == {"train": ["h1", "h2", "h3"], "val": ["h0"]}
    assert written(tmp_path / "more")[LIVER][0] == {"train": ["l1", "l2"], "val": ["l0"]}
    assert "--with-validation" not in said[-1]


def test_folds_of_nnunet_come_back_as_they_were(tmp_path: Path) -> None:
    """They validate and test nothing."""
    folds = [{"train": ["h1", "h2"], "val": ["h0"]}, {"train": ["h0"], "val": ["h1", "h2"]}]
    file = tmp_path / "splits_final.json"
    file.write_text(json.dumps(folds))
    nnunet_splits(dataset(), file, tmp_path)
    assert written(tmp_path) == {HEART: folds}
    nnunet_splits(dataset(), f"{file}:1", tmp_path / "second")
    assert written(tmp_path / "second") == {HEART: folds[1:]}


def test_folds_are_taken_from_wherever_they_are(tmp_path: Path) -> None:
    for number, fold in enumerate(FOLDS):
        write_split(fold, tmp_path / "files" / f"fold{number}.json")
        run = tmp_path / "runs" / f"fold{number}"
        write_split(fold, run / "split.json")
        (run / "recipe.json").write_text("{}")
    nnunet_splits(dataset(), FOLDS, tmp_path / "expected")
    expected = written(tmp_path / "expected")
    for place in ("files", "runs"):
        nnunet_splits(dataset(), tmp_path / place, tmp_path / f"of_{place}")
        assert written(tmp_path / f"of_{place}") == expected
    for place in ("files/fold1.json", "runs/fold1"):
        nnunet_splits(dataset(), tmp_path / place, tmp_path / "single")
        assert written(tmp_path / "single") == {folder: folds[1:] for folder, folds in expected.items()}


def test_scans_of_other_layouts_stand_under_their_ids(tmp_path: Path) -> None:
    cases = tuple(CaseEntry(name, name, "ct", Path(f"ct/{name}.nii.gz"), Path("x")) for name in ("p1_0001", "p2"))
    given = Dataset("d", ("background", "organ"), {"ct": Modality()}, cases)
    nnunet_splits(given, [Split(("p1_0001",), test=("p2",))], tmp_path)
    assert read_folds(tmp_path / "splits_final.json") == [Split(("p1_0001",), ("p2",))]


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    file = nnunet_splits(dataset(), FOLDS, tmp_path)[0]
    nnunet_splits(dataset(), FOLDS, tmp_path)  # the same again
    before = file.read_text()
    with pytest.raises(InputError, match=r"Dataset001_Heart.splits_final\.json is there with other folds"):
        nnunet_splits(dataset(), FOLDS[::-1], tmp_path)
    assert file.read_text() == before
    with pytest.raises(InputError, match="no labeled case is in a fold"):
        nnunet_splits(dataset(), [Split(("h8",), test=("h9",))], tmp_path / "none")
    said: list[str] = []
    nnunet_splits(dataset(), [Split(test=("h0",))], tmp_path / "empty", say=said.append)
    assert "fold 0 has no scan to train or none to score" in said[1]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_dataset(dataset(), tmp_path / "data.json")
    write_split(FOLDS[0], tmp_path / "split.json")
    out = tmp_path / "out"
    assert main(["nnunet-splits", str(manifest), str(tmp_path / "split.json"), str(out), "--with-validation"]) == 0
    assert "1 fold of 4 scans" in capsys.readouterr().out
    assert read_split(f"{out / HEART / 'splits_final.json'}:0").validation == ("h0",)
    assert main(["nnunet-splits", str(manifest), str(tmp_path / "no.json"), str(out)]) == 2
    assert "found no file at" in capsys.readouterr().err
