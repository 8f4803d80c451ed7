"""What the page embeds is what the files hold, where they hold it, or it says what was done to it."""

import gzip
from base64 import b64decode

import nibabel as nib
import numpy as np
import pytest

from unpaired.data.images import Image
from unpaired.report.volumes import (
    LabeledScan,
    fitting_volumes,
    label_box,
    sixteen_bits,
    slicing_axis,
    telling_place_mm,
)

AFFINE = np.array([[0, 2.0, 0, -30], [-1.5, 0, 0, 12], [0, 0, 6.0, 5], [0, 0, 0, 1]])


def case(shape=(64, 48, 10)):
    rng = np.random.default_rng(0)
    reference = np.zeros(shape, np.int16)
    reference[20:36, 16:28, 4:6] = 1
    reference[40:44, 16:28, 4:6] = -1
    prediction = np.zeros(shape, np.int16)
    prediction[22:36, 16:28, 4:7] = 1
    prediction[30:34, 20:24, 5] = 2
    image = Image(rng.integers(-1000, 2000, shape).astype(np.int16), AFFINE)
    return LabeledScan(image, {"reference": reference, "prediction": prediction})


def decoded(text):
    return nib.Nifti1Image.from_bytes(gzip.decompress(b64decode(text)))


def test_a_case_that_fits_is_embedded_whole_and_exactly():
    files = case()
    volumes = fitting_volumes(files, 10**6)
    assert volumes.changes == ()
    image = decoded(volumes.image)
    assert np.array_equal(np.asanyarray(image.dataobj), files.image.array)
    assert image.get_data_dtype() == np.int16
    assert list(volumes.labels) == list(files.labels) == ["reference", "prediction"]
    for name, text in volumes.labels.items():
        labels = files.labels[name]
        assert np.array_equal(np.asanyarray(decoded(text).dataobj), np.maximum(labels, 0))
        assert np.allclose(decoded(text).affine, AFFINE)
    assert volumes.size == len(volumes.image) + len(volumes.labels["reference"]) + len(volumes.labels["prediction"])


def test_a_tighter_limit_cuts_to_the_labels_and_keeps_each_voxel_where_it_is():
    files = case((64, 48, 40))
    whole = fitting_volumes(files, 10**6)
    volumes = fitting_volumes(files, whole.size - 1)
    assert "cut to the labels" in volumes.changes[0]
    box = label_box(files)
    # 25 mm: 17 voxels of 1.5 mm, 13 of 2 mm, 5 of 6 mm, as far as the scan goes
    assert box == (slice(3, 53), slice(3, 41), slice(0, 12))
    image = decoded(volumes.image)
    assert np.array_equal(np.asanyarray(image.dataobj), files.image.array[box])
    assert np.allclose(image.affine @ [0, 0, 0, 1], AFFINE @ [3, 3, 0, 1])


def test_a_tight_limit_makes_slices_coarser_and_never_fewer():
    files = case()
    volumes = fitting_volumes(files, 20_000)
    image, labels = decoded(volumes.image), decoded(volumes.labels["prediction"])
    assert "2 × 2 pixels" in volumes.changes[-1]
    assert volumes.size <= 20_000
    assert image.shape == labels.shape
    start = np.linalg.inv(AFFINE) @ image.affine @ [0, 0, 0, 1]  # the first voxel's middle lies between four of before
    first = np.rint(start - [0.5, 0.5, 0, 0]).astype(int)
    assert np.allclose(start - first, [0.5, 0.5, 0, 0])
    four = files.image.array[first[0] : first[0] + 2, first[1] : first[1] + 2, first[2]]
    assert abs(np.asanyarray(image.dataobj)[0, 0, 0] - four.mean()) <= 0.5
    step = np.linalg.inv(AFFINE) @ image.affine
    assert np.allclose(np.abs(np.diag(step)), [2, 2, 1, 1])


def test_nothing_is_embedded_where_nothing_fits():
    assert fitting_volumes(case(), 100) is None


def test_a_case_without_labels_or_with_one_map_is_embedded_too():
    files = case()
    none = fitting_volumes(LabeledScan(files.image, {}), 10**6)
    assert none.labels == {}
    assert label_box(LabeledScan(files.image, {})) == tuple(slice(0, size) for size in files.image.array.shape)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([[[0, 255]]], np.int32), np.uint8),
        (np.array([[[-1024, 3071]]], np.int32), np.int16),
        (np.array([[[0, 65535]]], np.uint16), np.int16),
        (np.array([[[-0.5, 0.25, 1e4]]], np.float32), np.int16),
        (np.full((2, 2, 2), 7.5, np.float32), np.int16),
    ],
)
def test_values_take_sixteen_bits_and_come_back(array, dtype):
    numbers, slope, intercept = sixteen_bits(array)
    assert numbers.dtype == dtype
    step = (float(array.max()) - float(array.min())) / 65535
    exact = array.dtype.kind in "iu"
    assert np.abs(numbers * slope + intercept - array).max() <= (1e-6 if exact else step / 2 + 1e-3 * step)


def test_the_slicing_axis_is_that_of_the_overlays():
    assert slicing_axis(case().image) == 2
    turned = Image(np.zeros((10, 64, 48)), AFFINE[:, [2, 0, 1, 3]])
    assert slicing_axis(turned) == 0


def test_the_first_place_is_a_labeled_voxel_in_the_most_wrong_slice():
    scan = case()
    reference, prediction = scan.labels["reference"], scan.labels["prediction"]
    place = np.rint(np.linalg.inv(AFFINE) @ [*telling_place_mm(scan.image, [reference, prediction]), 1]).astype(int)
    # wrong where certain: slice 4: 24, slice 5: 24 + 16, slice 6: all 168 of the prediction
    assert place[2] == 6
    assert prediction[tuple(place[:3])] > 0
    place = np.rint(np.linalg.inv(AFFINE) @ [*telling_place_mm(scan.image, [prediction, prediction]), 1]).astype(int)
    assert prediction[tuple(place[:3])] > 0
    assert np.allclose(telling_place_mm(scan.image, []), (AFFINE @ [32, 24, 5, 1])[:3])
