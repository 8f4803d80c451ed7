"""Files in and out: values, geometry, one clear line for every bad file. Oracles: nibabel, SimpleITK and PIL."""

import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image as Picture

from unpaired.data import images
from unpaired.data.images import Image, image_files, name_below, read_image, read_label_map, write_image
from unpaired.errors import InputError
from unpaired.scores.pairs import require_one_grid

OBLIQUE = np.array([[0.64, -0.54, 0, -30], [0.48, 0.72, 0, 12], [0, 0, 3, 7], [0, 0, 0, 1]])
"""Turned by 37 degrees; voxels of 0.8 x 0.9 x 3 mm."""


def volume(dtype: str = "int16", shape: tuple[int, ...] = (5, 6, 7)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "uint16"])
def test_written_images_come_back(tmp_path: Path, suffix: str, dtype: str) -> None:
    path = tmp_path / "new" / "folder" / f"image{suffix}"
    write_image(path, volume(dtype), OBLIQUE)
    image = read_image(path)
    assert image.array.dtype == dtype
    np.testing.assert_array_equal(image.array, volume(dtype))
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-5)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_name_without_its_suffix_is_guessed(tmp_path: Path) -> None:
    write_image(tmp_path / "scan_1.nii.gz", volume(), OBLIQUE)
    for name in ("scan_1", "SCAN_1.nii.gz"):
        with pytest.raises(InputError, match=f"found none at .*{name}; did you mean scan_1.nii.gz\\?"):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match=r"found none at .*scan; check the path"):
        read_image(tmp_path / "scan")
    with pytest.raises(InputError, match=r"found a folder at .*; check the path"):
        read_image(tmp_path)


def test_nibabel_reads_what_we_write(tmp_path: Path) -> None:
    affine = np.diag([-0.7, 0.8, 5.0, 1.0])
    affine[:3, 3] = 3, -4, 5
    write_image(tmp_path / "a.nii.gz", volume(), affine)
    theirs = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), volume())
    for got, code in (theirs.get_sform(coded=True), theirs.get_qform(coded=True)):
        np.testing.assert_allclose(got, affine, atol=1e-5)
        assert code == 1
    np.testing.assert_allclose(sitk.ReadImage(str(tmp_path / "a.nii.gz")).GetSpacing(), (0.7, 0.8, 5.0), rtol=1e-6)


@pytest.mark.parametrize(("given", "stored"), [("bool", "uint8"), ("float16", "float32"), ("int64", "int64")])
def test_types_that_nifti_lacks(tmp_path: Path, given: str, stored: str) -> None:
    write_image(tmp_path / "a.nii", volume(given), np.eye(4))
    assert read_image(tmp_path / "a.nii").array.dtype == stored


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "expected"),
    [
        ("int16", 1.0, -1024.0, "int16"),
        ("uint16", 1.0, 40000.0, "int32"),
        ("uint8", 2.0, 0.0, "uint8"),
        ("int16", 0.37, -12.5, "float32"),
        ("int32", 2.0, 0.0, "float32"),
        (">i2", 0.5, 3.0, "float32"),
        (">i2", 1.0, 0.0, "int16"),
        ("float64", 1.0, 0.0, "float32"),
    ],
)
def test_slope_and_intercept(tmp_path: Path, dtype: str, slope: float, intercept: float, expected: str) -> None:
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    image = nib.Nifti1Image(volume(dtype), OBLIQUE, header)
    image.header.set_data_dtype(np.dtype(dtype))
    image.header.set_slope_inter(slope, intercept)
    content = bytearray(image.to_bytes())
    # nibabel rescales what it writes; keep our raw numbers under the slope we want.
    raw = volume(dtype).tobytes("F")
    offset = len(content) - len(raw)
    content[offset:] = raw
    order = ">" if dtype.startswith(">") else "<"
    content[112:120] = np.array([slope, intercept], f"{order}f4").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(content))
    got = read_image(tmp_path / "a.nii").array
    assert got.dtype == expected
    theirs = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    np.testing.assert_allclose(got, theirs, rtol=1e-6)
    np.testing.assert_allclose(got, volume(dtype).astype(float) * slope + intercept, rtol=1e-6, atol=1e-6)


def test_nifti2_trailing_axis_and_uncompressed_gz(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(volume()[..., None], OBLIQUE), tmp_path / "a.nii")
    (tmp_path / "b.nii.gz").write_bytes((tmp_path / "a.nii").read_bytes())
    for name in ("a.nii", "b.nii.gz"):
        np.testing.assert_array_equal(read_image(tmp_path / name).array, volume())


def test_one_slice_gets_a_third_axis(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(volume(shape=(5, 6)), np.eye(4)), tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").array.shape == (5, 6, 1)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_itk_formats_agree_with_nifti_written_by_itk(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(volume())
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    angle = 0.3
    image.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    nifti, other = read_image(tmp_path / "a.nii.gz"), read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(nifti.array, other.array)
    np.testing.assert_allclose(nifti.affine, other.affine, atol=1e-5)


def test_png_axes(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Picture.fromarray(pixels).save(tmp_path / "gray.png")
    Picture.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / "gray_as_rgb.png")
    for name in ("gray.png", "gray_as_rgb.png"):
        image = read_image(tmp_path / name)
        assert image.array.shape == (4, 3, 1)
        np.testing.assert_array_equal(image.array[..., 0].T, pixels)
        assert nib.orientations.aff2axcodes(image.affine) == ("L", "P", "S")
    Picture.fromarray(np.stack([pixels, pixels, pixels + 1], axis=-1)).save(tmp_path / "color.png")
    with pytest.raises(InputError, match="grayscale"):
        read_image(tmp_path / "color.png")


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    good = nib.Nifti1Image(volume(), np.eye(4)).to_bytes()
    packed = gzip.compress(good)
    rgb = np.zeros((5, 6, 7), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    contents = {
        "cut.nii.gz": (packed[: len(packed) // 2], "truncated"),
        "damaged.nii.gz": (packed[:12] + b"\xff" * 60, "truncated or damaged"),
        "cut.nii": (good[:-10], "truncated"),
        "header_only.nii": (good[:200], "NIfTI header"),
        "empty.nii": (b"", "not a NIfTI"),
        "text.nii": (b"this is no image " * 40, "not a NIfTI"),
        "four.nii": (nib.Nifti1Image(volume(shape=(3, 4, 5, 2)), np.eye(4)).to_bytes(), "expected a 3D image, got 4D"),
        "complex.nii": (nib.Nifti1Image(volume("complex64"), np.eye(4)).to_bytes(), "complex"),
        "color.nii": (nib.Nifti1Image(rgb, np.eye(4)).to_bytes(), "color"),
        "text.png": (b"no picture", "PNG"),
        "text.nrrd": (b"no nrrd", "unreadable"),
        "notes.txt": (b"", "not an image format"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: (folder / name, message) for name, (_, message) in contents.items()}


def test_bad_files_get_one_line_that_names_them(tmp_path: Path) -> None:
    for path, message in [*bad_files(tmp_path).values(), (tmp_path / "absent.nii", "found none")]:
        with pytest.raises(InputError, match=message) as caught:
            read_image(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_label_maps_are_integers(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(volume("float32"), np.eye(4)), tmp_path / "float.nii")
    label = read_label_map(tmp_path / "float.nii").array
    assert label.dtype.kind == "i"
    np.testing.assert_array_equal(label, volume())
    for value in (1.5, np.nan, np.inf):
        wrong = volume("float32")
        wrong[1, 2, 3] = value
        nib.save(nib.Nifti1Image(wrong, np.eye(4)), tmp_path / "wrong.nii")
        with pytest.raises(InputError, match=rf"wrong\.nii.*got {value:g}"):
            read_label_map(tmp_path / "wrong.nii")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.nii.gz", volume(), np.eye(4))
    before = (tmp_path / "a.nii.gz").read_bytes()

    def full(self: Path, content: bytes) -> int:
        self.open("wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        write_image(tmp_path / "a.nii.gz", volume() + 1, np.eye(4))
    assert [file.name for file in tmp_path.iterdir()] == ["a.nii.gz"]
    assert (tmp_path / "a.nii.gz").read_bytes() == before


def test_unwritable_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="can't write"):
        write_image(tmp_path / "file" / "a.nii.gz", volume(), np.eye(4))
    with pytest.raises(InputError, match=r"\.nii\.gz or \.nii"):
        write_image(tmp_path / "a.png", volume(), np.eye(4))


def test_image_files(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.png", "c.MHA", "notes.txt", ".hidden.nii", "d.nii"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.nii").mkdir()
    assert [file.name for file in image_files(tmp_path)] == ["a.png", "b.nii.gz", "c.MHA", "d.nii"]
    (tmp_path / "e.nii").symlink_to("nowhere")
    (tmp_path / "f.nii").symlink_to("f.nii")
    assert [file.name for file in image_files(tmp_path)][-2:] == ["e.nii", "f.nii"], "not left out without a word"
    with pytest.raises(InputError, match="folder"):
        image_files(tmp_path / "absent")


def test_what_is_no_file_is_said_and_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / "gone.nii.gz").symlink_to("nowhere.nii.gz")
    (tmp_path / "loop.nrrd").symlink_to("loop.nrrd")
    (tmp_path / "folder.mha").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.nii").symlink_to("/dev/zero")
    for name, words in (
        ("gone.nii.gz", r"found a link to nowhere\.nii\.gz, where nothing is, at"),
        ("loop.nrrd", r"found a link to loop\.nrrd, where nothing is, at"),
        ("folder.mha", "found a folder at"),
        ("pipe.png", "found a pipe, socket or device at"),
        ("endless.nii", "found a pipe, socket or device at"),
        ("never.nii", "found none at"),
    ):
        with pytest.raises(InputError, match=words):
            read_image(tmp_path / name)


def test_image_files_in_folders_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "one/two/a.nii", "one/a.nii.gz", ".git/x.nii", "left/y.nii", "elsewhere/z.png"):
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_bytes(b"")
    (tmp_path / "all" / "elsewhere").rename(tmp_path / "elsewhere")
    (tmp_path / "all" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "all" / "one" / "circle").symlink_to(tmp_path / "all")
    files = image_files(tmp_path / "all", but=[tmp_path / "all" / "left"])
    names = [name_below(file, tmp_path / "all") for file in files]
    assert names == ["b", "link/z", "one/a", "one/two/a"]


def test_corner_shift_is_in_voxels() -> None:
    image = Image(volume(), np.diag([2.0, 2.0, 5.0, 1.0]))
    moved = image.affine.copy()
    moved[0, 3] = 3.0
    assert images.corner_shift(image, Image(volume(), moved)) == pytest.approx(1.5)
    stretched = np.diag([2.0, 2.0, 6.0, 1.0])  # the far corner moves by 6 slices x 1 mm
    assert images.corner_shift(image, Image(volume(), stretched)) == pytest.approx(3.0)


@pytest.mark.parametrize("codes", ["LPS", "RAI", "ASR", "SPL"])
@pytest.mark.parametrize("shape", [(6, 6, 6), (5, 6, 7)])
def test_a_label_map_with_other_axes_is_told_from_one_that_lies_elsewhere(codes: str, shape: tuple[int, ...]) -> None:
    """Whoever copied the image's affine onto it would mirror the patient."""
    nifti = nib.Nifti1Image(np.zeros(shape, np.uint8), np.diag([2.0, 2.0, 5.0, 1.0]))
    there, here = (nib.orientations.axcodes2ornt(axes) for axes in ("RAS", codes))
    turned = nifti.as_reoriented(nib.orientations.ornt_transform(there, here))
    image, label = Image(np.zeros(shape), nifti.affine), Image(np.zeros(turned.shape, np.uint8), turned.affine)
    problem = images.grid_problem(image, label)
    assert problem is not None
    assert f"its axes run toward {codes}, the image's toward RAS" in problem[1]
    assert "copy the affine" not in problem[1]
    elsewhere = label.affine.copy()
    elsewhere[0, 3] += 1.2
    problem = images.grid_problem(image, Image(label.array, elsewhere))
    assert problem is not None
    assert "its axes run" not in problem[1]
    with pytest.raises(InputError, match=r"lies on the voxels of reference\.nii\.gz, but its axes run toward"):
        require_one_grid(label, image, Path("prediction.nii.gz"), Path("reference.nii.gz"))
