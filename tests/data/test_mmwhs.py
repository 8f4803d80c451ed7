"""The MM-WHS importer on files laid out and oriented like the official ones, down to prepared coronal slices."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from unpaired.data.dataset import encode_values
from unpaired.data.importers.mmwhs import FOUR, TEST, VALIDATION, VALUES, import_mmwhs
from unpaired.data.manifest import read_dataset, write_dataset
from unpaired.data.prepare import prepare
from unpaired.data.preprocess import Preprocessing
from unpaired.errors import InputError


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def official(folder: Path) -> None:
    """The archives' layout: 20 labeled and 2 unlabeled scans of each modality, as empty files."""
    for modality in ("ct", "mr"):
        touch(
            folder / f"{modality}_train",
            *[f"{modality}_train_{n}_{w}.nii.gz" for n in range(1001, 1021) for w in ("image", "label")],
        )
        touch(folder / f"{modality}_test", *[f"{modality}_test_{n}_image.nii.gz" for n in (2001, 2002)])


def test_reads_the_official_layout_with_the_published_split(tmp_path: Path) -> None:
    official(tmp_path)
    dataset = import_mmwhs(tmp_path)
    assert dataset.classes == ("background", "myo", "LA", "LV", "AA")
    for modality in ("ct", "mr"):
        assert len(dataset.of(modality, labeled=True)) == 20
        assert len(dataset.of(modality, labeled=False)) == 2
        for side, numbers in (("test", TEST[modality]), ("validation", VALIDATION[modality])):
            assert [case.id for case in dataset.of(modality, side)] == [f"{modality}{n}" for n in numbers]
        assert len(dataset.of(modality, "train")) == 14
    assert len({case.patient for case in dataset.cases}) == 44, "a CT and an MR of one number are two people"
    assert all(case.split is None for case in dataset.cases if case.label is None)
    assert read_dataset(write_dataset(dataset, tmp_path / "mmwhs.json")) == dataset


def test_values_of_other_structures_are_background_and_the_stray_one_is_left_atrium(tmp_path: Path) -> None:
    official(tmp_path)
    four, seven = import_mmwhs(tmp_path), import_mmwhs(tmp_path, "seven")
    case = four.case("mr1010")
    number = {name: index for index, name in enumerate(four.classes)}
    expected = {0: (0,), 421: (number["LA"],)} | {value: (number.get(name, 0),) for value, name in VALUES.items()}
    assert encode_values(four, case) == expected
    assert {name for name in VALUES.values() if name not in FOUR} == {"RV", "RA", "PA"}
    assert four.source_values("ct") == [0, 205, 420, 500, 820], "predictions carry 420, never the stray 421"
    assert len(seven.classes) == 8
    assert len(set(encode_values(seven, case).values())) == 8


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SLA", "PIR"])
def test_coronal_slices_come_out_the_same_however_the_file_stores_its_axes(axes: str, tmp_path: Path) -> None:
    """A body whose left side, front and top are marked by labels; each order of axes must give the same slices."""
    labels = np.zeros((12, 10, 8), np.int16)  # R to L, P to A, I to S in steps of 2 mm
    labels[9:, :, :] = 500
    labels[:, 8:, :] = 205
    labels[:, :, 7:] = 820
    labels[0, 0, 0] = 421
    ras = nib.nifti1.Nifti1Image(labels[::-1], np.diag([2.0, 2.0, 2.0, 1.0]))
    stored = ras.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(ras.affine), nib.orientations.axcodes2ornt(axes)
        )
    )
    folder = tmp_path / axes
    folder.mkdir()
    nib.nifti1.save(stored, folder / "ct_train_1001_label.nii.gz")
    image = nib.nifti1.Nifti1Image(np.asarray(stored.dataobj).astype(np.float32), stored.affine)
    nib.nifti1.save(image, folder / "ct_train_1001_image.nii.gz")
    dataset = import_mmwhs(folder)
    prepared = prepare(dataset, Preprocessing(plane="coronal"), folder / "cache")
    assert not prepared.failures
    found = prepared.cases["ct1001"].label_map()
    assert found.shape == (10, 8, 12)
    names = np.array(dataset.classes)[np.asarray(found)]
    # (depth, height, width) of coronal slices: along the body, top to bottom, the patient's right first
    assert (names[:, 0, :] == "AA").all()
    front = names[0] if (names[0, 3, 3] == "myo") else names[-1]
    assert (front[1:, :] == "myo").all()
    middle = names[5]
    assert (middle[1:, -3:] == "LV").all()
    assert (middle[1:, :-3] == "background").all()
    assert (names == "LA").sum() == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the folder is empty"),
        (["heart.nii.gz"], "expected MM-WHS files like ct_train_1001_image.nii.gz"),
        (["ct_train_1001_image.nii", "ct_train_1001_image.nii.gz"], "second time"),
        (["ct_train_1001_image.nii", "mr_train_1002_label.nii.gz"], "without its image mr_train_1002_image"),
    ],
)
def test_wrong_folders_get_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        import_mmwhs(tmp_path)
    assert "\n" not in str(caught.value)
