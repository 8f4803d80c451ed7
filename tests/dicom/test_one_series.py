"""DICOM series written here, with an object that has a left, a front and a top: every pixel comes out in its place."""

import locale
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its own documentation's name)
from nibabel.funcs import as_closest_canonical
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti1 import load as load_nifti

from itk_locale import locale_kept
from unpaired.dicom.one_series import dicom_files, read_series
from unpaired.errors import InputError

SPACING = (2.0, 3.0)
"""Between columns and between rows, mm."""
GAP = 5.0
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def write_slice(path, array, position, orientation=AXIAL, modality="CT", spacing=SPACING, slope=(1, 0), **tags):
    """One slice, `array` (rows, columns); tags as keys such as t0020_000e."""
    image = sitk.GetImageFromArray(np.asarray(array)[None].astype(np.int16))
    values = {
        "0008|0060": modality,
        "0008|0016": {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}[modality],
        "0020|0032": "\\".join(f"{x:.6f}" for x in position),
        "0020|0037": "\\".join(f"{x:.6f}" for x in orientation),
        "0020|000e": "1.2.3.4",
    } | {name[1:].replace("_", "|"): value for name, value in tags.items()}
    if slope != (1, 0):
        values |= {"0028|1053": str(slope[0]), "0028|1052": str(slope[1])}
    image.SetSpacing((*spacing, GAP))
    for key, value in values.items():
        image.SetMetaData(key, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.SetFileName(str(path))
    with locale_kept():
        writer.Execute(image)


def asymmetric(columns=7, rows=6, slices=4):
    """(column, row, slice): no two voxels of one value, so that no order can be mistaken for another."""
    return np.arange(columns * rows * slices).reshape(columns, rows, slices)


def write_series(folder, volume, orientation=AXIAL, origin=(-10.0, 20.0, 30.0), names=None, **options):
    """Slices along the normal of `orientation`; `names` in the order of the slices."""
    normal = np.cross(orientation[:3], orientation[3:])
    for number in range(volume.shape[2]):
        name = names[number] if names else f"{number:03}.dcm"
        position = np.array(origin) + number * GAP * normal
        write_slice(folder / name, volume[:, :, number].T, position, orientation, **options)


def voxel(image, lps):
    """The value at a point given as DICOM does, toward left, posterior and superior."""
    ras = np.array([-lps[0], -lps[1], lps[2], 1.0])
    place = np.linalg.inv(image.affine) @ ras
    index = np.rint(place[:3]).astype(int)
    assert np.abs(place[:3] - index).max() < 1e-3
    return image.array[tuple(index)]


def test_reading_leaves_the_locale_alone(tmp_path):
    """GDCM sets the C locale, in which Python takes every text file for ASCII."""
    write_series(tmp_path, asymmetric(), names=[f"{name}.dcm" for name in "abcd"])
    before = locale.setlocale(locale.LC_ALL)
    read_series(dicom_files(tmp_path))
    assert locale.setlocale(locale.LC_ALL) == before


@pytest.mark.parametrize(
    "orientation",
    [
        AXIAL,
        (1, 0, 0, 0, 0, -1),  # coronal
        (0, 1, 0, 0, 0, -1),  # sagittal
        (0.8, 0.6, 0, -0.6, 0.8, 0),  # oblique
        (-1, 0, 0, 0, -1, 0),  # turned by 180 degrees
    ],
)
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_every_voxel_lies_where_its_header_says(tmp_path, orientation, order):
    volume = asymmetric()
    names = {"ascending": "abcd", "descending": "dcba", "shuffled": "cadb"}[order]
    write_series(tmp_path, volume, orientation, names=[f"{name}.dcm" for name in names])
    series = read_series(dicom_files(tmp_path))
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    for i, j, k in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (0, 0, 3), (3, 2, 1)):
        place = np.array([-10.0, 20.0, 30.0]) + i * 2.0 * row + j * 3.0 * column + k * GAP * np.cross(row, column)
        assert voxel(series.image, place) == volume[i, j, k]
    assert series.image.spacing_mm == pytest.approx((2.0, 3.0, 5.0))
    assert [path.stem for path in series.files] == list(names)


def test_left_and_right_of_an_axial_series(tmp_path):
    write_series(tmp_path, asymmetric())
    assert nib.orientations.aff2axcodes(read_series(dicom_files(tmp_path)).image.affine) == ("L", "P", "S")


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_values_are_those_after_slope_and_intercept(tmp_path, modality):
    volume = asymmetric() * 2 - 100
    write_series(tmp_path, volume, modality=modality, slope=(2, -100))
    assert b"-100" in (tmp_path / "000.dcm").read_bytes(), "the intercept is stored, not only applied"
    found = read_series(dicom_files(tmp_path)).image.array
    np.testing.assert_allclose(found, volume)


def test_files_of_one_series_may_have_series_ids_of_their_own(tmp_path):
    for number in range(3):
        write_slice(
            tmp_path / f"{number}.dcm", np.full((4, 4), number), (0, 0, GAP * number), t0020_000e=f"1.2.{number}"
        )
    assert read_series(dicom_files(tmp_path)).image.array.shape == (4, 4, 3)


def test_other_files_of_a_folder_are_left_alone(tmp_path):
    write_series(tmp_path, asymmetric())
    for name in ("notes.txt", ".hidden.dcm", "DICOMDIR"):
        (tmp_path / name).write_text("not a slice")
    assert len(dicom_files(tmp_path)) == 4


# ---- what is refused


def refused(folder):
    with pytest.raises(InputError) as error:
        read_series(dicom_files(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_slice(tmp_path):
    write_series(tmp_path, asymmetric(slices=6))
    (tmp_path / "003.dcm").unlink()
    assert "1 missing slice: 10.00 mm between 002.dcm and 004.dcm, 5.00 mm elsewhere" in refused(tmp_path)


def test_two_slices_at_one_place(tmp_path):
    write_series(tmp_path, asymmetric())
    write_slice(tmp_path / "again.dcm", np.zeros((6, 7)), (-10.0, 20.0, 30.0))
    assert "lie at one place" in refused(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"orientation": (1, 0, 0, 0, 0, -1)}, "lies in another direction than 000.dcm"),
        ({"spacing": (2.5, 3.0)}, "x.dcm has pixels of (2.5, 3.0) mm, 000.dcm of (2.0, 3.0)"),
        ({"array": np.zeros((6, 8))}, "x.dcm has (8, 6) pixels, 000.dcm (7, 6)"),
    ],
)
def test_a_slice_of_another_series(tmp_path, options, words):
    write_series(tmp_path, asymmetric())
    write_slice(tmp_path / "x.dcm", **({"array": np.zeros((6, 7)), "position": (-10.0, 20.0, 50.0)} | options))
    assert words in refused(tmp_path)


def test_a_tilted_gantry(tmp_path):
    """It leans by arctan(2 / 5)."""
    for number in range(4):
        write_slice(tmp_path / f"{number}.dcm", np.zeros((6, 7)), (0, 2.0 * number, GAP * number))
    assert "a tilted gantry (21.8 degrees) shifted the slices along the stack" in refused(tmp_path)


def test_one_slice_and_none_are_no_series(tmp_path):
    write_slice(tmp_path / "a.dcm", np.zeros((6, 7)), (0, 0, 0))
    assert "two slices or more, found 1" in refused(tmp_path)
    with pytest.raises(InputError, match="found 0"):
        read_series([])
    with pytest.raises(InputError, match="expected DICOM files, found none"):
        dicom_files(tmp_path.parent / "empty" if (tmp_path.parent / "empty").mkdir() is None else tmp_path)
    with pytest.raises(InputError, match="expected a folder with a DICOM series, found nothing"):
        dicom_files(tmp_path / "nowhere")


def test_a_file_that_is_broken_or_no_slice(tmp_path):
    write_series(tmp_path, asymmetric())
    (tmp_path / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"rubbish")
    assert "bad.dcm" in refused(tmp_path)
    (tmp_path / "bad.dcm").unlink()
    content = (tmp_path / "002.dcm").read_bytes()
    (tmp_path / "002.dcm").write_bytes(content[:-20])
    assert "002.dcm: truncated" in refused(tmp_path)


def test_directions_at_no_right_angle(tmp_path):
    for number in range(2):
        write_slice(tmp_path / f"{number}.dcm", np.zeros((6, 7)), (0, 0, 5 * number), (0.6, 0.8, 0, 0.8, -0.6, 0))
    content = (tmp_path / "1.dcm").read_bytes()
    flat = content.replace(b"\\.8\\-.6", b"\\.8\\+.6")
    assert flat != content
    (tmp_path / "1.dcm").write_bytes(flat)
    assert "1.dcm: Image Orientation makes no right angle" in refused(tmp_path)


@pytest.mark.skipif("UNPAIRED_DATA" not in os.environ, reason="needs the real scans")
def test_real_series_equal_their_nifti_and_bad_ones_are_refused():
    root = Path(os.environ["UNPAIRED_DATA"]) / "dicom" / "series"
    good = ["anatomical/001", "ge/anatomical/001", "siemens/anatomical/001", "generic/anatomical/002_non_isotropic"]
    good += [f"generic/compressed{kind}/001" for kind in ("", "_j2k", "_jpeg", "_jpegls", "_rle")]
    for name in good:
        image = read_series(dicom_files(root / name)).image
        ours = as_closest_canonical(Nifti1Image(image.array.astype(np.float32), image.affine))
        theirs = as_closest_canonical(load_nifti(root / f"{name}_ground_truth.nii.gz"))
        np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
        np.testing.assert_allclose(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj), atol=1e-4)
    for name in ("gantrytilting", "notavolume", "sliceincrement", "sliceorientation"):
        with pytest.raises(InputError):
            read_series(dicom_files(root / "failing" / name / "001"))
