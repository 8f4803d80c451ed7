"""A case looks the same however its file lays out the axes."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from unpaired.data.dataset import CaseEntry, Dataset, Modality
from unpaired.data.images import write_image
from unpaired.errors import InputError
from unpaired.figures.case_view import read_case_view
from unpaired.figures.overlays import default_title

CLASSES = ("background", "LV", "RV")
MAPS = {"source": {0: ("background",), 500: ("LV",), 600: ("RV",), 7: ("LV", "RV")}}


def axial():
    """An RAS file of 1 x 2 x 6 mm: LV on the patient's right and front, on the lowest slice."""
    values = np.arange(10 * 8 * 4, dtype=np.int16).reshape(10, 8, 4)
    label = np.zeros((10, 8, 4), np.int16)
    label[7:9, 5:7, 0] = 500
    label[1, 1, 3] = 600
    label[5, 5, 2] = 7
    return values, label, np.diag([1.0, 2.0, 6.0, 1.0])


def dataset_in(folder, codes="RAS"):
    values, label, affine = axial()
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(codes))
    )
    moved = affine @ nib.orientations.inv_ornt_aff(change, values.shape)
    for name, array in (("image", values), ("label", label)):
        write_image(folder / f"{name}.nii.gz", nib.orientations.apply_orientation(array, change), moved)
    case = CaseEntry("a", "p", "ct", folder / "image.nii.gz", folder / "label.nii.gz", "source", split="test")
    return Dataset("d", CLASSES, {"ct": Modality()}, (case,), MAPS)


def test_an_axial_scan_shows_the_patients_right_on_the_left_and_the_front_on_top(tmp_path):
    dataset = dataset_in(tmp_path)
    view = read_case_view(dataset, dataset.cases[0], None)
    assert view.volume.shape == (4, 8, 10)
    assert view.spacing_mm == pytest.approx((6.0, 2.0, 1.0))
    assert view.edges == ("R", "L", "A", "P")
    (depth,), rows, cols = (np.unique(index) for index in np.nonzero(view.reference == 1))
    assert depth == 0
    assert rows.tolist() == [1, 2]  # counted from the front
    assert cols.tolist() == [1, 2]  # counted from the patient's right
    assert view.prediction is None


def test_a_voxel_that_stands_for_several_classes_is_negative(tmp_path):
    dataset = dataset_in(tmp_path)
    reference = read_case_view(dataset, dataset.cases[0], None).reference
    assert reference is not None
    assert [int((reference == value).sum()) for value in (-1, 0, 1, 2)] == [1, 4 * 8 * 10 - 6, 4, 1]


def test_what_was_not_looked_for_is_neither_framed_nor_counted(tmp_path):
    dataset = dataset_in(tmp_path)
    partly = replace(dataset, cases=(replace(dataset.cases[0], annotated=("LV",)),))
    prediction = np.where(axial()[1] == 0, 600, axial()[1]).astype(np.int16)  # RV wherever nobody looked for it
    write_image(tmp_path / "p.nii.gz", np.where(prediction == 7, 500, prediction), axial()[2])
    view = read_case_view(partly, partly.cases[0], tmp_path / "p.nii.gz")
    assert view.reference is not None
    assert (view.reference < 0).sum() == 4 * 8 * 10 - 5
    assert default_title(view) == "a · ct · Dice: LV 1.000, RV 1.000"


@pytest.mark.parametrize("codes", ["LPS", "PSR", "SAL", "ILA"])
def test_every_axis_order_gives_the_same_view(tmp_path, codes):
    (tmp_path / "ras").mkdir()
    straight, turned = dataset_in(tmp_path / "ras"), dataset_in(tmp_path, codes)
    expected = read_case_view(straight, straight.cases[0], None)
    found = read_case_view(turned, turned.cases[0], None)
    assert np.array_equal(found.volume, expected.volume)
    assert found.reference is not None
    assert np.array_equal(found.reference, expected.reference)
    assert found.edges == expected.edges


def test_a_prediction_on_another_grid_is_named(tmp_path):
    dataset = dataset_in(tmp_path)
    write_image(tmp_path / "p.nii.gz", np.zeros((3, 3, 3), np.uint8), np.eye(4))
    with pytest.raises(InputError, match=r"p\.nii\.gz: expected the image's shape \(10, 8, 4\), got \(3, 3, 3\)"):
        read_case_view(dataset, dataset.cases[0], tmp_path / "p.nii.gz")
