"""The AMOS importer on files laid out like the official ones and like the copy of CMC's authors."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from unpaired.cli import main
from unpaired.data.dataset import encode_values
from unpaired.data.importers.amos import VALUES, import_amos
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.data.prepare import prepare
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError

CT, MR = (1, 38, 405), (507, 600)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def official(folder: Path, test_labels: bool = False) -> Path:
    """The archive's layout with a few scans of each part, as empty files."""
    for part, first in (("Tr", 0), ("Va", 1), ("Ts", 2)):
        for number in (*CT, *MR):
            name = f"amos_{number + first:04d}.nii.gz"
            touch(folder, f"amos22/images{part}/{name}")
            if part != "Ts" or test_labels:
                touch(folder, f"amos22/labels{part}/{name}")
    touch(folder, "amos22/dataset.json", "amos22/readme.md", "amos22/imagesTr/._amos_0001.nii.gz")
    return folder


def copied(folder: Path) -> Path:
    """The layout of the copy that CMC's authors made: pairs of two people under one number."""
    for part, numbers in (("train_data", ("0001", "0002")), ("val_data", ("00049",)), ("test_data", ("00056",))):
        for number in numbers:
            for scanner in ("CT", "MRI"):
                touch(folder, f"mm_amos/{part}/images/amos_{number}_{scanner}.nii.gz")
                touch(folder, f"mm_amos/{part}/masks/amos_{number}_{scanner}_gt.nii.gz")
    return folder


def test_reads_the_official_layout_and_split(tmp_path: Path) -> None:
    dataset = import_amos(official(tmp_path))
    assert dataset.classes == ("background", "liver", "spleen", "right kidney", "left kidney")
    for modality, numbers in (("ct", CT), ("mr", MR)):
        for side, first in (("train", 0), ("validation", 1)):
            cases = dataset.of(modality, side)
            assert [case.id for case in cases] == [f"amos{n + first:04d}" for n in numbers]
            assert all(case.label is not None and case.label.name == case.image.name for case in cases)
        unlabeled = dataset.of(modality, labeled=False)
        assert [(case.id, case.split) for case in unlabeled] == [(f"amos{n + 2:04d}", None) for n in numbers]
    assert len({case.patient for case in dataset.cases}) == 15
    assert read_dataset(write_dataset(dataset, tmp_path / "amos.json")) == dataset


def test_released_test_labels_test(tmp_path: Path) -> None:
    dataset = import_amos(official(tmp_path, test_labels=True))
    assert [case.id for case in dataset.of("mr", "test")] == ["amos0509", "amos0602"]
    assert all(case.label is not None for case in dataset.cases)


def test_a_training_scan_without_label_trains_unlabeled(tmp_path: Path) -> None:
    (official(tmp_path) / "amos22/labelsTr/amos_0038.nii.gz").unlink()
    (tmp_path / "amos22/labelsVa/amos_0039.nii.gz").unlink()
    dataset = import_amos(tmp_path)
    assert (dataset.case("amos0038").label, dataset.case("amos0038").split) == (None, "train")
    assert (dataset.case("amos0039").label, dataset.case("amos0039").split) == (None, None)


@pytest.mark.parametrize(("number", "modality"), [(499, "ct"), (500, "mr")])
def test_the_number_says_the_modality(tmp_path: Path, number: int, modality: str) -> None:
    touch(tmp_path, f"imagesTr/amos_{number:04d}.nii.gz")
    dataset = import_amos(tmp_path)
    assert [case.modality for case in dataset.cases] == [modality]
    assert list(dataset.modalities) == [modality]


def test_values_stand_for_their_organs(tmp_path: Path) -> None:
    """The organizers' own list, in their order: BTCV has other organs at 10 to 13."""
    listed = "spleen,right kidney,left kidney,gallbladder,esophagus,liver,stomach,aorta,inferior vena cava,pancreas,"
    listed += "right adrenal gland,left adrenal gland,duodenum,bladder,prostate or uterus"
    assert {name: value for value, name in enumerate(listed.split(","), start=1)} == VALUES
    four, thirteen, fifteen = (import_amos(official(tmp_path), which) for which in ("four", "thirteen", "all"))
    case = four.cases[0]
    assert encode_values(four, case) == {value: ({6: 1, 1: 2, 2: 3, 3: 4}.get(value, 0),) for value in range(16)}
    assert encode_values(thirteen, case) == {value: (value if value < 14 else 0,) for value in range(16)}
    assert encode_values(fifteen, case) == {value: (value,) for value in range(16)}
    assert four.source_values("mr") == [0, 6, 1, 2, 3], "predictions carry the values of the files"


def test_pelvic_organs_may_be_left_unknown_in_mr(tmp_path: Path) -> None:
    dataset = import_amos(official(tmp_path), "all", mr_pelvis=False)
    ct, mr = dataset.of("ct")[0], dataset.of("mr")[0]
    assert encode_values(dataset, ct)[0] == (0,)
    assert encode_values(dataset, mr) == {0: (0, 14, 15)} | {value: (value,) for value in range(1, 16)}
    assert import_amos(tmp_path, "four", mr_pelvis=False) == import_amos(tmp_path), "no pelvic organ among the four"


def test_reads_the_copy_of_the_authors(tmp_path: Path) -> None:
    dataset = import_amos(copied(tmp_path), "all")
    assert len(dataset.classes) == 14
    assert [(case.id, case.modality, case.split) for case in dataset.cases] == [
        *[
            (f"amos{n:04d}_ct", "ct", side)
            for n, side in ((1, "train"), (2, "train"), (49, "validation"), (56, "test"))
        ],
        *[
            (f"amos{n:04d}_mr", "mr", side)
            for n, side in ((1, "train"), (2, "train"), (49, "validation"), (56, "test"))
        ],
    ]
    assert len({case.patient for case in dataset.cases}) == 8, "a CT and an MR of one number are two people"
    assert 14 not in encode_values(dataset, dataset.cases[0]), "a pelvic organ in the copy would be a surprise"
    assert read_dataset(write_dataset(dataset, tmp_path / "amos.json")) == dataset


def test_a_coronal_mr_with_float_labels_is_cut_along_the_body(tmp_path: Path) -> None:
    """Labels as in the authors' copy (float64), stored as coronal slices: axial slices come out."""
    labels = np.zeros((8, 6, 10))  # R to L, P to A, I to S after the flip below
    labels[:4], labels[4:], labels[:, :, 8:] = 6, 1, 8
    ras = nib.nifti1.Nifti1Image(labels[::-1], np.diag([2.0, 6.0, 2.0, 1.0]))
    coronal = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(ras.affine), nib.orientations.axcodes2ornt("RIA")
    )
    stored = ras.as_reoriented(coronal)
    assert stored.get_data_dtype() == np.float64
    touch(tmp_path, "amos_0001_MRI_gt.nii.gz")
    nib.nifti1.save(stored, tmp_path / "amos_0001_MRI_gt.nii.gz")
    nib.nifti1.save(
        nib.nifti1.Nifti1Image(np.asarray(stored.dataobj).astype(np.float32) + 1, stored.affine),
        tmp_path / "amos_0001_MRI.nii.gz",
    )
    dataset = import_amos(tmp_path, "all")
    prepared = prepare(dataset, Preprocessing(plane="axial"), tmp_path / "cache")
    assert not prepared.failures
    found = np.array(dataset.classes)[np.asarray(prepared.cases["amos0001_mr"].label_map())]
    assert found.shape == (10, 6, 8), "(depth, height, width) of axial slices"
    top, middle = (found[0], found[5]) if found[0, 0, 0] == "aorta" else (found[-1], found[4])
    assert (top == "aorta").all()
    assert {middle[0, 0], middle[0, -1]} == {"liver", "spleen"}
    assert all(len(set(middle[:, column])) == 1 for column in range(8)), "left and right lie along the width"


def test_a_label_map_that_was_interpolated_is_refused(tmp_path: Path) -> None:
    for name, value in (("imagesTr", 1.0), ("labelsTr", 5.5)):
        (tmp_path / name).mkdir()
        nib.nifti1.save(
            nib.nifti1.Nifti1Image(np.full((4, 4, 4), value), np.eye(4)), tmp_path / name / "amos_0001.nii.gz"
        )
    prepared = prepare(import_amos(tmp_path), Preprocessing(), tmp_path / "cache")
    assert "expected whole numbers as label values, got 5.5" in dict(prepared.failures)["amos0001"]


def test_the_command_writes_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "amos.json"
    source = str(official(tmp_path))
    assert main(["import", "amos", source, str(out), "--structures", "all", "--no-mr-pelvis"]) == 0
    assert "ct: 9 cases, 6 labeled, 9 patients" in capsys.readouterr().out
    assert read_dataset(out) == import_amos(source, "all", mr_pelvis=False)
    assert main(["import", "amos", source, str(out), "--modalities", "mr"]) == 0
    assert [case.modality for case in read_dataset(out).cases] == ["mr"] * 6


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the folder is empty"),
        (["amos_0001.nii.gz"], "expected AMOS files like imagesTr/amos_0001.nii.gz"),
        (["imagesTr/amos_0001.nii.gz", "imagesVa/amos_0001.nii.gz"], "second time"),
        (["imagesTr/amos_0001.nii.gz", "labelsTr/amos_0507.nii.gz"], "without its image amos_0507.nii.gz"),
        (["imagesTr/amos_0001.nii.gz", "test_data/images/amos_00056_CT.nii.gz"], "holds AMOS twice"),
        (["amos_0001_CT.nii.gz", "amos_0002_MRI_gt.nii.gz"], "without its image amos_0002_MRI.nii.gz"),
    ],
)
def test_wrong_folders_get_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        import_amos(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of AMOS, found nothing"):
        import_amos(tmp_path / "nowhere")
