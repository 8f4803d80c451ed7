"""NRRD: SimpleITK as oracle over types, encodings and places; every contradiction and every damage is refused."""

import gzip
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from test_nifti import itk_affine

from unpaired.data.images import read_image
from unpaired.errors import InputError

SHAPE = (5, 4, 3)
VOXELS = np.arange(60, dtype="<i2").reshape(SHAPE, order="F") * 7 - 100
RAW = VOXELS.tobytes("F")
HEADER = """NRRD0004
# a comment
type: short
dimension: 3
space: left-posterior-superior
sizes: 5 4 3
space directions: (0,1,0) (2,0,0) (0,0,3)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (1,2,3)
key:=value: with a colon

"""
AFFINE = np.array([[0, -2, 0, -1], [-1, 0, 0, -2], [0, 0, 3, 3], [0, 0, 0, 1.0]])


def write(path: Path, *changes: tuple[str, str], data: bytes = RAW) -> Path:
    """HEADER after its changes, each of which must change something, and the voxels."""
    text = HEADER
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_bytes(text.encode() + data)
    return path


def require_oracle(path: Path) -> None:
    """Voxels, their type and their place are those that SimpleITK reads."""
    theirs = sitk.ReadImage(str(path))
    image = read_image(path)
    expected = sitk.GetArrayFromImage(theirs).T
    np.testing.assert_array_equal(image.array, expected)
    assert image.array.dtype == (np.float32 if expected.dtype.kind == "f" else expected.dtype)
    np.testing.assert_allclose(image.affine, itk_affine(theirs), atol=1e-9)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
def test_what_itk_writes(tmp_path: Path, suffix: str, compressed: bool, dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 100, SHAPE[::-1]).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    angle = 0.3
    image.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1))
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image, str(path), compressed)
    require_oracle(path)
    assert not read_image(path).notes


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_all_48_orders_of_axes(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(SHAPE))
    image.SetSpacing((0.5, 0.75, 3.0))
    path = tmp_path / f"a{suffix}"
    for axes, flips in product(permutations(range(3)), product([1.0, -1.0], repeat=3)):
        image.SetDirection((np.eye(3)[:, list(axes)] * flips).ravel())
        sitk.WriteImage(image, str(path))
        require_oracle(path)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ((), RAW),
        ((("\n", "\r\n"),), RAW),
        ((("little", "big"),), VOXELS.astype(">i2").tobytes("F")),
        ((("short", "signed short int"), ("sizes", "Sizes")), RAW),
        ((("raw", "gz"),), gzip.compress(RAW)),
        ((("raw", "gzip\nbyte skip: 4"),), gzip.compress(b"skip" + RAW)),
        ((("raw", "gzip\nline skip: 2"),), b"two\nlines\n" + gzip.compress(RAW)),
        ((("raw", "raw\nbyteskip: 4"),), b"skip" + RAW),
        ((("raw", "raw\nbyte skip: -1"),), b"whatever" + RAW),
        ((("raw", "raw\nline skip: 1"),), b"a line\n" + RAW),
        ((("raw", "hex"),), RAW.hex("\n").encode()),
        ((("raw", "ascii"), ("endian: little\n", "")), " ".join(map(str, VOXELS.ravel("F"))).encode()),
        ((("left-posterior-superior", "right-anterior-superior"),), RAW),
        ((("left-posterior-superior", "LAS"),), RAW),
        ((("kinds", 'space units: "mm" "mm" "mm"\nkinds'),), RAW),
        ((("kinds", "thicknesses: 9 9 9\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\nkinds"),), RAW),
        ((("kinds: domain domain domain", "kinds: space space space"),), RAW),
        ((("kinds: domain domain domain\n", ""),), RAW),
        ((("kinds", "centerings: cell node ???\nkinds"),), RAW),
        ((("kinds", "measurement frame: (0,1,0) (1,0,0) (0,0,-1)\nkinds"),), RAW),
        ((("kinds", "old key:=1\n# a comment\nRescaleSlope:=2\nkinds"),), RAW),
        ((("(0,0,3)", "(0, 0, 3)"),), RAW),
    ],
)
def test_what_others_write(tmp_path: Path, changes: tuple[tuple[str, str], ...], data: bytes) -> None:
    path = write(tmp_path / "a.nrrd", *changes, data=data)
    require_oracle(path)
    assert not read_image(path).notes


def test_the_place_by_hand(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.nrrd")).affine, AFFINE)


@pytest.mark.parametrize(
    ("changes", "affine", "words"),
    [
        ((("kinds", 'space units: "um" "um" "um"\nkinds'),), np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE, "counts in um"),
        ((("kinds", "old min: 0\nold max: 900\nkinds"),), AFFINE, "values were quantized"),
        *(
            (
                (
                    ("dimension: 3", "dimension: 4"),
                    ("space: left-posterior-superior", f"space: {space}"),
                    ("sizes: 5 4 3", "sizes: 5 4 3 1"),
                    ("(0,1,0) (2,0,0) (0,0,3)", "(0,1,0,0) (2,0,0,0) (0,0,3,0) (0,0,0,1)"),
                    ("(1,2,3)", "(1,2,3,0)"),
                    ("kinds: ", "kinds: domain "),
                    ("kinds", 'space units: "mm" "mm" "mm" "s"\nkinds'),
                ),
                AFFINE,
                "",
            )
            for space in ("left-posterior-superior-time", "LPST")
        ),
        ((("space origin: (1,2,3)\n", ""),), AFFINE * (1, 1, 1, 0) + np.diag([0, 0, 0, 1]), "no origin"),
        (
            (
                ("dimension: 3", "dimension: 4"),
                ("sizes: 5 4 3", "sizes: 1 5 4 3"),
                ("directions: ", "directions: none "),
                ("kinds: ", "kinds: list "),
            ),
            AFFINE,
            "",
        ),
    ],
)
def test_what_is_resolved(tmp_path: Path, changes: tuple[tuple[str, str], ...], affine: np.ndarray, words: str) -> None:
    image = read_image(write(tmp_path / "a.nrrd", *changes))
    np.testing.assert_allclose(image.affine, affine)
    np.testing.assert_array_equal(image.array, VOXELS)
    assert (words in " ".join(image.notes)) if words else not image.notes


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("NRRD0004", "NRRD0009", "expected NRRD0001 to NRRD0005"),
        ("type: short", "type: block", "got type 'block'"),
        ("type: short\n", "", "header without 'type'"),
        ("type: short", "type: float", "truncated: the header promises 240 bytes of voxels, the file has 120"),
        ("type: short", "type: uchar", "too long: the header promises 60 bytes of voxels, the file has 120"),
        ("sizes: 5 4 3", "sizes: 12.5 4 3", "expected 3 whole numbers as sizes, got '12.5 4 3'"),
        ("sizes: 5 4 3", "sizes: 5 4", "expected 3 whole numbers as sizes"),
        ("sizes: 5 4 3", f"sizes: {'9' * 5000} 4 3", "expected 3 whole numbers as sizes"),
        ("sizes: 5 4 3", "sizes: 0 4 3", "no voxels"),
        ("sizes: 5 4 3", "sizes: -5 -4 3", "no voxels"),
        ("sizes: 5 4 3", "sizes: 5 4 2", "too long"),
        ("sizes: 5 4 3", "sizes: 2000000 2000 600", "promises 4800.00 GB of voxels"),
        ("sizes: 5 4 3", "sizes: 5 4 3\nsizes: 5 4 3", "the header has 'sizes' twice"),
        ("dimension: 3", "dimension: 0", "expected 1 to 16 dimensions"),
        ("dimension: 3", "dimension: x", "expected 1 whole number as dimension"),
        ("space: left-posterior-superior\n", "", "no space: nothing says where the patient's left is"),
        ("space: left-posterior-superior", "space: scanner-xyz", "space 'scanner-xyz': nothing says"),
        ("space: left-posterior-superior", "space dimension: 3", "a space of 3 unnamed axes"),
        ("space: left-posterior-superior", "space dimension: 2", "directions, kinds and space don't fit"),
        ("(0,0,3)", "(0,0,0)", "expected an invertible affine"),
        ("(0,0,3)", "(0,0,nan)", "expected 3 numbers as a direction"),
        ("(0,0,3)", "(0,0,1e300)", "invertible affine"),
        ("(0,0,3)", "(0,0,500)", "expected voxel sizes of 0.0001 to 100 mm"),
        ("(0,0,3)", "(0,1,3)", "sheared by"),
        ("(0,0,3)", "(0,3)", "expected 3 numbers as a direction"),
        ("(0,0,3)", "none", "directions, kinds and space don't fit"),
        ("(0,0,3)", "(0,0,3", "expected a direction in space for each of 3 axes"),
        ("(1,2,3)", "(1e300,0,0)", "beyond 100000 mm"),
        ("(1,2,3)", "(inf,0,0)", "expected 3 numbers as a direction or origin"),
        ("kinds: domain domain domain", "kinds: domain domain vector", "axis 2 has a direction in space"),
        ("kinds: domain domain domain", "kinds: domain domain", "directions, kinds and space don't fit"),
        ("kinds", "spacings: 1 2 3\nkinds", "spacings and space directions, which exclude each other"),
        ("kinds", 'space units: "mm" "mm" "s"\nkinds', "expected one unit of length for all axes"),
        ("kinds", 'space units: "mm" "mm" "um"\nkinds', "expected one unit of length for all axes"),
        ("kinds", "space units: m m m\nkinds", "expected 3 quoted units as space units, got 'm m m'"),
        ("kinds", 'space units: "m" "m"\nkinds', "expected 3 quoted units as space units"),
        ("kinds", 'space units: "mm" "mm" cm\nkinds', "expected 3 quoted units as space units"),
        ("left-posterior-superior", "scanner-xyz-time", "space 'scanner-xyz-time': nothing says"),
        ("endian: little\n", "", "header without 'endian'"),
        ("endian: little", "endian: middle", "expected endian little or big"),
        ("encoding: raw", "encoding: bzip2", "encoding 'bzip2' isn't read"),
        ("encoding: raw", "encoding: gzip", "damaged compressed data"),
        ("encoding: raw", "encoding: hex", "expected hexadecimal digits"),
        ("encoding: raw", "encoding: ascii", "the header promises 60 numbers"),
        ("encoding: raw", "encoding: raw\nbyte skip: 4", "truncated"),
        ("encoding: raw", "encoding: raw\nbyte skip: -7", "can't skip 0 lines and -7 bytes"),
        ("encoding: raw", "encoding: raw\nline skip: 900000000000", "fewer than the 900000000000 lines to skip"),
        ("encoding: raw", "encoding: raw\ndata file: a.raw", "has voxels of its own, and names a data file"),
        ("kinds", "nonsense\nkinds", "unreadable NRRD header line 'nonsense'"),
        ("kinds", "blubb: 5\nkinds", "unreadable NRRD header line 'blubb: 5'"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(InputError, match=r"a\.nrrd: ") as caught:
        read_image(write(tmp_path / "a.nrrd", (old, new)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flat_images(tmp_path: Path) -> None:
    flat = sitk.GetImageFromArray(np.arange(12, dtype=np.int16).reshape(3, 4))
    flat.SetSpacing((0.5, 0.75))
    for suffix in (".nrrd", ".mha"):
        sitk.WriteImage(flat, str(tmp_path / f"a{suffix}"))
        image = read_image(tmp_path / f"a{suffix}")
        assert image.array.shape == (4, 3, 1)
        assert image.spacing_mm == (0.5, 0.75, 1.0)
        assert image.notes == ("2D without a place in the body: read as an axial slice of 1 mm, as ITK does",)


def test_a_single_volume_of_four_axes(tmp_path: Path) -> None:
    """As ITK writes it, without a name for the space of its axes."""
    volume = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(SHAPE))
    volume.SetSpacing((0.5, 0.75, 3.0))
    for suffix in (".nrrd", ".mha"):
        sitk.WriteImage(sitk.JoinSeries([volume]), str(tmp_path / f"a{suffix}"))
        image = read_image(tmp_path / f"a{suffix}")
        assert image.array.shape == SHAPE[::-1]
        np.testing.assert_allclose(image.affine, itk_affine(volume))
        sitk.WriteImage(sitk.JoinSeries([volume, volume]), str(tmp_path / f"b{suffix}"))
        with pytest.raises(InputError, match="expected a 3D image, got 4D"):
            read_image(tmp_path / f"b{suffix}")


def test_colors_and_complex_numbers(tmp_path: Path) -> None:
    rgb = sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True)
    for suffix in (".nrrd", ".mha"):
        sitk.WriteImage(rgb, str(tmp_path / f"a{suffix}"))
        with pytest.raises(InputError, match="expected one number per voxel"):
            read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_flipped_bit_of_compressed_voxels_is_noticed(tmp_path: Path, suffix: str) -> None:
    """SimpleITK reads 8 of 60 such NRRDs as other voxels, and every such MetaImage as what was in memory before."""
    array = np.random.default_rng(0).integers(0, 9, SHAPE).astype(np.int16)
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), True)
    content = bytearray(path.read_bytes())
    start = content.index(b"\x1f\x8b") + 10 if suffix == ".nrrd" else content.index(b"LOCAL\n") + 8
    refused = 0
    for place in range(start, len(content)):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            np.testing.assert_array_equal(read_image(path).array.T, array)
        except InputError:
            refused += 1
        content[place] ^= 1 << place % 8
    assert refused > 0.9 * (len(content) - start)
    for cut in (content[:-1], content[: start + 9], content[:start], content + b"x"):
        path.write_bytes(cut)
        with pytest.raises(InputError, match=f"a{suffix}"):
            read_image(path)
