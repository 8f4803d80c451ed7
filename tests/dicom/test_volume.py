"""Voxels of series: each value in its place, against plain loops, GDCM's reader and dcm2niix."""

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from synthetic_dicom import item, lps, oblique, volume, write_enhanced, write_series
from unpaired.data.image import TO_RAS, Image, ImageError
from unpaired.dicom.index import Series
from unpaired.dicom.stack import stacked
from unpaired.dicom.tree import list_dicom
from unpaired.dicom.volume import on_frames, read_volume, straightened

DCM2NIIX = shutil.which("dcm2niix")


def only(tree: Path) -> Series:
    (series,) = list_dicom(tree).series
    assert series.problem is None, series.problem
    return series


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8])
@pytest.mark.parametrize("turned", [False, True], ids=["axial", "oblique"])
def test_every_voxel_lies_in_its_place(tmp_path: Path, dtype: type, turned: bool) -> None:
    values, affine = volume(dtype=dtype), lps(turn=oblique() if turned else None)
    write_series(tmp_path, values, affine)
    image = read_volume(only(tmp_path))
    assert np.array_equal(image.array, values)
    assert np.allclose(image.affine, TO_RAS @ affine, atol=1e-6)
    assert image.notes == ()


def test_slices_against_the_normal_are_turned_round(tmp_path: Path) -> None:
    affine = lps()
    affine[2, 2] *= -1
    write_series(tmp_path, volume(), affine)
    image = read_volume(only(tmp_path))
    assert np.array_equal(image.array, volume()[..., ::-1])
    assert image.affine[2, 3] == pytest.approx(5 - 4 * 2.5)


def test_each_slice_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    write_series(
        tmp_path,
        volume(),
        lps(),
        of_slice=lambda number: {"RescaleSlope": 1 + 0.5 * number, "RescaleIntercept": -number},
    )
    image = read_volume(only(tmp_path))
    assert image.array.dtype == np.float32
    for number in range(5):
        assert np.allclose(image.array[..., number], volume()[..., number] * (1 + 0.5 * number) - number)


def test_reversed_display_changes_no_value(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps(), of_slice=lambda number: {"PhotometricInterpretation": "MONOCHROME1"})
    image = read_volume(only(tmp_path))
    assert np.array_equal(image.array, volume())
    assert image.notes == ("shown in reverse (MONOCHROME1): its values are read as they are stored",)


def test_the_bits_above_the_highest_are_no_values(tmp_path: Path) -> None:
    values = volume(dtype=np.uint16) % 4096
    marked = values | (np.arange(values.size, dtype=np.uint16).reshape(values.shape) % 16 << 12)
    write_series(tmp_path, marked, lps(), of_slice=lambda number: {"BitsStored": 12, "HighBit": 11})
    assert np.array_equal(read_volume(only(tmp_path)).array, values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=["rle", "jpeg-ls"])
def test_compressed_slices_are_the_same(tmp_path: Path, syntax: str) -> None:
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls")
    for path in write_series(tmp_path, volume((16, 12, 3)), lps()):
        file = pydicom.dcmread(path)
        file.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "pyjpegls")
        file.save_as(path)
    assert np.array_equal(read_volume(only(tmp_path)).array, volume((16, 12, 3)))


def test_enhanced_frames_are_read_with_their_own_scaling(tmp_path: Path) -> None:
    write_enhanced(
        tmp_path / "x",
        volume((9, 7, 6)),
        lps(turn=oblique()),
        of_frame=lambda number: {
            "PixelValueTransformationSequence": item(RescaleSlope=2.0 + number, RescaleIntercept=1.0)
        },
        at=lambda number: (0, 3, 1, 5, 2, 4)[number],
    )
    image = read_volume(only(tmp_path))
    for number, place in enumerate((0, 3, 1, 5, 2, 4)):
        assert np.array_equal(image.array[..., place], volume((9, 7, 6))[..., number] * (2 + number) + 1)


def test_compressed_frames_are_the_same(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "x.dcm", volume((16, 12, 3)), lps())
    file = pydicom.dcmread(path)
    file.compress(RLELossless, encoding_plugin="pydicom")
    file.save_as(path)
    assert np.array_equal(read_volume(only(tmp_path)).array, volume((16, 12, 3)))


def test_philips_values_are_the_measured_ones(tmp_path: Path) -> None:
    def of_slice(number: int) -> dict:
        return {"RescaleSlope": 2.0, "RescaleIntercept": 6.0, "Manufacturer": "Philips Medical Systems"}

    for path in write_series(tmp_path, volume(), lps(), "MR", of_slice=of_slice):
        file = pydicom.dcmread(path)
        file.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        file.add_new(0x2005100E, "FL", 0.25)
        file.save_as(path)
    image = read_volume(only(tmp_path))
    assert np.allclose(image.array, (volume() * 2.0 + 6.0) / (2.0 * 0.25))
    assert image.notes == ("Philips: the measured values by the private Scale Slope, as dcm2niix has them",)


# ---- a tilted gantry


def tilted(folder: Path, mm_per_slice: float) -> Series:
    write_series(folder, volume((9, 12, 6)), lps(), shift=lambda number: np.array([0, -mm_per_slice * number, 0]))
    return only(folder)


def test_a_tilted_stack_is_moved_slice_by_slice(tmp_path: Path) -> None:
    series = tilted(tmp_path, 0.25)
    image = read_volume(series)
    assert image.array.shape == (9, 12 + 2, 6)
    assert "tilted gantry (5.7 degrees)" in image.notes[0]
    values = volume((9, 12, 6)).astype(float)
    low = values.min()
    for number in range(6):
        for row in range(14):
            place = row - (2 - 0.25 * number / 0.7)  # the grid begins 2 rows above the first slice
            before = int(np.floor(place))
            weight = place - before
            if abs(weight) < 1e-9 and 0 <= before < 12:
                expected = values[:, before, number]
            elif before >= 0 and before + 1 < 12:
                expected = (1 - weight) * values[:, before, number] + weight * values[:, before + 1, number]
            else:
                expected = np.full(9, low)
            assert np.abs(image.array[:, row, number] - expected).max() <= 0.501, (number, row)


def test_labels_go_back_to_the_frames_of_a_tilted_stack(tmp_path: Path) -> None:
    series = tilted(tmp_path, 0.25)
    labels = np.random.default_rng(3).integers(0, 4, (9, 14, 6)).astype(np.uint8)
    moved = on_frames(labels, series)
    assert moved.shape == (9, 12, 6)
    for number in range(6):
        for row in range(12):
            nearest = round(row + 2 - 0.25 * number / 0.7)
            assert np.array_equal(moved[:, row, number], labels[:, nearest, number])
    with pytest.raises(ImageError, match=r"expected a label map of shape \(9, 14, 6\)"):
        on_frames(labels[:, :12], series)


def test_labels_of_a_straight_stack_stay_as_they_are(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps())
    labels = np.random.default_rng(3).integers(0, 4, (9, 7, 5)).astype(np.uint8)
    assert np.array_equal(on_frames(labels, only(tmp_path)), labels)


def test_a_tilted_stack_is_refused_on_request(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a tilted gantry \(5.7 degrees\) sheared it"):
        read_volume(tilted(tmp_path, 0.25), tilt="refuse")


def test_a_stack_that_wanders_is_no_tilt(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps(), shift=lambda number: np.array([0, (0, 3, 1, 5, 4)[number], 0]))
    (series,) = list_dicom(tmp_path).series
    assert "pixels beside the line through the others" in (series.problem or "")


# ---- what is wrong


def test_files_that_changed_since_they_were_indexed_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(), lps())
    series = only(tmp_path)
    write_series(tmp_path, volume((8, 7, 5)), lps())
    with pytest.raises(ImageError, match=r"it changed, index it again"):
        read_volume(series)
    paths[2].write_bytes(paths[2].read_bytes()[:-20])
    with pytest.raises(ImageError, match=r"1-001.dcm: has \(8, 7\) pixels"):
        read_volume(series)


def test_rows_columns_and_the_length_of_pixels_agree(tmp_path: Path) -> None:
    paths = write_series(tmp_path, volume(), lps())
    file = pydicom.dcmread(paths[3])
    file.PixelData = file.PixelData[:-10]
    file.save_as(paths[3])
    with pytest.raises(ImageError, match=r"1-004.dcm: truncated: the header promises 126 bytes of voxels"):
        read_volume(only(tmp_path))


def test_what_is_no_volume_is_not_read(tmp_path: Path) -> None:
    write_series(tmp_path, volume((9, 7, 1)), lps())
    (series,) = list_dicom(tmp_path).series
    with pytest.raises(ImageError, match=r"a single slice, no volume"):
        read_volume(series)


# ---- dcm2niix


def by_dcm2niix(source: Path, out: Path) -> list[nib.Nifti1Image]:
    """What dcm2niix makes of a folder."""
    out.mkdir()
    subprocess.run([str(DCM2NIIX), "-o", out, "-f", "x_%s_%r_%e", "-z", "n", source], capture_output=True, check=True)
    return [nib.load(path) for path in sorted(out.glob("*.nii"))]  # pyright: ignore[reportReturnType]


def on_the_axes_of(nifti: nib.Nifti1Image, image: Image) -> tuple[np.ndarray, np.ndarray]:
    """dcm2niix turns rows round: its voxels and affine on the axes of `image`."""
    turned = np.eye(4)
    turned[1, 1], turned[1, 3] = -1, nifti.shape[1] - 1
    return np.asarray(nifti.dataobj)[:, ::-1], nifti.affine @ turned


GRIDS = {
    "axial": (lps(), np.int16),
    "oblique": (lps(turn=oblique()), np.int16),
    "unsigned": (lps(turn=oblique(), spacing=(1.5, 0.4, 3.0)), np.uint16),
    "coronal": (lps(turn=np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])), np.int16),
}


@pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix isn't installed")
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_dcm2niix_reads_the_same(tmp_path: Path, name: str, kind: str) -> None:
    affine, dtype = GRIDS[name]
    values = volume((24, 20, 8), dtype=dtype)
    if kind == "classic":
        write_series(tmp_path / "in", values, affine, "MR")
    else:
        write_enhanced(tmp_path / "in" / "x.dcm", values, affine)
    image = read_volume(only(tmp_path / "in"))
    (nifti,) = by_dcm2niix(tmp_path / "in", tmp_path / "out")
    array, placed = on_the_axes_of(nifti, image)
    assert np.array_equal(array, image.array)
    assert np.abs(placed - image.affine).max() < 1e-3


@pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix isn't installed")
def test_dcm2niix_moves_a_tilted_stack_alike(tmp_path: Path) -> None:
    values = volume((24, 20, 8))
    write_series(tmp_path / "in", values, lps(), shift=lambda number: np.array([0, -0.25 * number, 0]))
    image = read_volume(only(tmp_path / "in"))
    nifti = next(nifti for nifti in by_dcm2niix(tmp_path / "in", tmp_path / "out") if "Tilt" in nifti.get_filename())
    array, placed = on_the_axes_of(nifti, image)
    assert np.abs(placed - image.affine).max() < 1e-3
    inside = image.array != image.array.min()
    inside[:, 1:] &= image.array[:, :-1] != image.array.min()  # it fills the rows that slices cover in part otherwise
    assert inside.mean() > 0.7
    assert np.abs(array - image.array)[inside].max() <= 1


def test_straightening_leaves_whole_shifts_exact(tmp_path: Path) -> None:
    write_series(tmp_path, volume(), lps(), shift=lambda number: np.array([0, 0.7 * number, 0]))
    stack = stacked(only(tmp_path).frames)
    moved = straightened(volume(), stack)
    for number in range(5):
        assert np.array_equal(moved[:, number : number + 7, number], volume()[..., number])
