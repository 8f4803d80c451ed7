"""Probability maps: any reader sees numbers in [0, 1] on the image's grid; broken or foreign files are named."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from unpaired.data.probability_maps import read_probabilities, write_probabilities
from unpaired.errors import InputError

AFFINE = np.array([[0.0, -1.5, 0, 10], [2.0, 0, 0, -5], [0, 0, 5.0, 3], [0, 0, 0, 1]])
CLASSES = ("background", "LV", "myo")


def softmax(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    scores = np.exp(np.random.default_rng(seed).normal(scale=3, size=(len(CLASSES), *shape)))
    return (scores / scores.sum(axis=0)).astype(np.float32)


def test_nibabel_reads_what_was_written(tmp_path: Path) -> None:
    said = softmax((5, 4, 3))
    path = tmp_path / "deep" / "a.nii.gz"
    write_probabilities(path, iter(said), (5, 4, 3), AFFINE, CLASSES)
    image = nib.load(path)
    assert image.shape == (5, 4, 3, 3)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    assert np.abs(np.moveaxis(image.get_fdata(), -1, 0) - said).max() <= 0.5 / 255 + 1e-6
    assert image.header.get_data_dtype() == np.uint8
    assert b"background, LV, myo" in bytes(image.header["descrip"])


def test_what_is_read_back_is_what_nibabel_sees(tmp_path: Path) -> None:
    said = softmax((5, 4, 3))
    write_probabilities(tmp_path / "a.nii.gz", said, (5, 4, 3), AFFINE, CLASSES)
    found = read_probabilities(tmp_path / "a.nii.gz")
    whole = np.moveaxis(nib.load(tmp_path / "a.nii.gz").get_fdata(), -1, 0)
    assert found.classes == 3
    assert found.grid.array.shape == (5, 4, 3)
    np.testing.assert_allclose(found.grid.affine, AFFINE, atol=1e-6)
    box = (slice(1, 4), slice(0, 2), slice(2, 3))
    np.testing.assert_allclose(found.within(box), whole[:, *box], atol=1e-6)
    np.testing.assert_array_equal(found.label_map(), whole.argmax(axis=0))


def test_the_ends_are_exact_and_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    said = np.stack([np.ones((2, 2, 1)), np.zeros((2, 2, 1))]).astype(np.float32)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_probabilities(tmp_path / name, said, (2, 2, 1), np.eye(4), ("background", "x"))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    values = read_probabilities(tmp_path / "a.nii.gz").within((slice(None),) * 3)
    assert values[0].min() == pytest.approx(1, abs=1e-6)
    assert values[1].max() == 0


def test_float_probabilities_of_other_tools_are_read(tmp_path: Path) -> None:
    said = softmax((4, 3, 2))
    nib.save(nib.Nifti1Image(np.moveaxis(said, 0, -1), AFFINE), tmp_path / "theirs.nii.gz")
    found = read_probabilities(tmp_path / "theirs.nii.gz")
    np.testing.assert_array_equal(found.within((slice(None),) * 3), said)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.zeros((2, 2, 2))] * 2, "3 classes, got 2"),
        ([np.zeros((2, 2, 2))] * 4, "3 classes, got 4"),
        ([np.zeros((2, 2, 3))] * 3, r"shape \(2, 2, 2\), got \(2, 2, 3\)"),
        ([np.full((2, 2, 2), np.nan)] * 3, r"in \[0, 1\], got nan"),
        ([np.full((2, 2, 2), 1.1)] * 3, r"in \[0, 1\], got 1.1 to 1.1"),
    ],
)
def test_what_does_not_fit_is_not_written(arrays: list[np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write_probabilities(tmp_path / "a.nii.gz", arrays, (2, 2, 2), np.eye(4), CLASSES)
    assert list(tmp_path.iterdir()) == []


def test_broken_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no file at .*a\.nii\.gz; run `unpaired predict --probabilities`"):
        read_probabilities(tmp_path / "a.nii.gz")
    write_probabilities(tmp_path / "a.nii.gz", softmax((20, 20, 9)), (20, 20, 9), np.eye(4), CLASSES)
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"no image at all"))
    for name, reason in (("cut", "truncated"), ("text", "not a NIfTI file")):
        with pytest.raises(InputError, match=f"{name}.nii.gz: {reason}"):
            read_probabilities(tmp_path / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), tmp_path / "labels.nii.gz")
    with pytest.raises(InputError, match=r"expected probabilities \(x, y, z, class\)"):
        read_probabilities(tmp_path / "labels.nii.gz")
    nib.save(nib.Nifti1Image(np.full((3, 3, 3, 2), 4, np.float32), np.eye(4)), tmp_path / "logits.nii.gz")
    with pytest.raises(InputError, match="got 4 to 4; save softmax, not logits"):
        read_probabilities(tmp_path / "logits.nii.gz")
