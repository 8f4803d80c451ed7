"""NIfTI: every way in which a header can contradict itself, lengths and checksums; nibabel and ITK as oracles."""

import gzip
import io
import zlib
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from unpaired.data.image import TO_RAS, ImageError
from unpaired.data.images import read_image, read_label_map, write_image
from unpaired.errors import InputError

REAL = np.array([[-1.3, 0, 0, 20], [0, -1.3, 0, 30], [0, 0, 10, -40], [0, 0, 0, 1.0]])
"""Axes toward left, posterior and superior, as most scanners write them."""
VOXELS = np.random.default_rng(0).integers(0, 99, (8, 9, 5)).astype(np.int16)

Change = Callable[[nib.Nifti1Header], object]


def patched(change: Change, array: np.ndarray = VOXELS) -> bytes:
    """A file whose sform, qform and pixdim agree, until `change` patches its header's bytes."""
    image = nib.Nifti1Image(array, REAL)
    image.set_sform(REAL, 1)
    image.set_qform(REAL, 1)
    content = bytearray(image.to_bytes())
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(bytes(content[:352])), check=False)
    change(header)
    content[:348] = header.binaryblock
    return bytes(content)


def fields(**values: object) -> Change:
    def change(header: nib.Nifti1Header) -> None:
        for name, value in values.items():
            header[name] = value

    return change


def sform(matrix: np.ndarray, code: int = 1, **others: object) -> Change:
    def change(header: nib.Nifti1Header) -> None:
        header.set_sform(matrix, code)
        fields(**others)(header)

    return change


def pixdim(qfac: float, *sizes: float, **others: object) -> Change:
    return fields(pixdim=[qfac, *sizes, 1, 1, 1, 1], **others)


def turned(degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ REAL


MIRRORED = np.diag([-1.0, 1, 1, 1]) @ REAL
SHEARED = REAL + np.array([[0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
LARGER = REAL * np.array([1.1, 1.1, 1.1, 1])
UNIT = np.diag([-1.0, -1, 1, 1])
SMALL = np.diag([1e-3, 1e-3, 1e-3, 1.0]) @ REAL
LARGE = np.diag([1e3, 1e3, 1e3, 1.0]) @ REAL


@pytest.mark.parametrize(
    ("change", "affine", "words"),
    [
        (fields(), REAL, ""),
        (sform(UNIT), REAL, "the sform says voxels of 1 x 1 x 1 mm, pixdim 1.3 x 1.3 x 10 mm; read by the qform"),
        (sform(UNIT, 2), REAL, "read by the qform"),
        (fields(sform_code=0), REAL, ""),
        (fields(qform_code=0), REAL, ""),
        (fields(qform_code=0, quatern_b=7), REAL, ""),
        (sform(turned(20)), turned(20), "sform and qform place the scan up to 12.5 mm apart; read by the sform"),
        (sform(turned(20), 2), turned(20), "read by the sform"),
        (fields(qoffset_x=np.nan), REAL, "the qform places the scan nowhere (its offset is not finite)"),
        (fields(qoffset_z=np.inf), REAL, "the qform places the scan nowhere"),
        (sform(turned(1e-4)), turned(1e-4), ""),
        (sform(LARGER, 4), REAL, "(its code is MNI)"),
        (sform(SHEARED, 4), REAL, "(its code is MNI)"),
        (fields(xyzt_units=0), REAL, ""),
        (fields(xyzt_units=2), REAL, ""),
        (fields(xyzt_units=3), SMALL, "the header counts in micrometers; read as such, as ITK does"),
        (sform(SMALL, 1, pixdim=[1, 1.3e-3, 1.3e-3, 1e-2, 1, 1, 1, 1], xyzt_units=1, qform_code=0), REAL, "in meters"),
        (sform(LARGE, 1, pixdim=[1, 1.3e3, 1.3e3, 1e4, 1, 1, 1, 1], xyzt_units=3, qform_code=0), REAL, "micrometers"),
        (pixdim(0, 1.3, 1.3, 10, sform_code=0), REAL, ""),
        (fields(scl_slope=0, scl_inter=0), REAL, ""),
    ],
)
def test_what_is_resolved(tmp_path: Path, change: Change, affine: np.ndarray, words: str) -> None:
    (tmp_path / "a.nii").write_bytes(patched(change))
    image = read_image(tmp_path / "a.nii")
    np.testing.assert_allclose(image.affine, affine, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(image.array, VOXELS)
    assert (words in " ".join(image.notes)) if words else not image.notes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (fields(sform_code=0, qform_code=0), "neither sform nor qform has a code"),
        (sform(MIRRORED), "its axes run toward RPS by the sform, toward LPS by the qform"),
        (sform(MIRRORED, 2), "its axes run toward RPS by the sform"),
        (sform(SHEARED), "sform: the axes are sheared by 11.3 degrees"),
        (sform(SHEARED, 1, qform_code=0), "sheared"),
        (sform(LARGER), "the sform says voxels of 1.43 x 1.43 x 11 mm, pixdim 1.3 x 1.3 x 10 mm"),
        (sform(LARGER, 1, qform_code=0), "the sform says voxels of 1.43"),
        (sform(UNIT, 1, qform_code=0), "the sform says voxels of 1 x 1 x 1 mm"),
        (sform(np.zeros((4, 4)), 1), "sform: expected an"),
        (pixdim(1, 1, 1, 1), "the sform says voxels of 1.3 x 1.3 x 10 mm, pixdim 1 x 1 x 1 mm"),
        (pixdim(1, 1.3, 0, 10), "expected voxel sizes above 0"),
        (pixdim(1, -1.3, 1.3, 10), "expected voxel sizes above 0"),
        (pixdim(1, np.nan, 1.3, 10), "expected voxel sizes above 0"),
        (pixdim(1, 1.3, 1.3, 1e30, sform_code=0), "expected voxel sizes of 0.0001 to 100 mm"),
        (pixdim(3, 1.3, 1.3, 10), "qfac 3 is no rotation"),
        (pixdim(np.nan, 1.3, 1.3, 10), "is no rotation"),
        (fields(quatern_b=0.9, quatern_c=0.9), "quaternion"),
        (fields(qoffset_x=np.inf, sform_code=0), "invertible affine"),
        (fields(srow_x=[-1.3, 0, 0, np.nan]), "invertible affine"),
        (fields(srow_x=[-1.3, 0, 0, 1e30]), "beyond 100000 mm"),
        (fields(xyzt_units=1), "expected voxel sizes"),
        (fields(xyzt_units=7), "expected a unit of length (m, mm, micrometer), got code 7"),
        (fields(sform_code=9), "sform_code is 9"),
        (fields(qform_code=-1), "qform_code is -1"),
        (fields(scl_slope=0, scl_inter=5), "expected a slope and an intercept, got 0 and 5"),
        (fields(scl_slope=np.nan, scl_inter=0), "got nan and 0"),
        (fields(scl_slope=1, scl_inter=np.inf), "got 1 and inf"),
        (fields(scl_slope=1e38, scl_inter=0), "expected none beyond 3.4e+38 (float32); correct the header's slope"),
        (fields(dim=[3, 0, 9, 5, 1, 1, 1, 1]), "expected a size of at least 1"),
        (fields(dim=[3, -8, 9, 5, 1, 1, 1, 1]), "expected a size of at least 1"),
        (fields(dim=[3, -8, -9, 5, 1, 1, 1, 1]), "expected a size of at least 1"),
        (fields(dim=[3, 8, 9, 4, 1, 1, 1, 1]), "too long: the header promises 576 bytes of voxels, the file has 720"),
        (fields(dim=[3, 8, 9, 6, 1, 1, 1, 1]), "truncated: the header promises 864 bytes of voxels, the file has 720"),
        (fields(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), "promises 70362.30 GB of voxels"),
        (fields(dim=[0, 8, 9, 5, 1, 1, 1, 1]), "expected 1 to 7 dimensions, got 0"),
        (fields(dim=[3000, 8, 9, 5, 1, 1, 1, 1]), "expected 1 to 7 dimensions"),
        (fields(vox_offset=np.inf), "voxels can't begin at byte inf"),
        (fields(vox_offset=np.nan), "voxels can't begin at byte nan"),
        (fields(vox_offset=-352), "voxels can't begin at byte -352"),
        (fields(vox_offset=0), "voxels can't begin at byte 0"),
        (fields(vox_offset=1e30), "the file has 0"),
        (fields(bitpix=8), "8 bits per voxel, its type int16 has 16"),
        (fields(datatype=1234), "got data type 1234"),
        (fields(magic=b"ni1"), "its voxels lie in another file"),
        (fields(magic=b""), "expected NIfTI's mark"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_is_refused(tmp_path: Path, change: Change, words: str, suffix: str) -> None:
    content = patched(change)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    if suffix == ".nii.gz":  # lengths are told in terms of the compressed data
        words = words.replace("the file has 720", "the compressed data hold").replace("the file has 0", "GB of voxels")
    with pytest.raises(InputError, match=f"{file.name}: ") as caught:
        read_image(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        read_label_map(file)


def test_analyze_and_other_files_are_not_taken_for_nifti(tmp_path: Path) -> None:
    for content in (b"", b"\x5c\x01\0\0", bytes(600), b"\x1f\x8b", gzip.compress(b"abc")):
        (tmp_path / "a.nii").write_bytes(content)
        with pytest.raises(InputError, match=r"NIfTI|truncated"):
            read_image(tmp_path / "a.nii")


def itk_affine(image: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return TO_RAS @ affine


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_all_48_orders_of_axes_as_nibabel_and_itk_read_them(tmp_path: Path, kind: type, endianness: str) -> None:
    """Both forms, either alone, oblique; of either byte order and version."""
    path = tmp_path / "a.nii"
    for number, (axes, flips) in enumerate(product(permutations(range(3)), product([1.0, -1.0], repeat=3))):
        affine = turned(25 if number % 2 else 0)
        affine[:3, :3] = affine[:3, list(axes)] * flips
        header = (nib.Nifti1Header if kind is nib.Nifti1Image else nib.Nifti2Header)(endianness=endianness)
        image = kind(VOXELS.astype(f"{endianness}i2"), affine, header)
        image.set_sform(affine if number % 3 else None, 1 if number % 3 else 0)
        image.set_qform(affine if number % 3 != 1 else None, 1 if number % 3 != 1 else 0)
        path.write_bytes(image.to_bytes())
        read = read_image(path)
        assert not read.notes
        np.testing.assert_array_equal(read.array, VOXELS)
        np.testing.assert_allclose(read.affine, nib.load(path).affine, atol=1e-5)
        if kind is nib.Nifti1Image:  # ITK doesn't read NIfTI-2
            np.testing.assert_allclose(read.affine, itk_affine(sitk.ReadImage(str(path))), atol=1e-4)


def test_what_is_written_is_read_without_notes(tmp_path: Path) -> None:
    for affine in (REAL, turned(33), MIRRORED, UNIT):
        write_image(tmp_path / "a.nii.gz", VOXELS, affine)
        image = read_image(tmp_path / "a.nii.gz")
        assert not image.notes
        np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    with pytest.raises(ImageError, match="sheared"):
        write_image(tmp_path / "b.nii.gz", VOXELS, SHEARED)
    assert not (tmp_path / "b.nii.gz").exists()


def test_flat_images_need_no_third_voxel_size(tmp_path: Path) -> None:
    flat = sitk.GetImageFromArray(VOXELS[..., 0])
    flat.SetSpacing((0.5, 0.75))
    sitk.WriteImage(flat, str(tmp_path / "a.nii"))
    image = read_image(tmp_path / "a.nii")
    assert image.array.shape == (9, 8, 1)
    assert image.spacing_mm == pytest.approx((0.5, 0.75, 1.0))
    (tmp_path / "b.nii").write_bytes(patched(pixdim(1, 1.3, 1.3, 0, sform_code=0), VOXELS[..., :1]))
    assert read_image(tmp_path / "b.nii").spacing_mm == pytest.approx((1.3, 1.3, 1.0))


def test_extensions_are_skipped(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, REAL)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 1000))
    for name in ("a.nii", "a.nii.gz"):
        nib.save(image, tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name).array, VOXELS)


def test_gzip_in_members_and_with_padding(tmp_path: Path) -> None:
    """As block-wise compressors write it, an empty last member included; tapes pad with zeros."""
    content = patched(fields())
    path = tmp_path / "a.nii.gz"
    for step in (7, 100, 352, 353, len(content)):
        members = [gzip.compress(content[start : start + step]) for start in range(0, len(content), step)]
        path.write_bytes(b"".join([*members, gzip.compress(b""), bytes(30)]))
        np.testing.assert_array_equal(read_image(path).array, VOXELS)
        path.write_bytes(b"".join(members) + b"\0x")
        with pytest.raises(InputError, match="other bytes follow"):
            read_image(path)
        path.write_bytes(b"".join([*members, gzip.compress(b"x")]))
        with pytest.raises(InputError, match="too long"):
            read_image(path)
        path.write_bytes(b"".join(members)[:-1])
        with pytest.raises(InputError, match="truncated"):
            read_image(path)


def test_a_flipped_bit_of_a_compressed_file_never_changes_a_voxel(tmp_path: Path) -> None:
    """A few change nothing: in gzip's head, or a reference to other bytes that happen to be the same."""
    packed = bytearray(gzip.compress(patched(fields()), mtime=0))
    path = tmp_path / "a.nii.gz"
    refused = 0
    places = range(0, len(packed), 3)
    for place in places:
        packed[place] ^= 1 << place % 8
        path.write_bytes(packed)
        try:
            np.testing.assert_array_equal(read_image(path).array, VOXELS)
        except InputError:
            refused += 1
        packed[place] ^= 1 << place % 8
    assert refused > 0.95 * len(places)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """30 kB that unpack to 30 MB: no more than what the header promises is looked at."""
    bomb = gzip.compress(patched(fields()) + bytes(30_000_000))
    (tmp_path / "a.nii.gz").write_bytes(bomb)
    with pytest.raises(InputError, match="too long: the header promises 720 bytes"):
        read_image(tmp_path / "a.nii.gz")
    promise = patched(fields(dim=[3, 400, 400, 400, 1, 1, 1, 1]))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(promise))
    with pytest.raises(InputError, match="can't hold more than"):
        read_image(tmp_path / "b.nii.gz")


def test_a_limit_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(patched(fields()))
    monkeypatch.setenv("UNPAIRED_MAX_IMAGE_GB", "0.0000005")
    with pytest.raises(InputError, match=r"promises 0\.00 GB of voxels.*set UNPAIRED_MAX_IMAGE_GB"):
        read_image(path)
    monkeypatch.setenv("UNPAIRED_MAX_IMAGE_GB", "1")
    assert read_image(path).array.size == VOXELS.size
    for nonsense in ("", "lots", "-1", "nan"):
        monkeypatch.setenv("UNPAIRED_MAX_IMAGE_GB", nonsense)
        with pytest.raises(InputError, match="expected a number of gigabytes above 0"):
            read_image(path)


def test_a_stream_of_zlib_is_not_a_gzip_file(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(zlib.compress(patched(fields())))
    with pytest.raises(InputError, match="not a NIfTI file"):
        read_image(tmp_path / "a.nii.gz")
