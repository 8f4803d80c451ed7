"""MetaImage: SimpleITK as oracle (types and places also in `test_nrrd`); contradictions and damage are refused."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
from test_nrrd import RAW, VOXELS, require_oracle

from unpaired.data.images import read_image
from unpaired.errors import InputError

HEADER = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 0 1 0 0 0 1 1 0 0
Offset = 1 2 3
CenterOfRotation = 0 0 0
ElementSpacing = 0.5 2 3
DimSize = 5 4 3
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
PACKED = zlib.compress(RAW)


def write(path: Path, *changes: tuple[str, str], data: bytes = RAW) -> Path:
    """HEADER after its changes, each of which must change something, and the voxels."""
    text = HEADER
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_bytes(text.encode() + data)
    return path


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ((), RAW),
        ((("\n", "\r\n"),), RAW),
        (((" = ", ": "),), RAW),
        ((("MSB = False", "MSB = True"),), VOXELS.astype(">i2").tobytes("F")),
        ((("BinaryDataByteOrderMSB = False", "ElementByteOrderMSB = 1"),), VOXELS.astype(">i2").tobytes("F")),
        ((("BinaryDataByteOrderMSB = False\n", ""),), RAW),
        ((("Offset", "Position"),), RAW),
        ((("Offset = 1 2 3", "Offset = 1 2 3\nPosition = 1.0 2 3e0\nOrigin = 1 2 3"),), RAW),
        ((("Offset", "ElementToIntensityFunctionSlope = 1\nElementToIntensityFunctionOffset = 0\nOffset"),), RAW),
        ((("Offset", "Origin"), ("TransformMatrix", "Orientation")), RAW),
        ((("TransformMatrix", "Rotation"),), RAW),
        ((("ElementSpacing", "ElementSize"),), RAW),
        ((("Offset", "AnatomicalOrientation = PSL\nOffset"),), RAW),
        ((("Offset", "AnatomicalOrientation = AIR\nOffset"),), RAW),
        ((("Offset", "AnatomicalOrientation = ???\nOffset"),), RAW),
        ((("MET_SHORT", "MET_LONG"),), VOXELS.astype("<i4").tobytes("F")),
        ((("CompressedData = False", f"CompressedData = True\nCompressedDataSize = {len(PACKED)}"),), PACKED),
        ((("ObjectType", "Comment = anything\nObjectSubType =\ndim[0] = 3\n0008|0005 = ISO: x\nObjectType"),), RAW),
    ],
)
def test_what_others_write(tmp_path: Path, changes: tuple[tuple[str, str], ...], data: bytes) -> None:
    path = write(tmp_path / "a.mha", *changes, data=data)
    require_oracle(path)
    assert not read_image(path).notes


def test_compressed_voxels_need_not_say_how_many_bytes_they_are(tmp_path: Path) -> None:
    """SimpleITK reads what was in memory before."""
    for data in (PACKED, gzip.compress(RAW)):
        path = write(tmp_path / "a.mha", ("CompressedData = False", "CompressedData = True"), data=data)
        np.testing.assert_array_equal(read_image(path).array, VOXELS)


def test_text(tmp_path: Path) -> None:
    """What SimpleITK takes for the name of a file."""
    change = ("BinaryData = True", "BinaryData = False")
    numbers = " ".join(map(str, VOXELS.ravel("F")))
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.mha", change, data=numbers.encode())).array, VOXELS)
    for text in (numbers + " 5", numbers[:-4], numbers.replace("313", "x"), numbers.replace("313", "1e9"), "9" * 500):
        with pytest.raises(InputError, match="numbers"):
            read_image(write(tmp_path / "a.mha", change, data=text.encode()))


def test_the_place_by_hand(tmp_path: Path) -> None:
    """A row of TransformMatrix is where an axis of the array points, toward left, posterior, superior."""
    expected = [[0, 0, -3, -1], [-0.5, 0, 0, -2], [0, 2, 0, 3], [0, 0, 0, 1]]
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.mha")).affine, expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("TransformMatrix = 0 1 0 0 0 1 1 0 0\n", ""), "no TransformMatrix: read as axes toward left"),
        (("Offset = 1 2 3\n", ""), "no Offset: read as 0, 0, 0"),
        (("CenterOfRotation = 0 0 0", "CenterOfRotation = 5 5 5"), "CenterOfRotation [5.0, 5.0, 5.0] is left out"),
        (("Offset", "ElementToIntensityFunctionSlope = 2\nOffset"), "FunctionSlope 2 is left out: values are read as"),
        (("Offset", "ElementToIntensityFunctionOffset = -1024\nOffset"), "FunctionOffset -1024 is left out"),
        (("Offset", "AnatomicalOrientation = PSR\nOffset"), "is PSR, TransformMatrix says PSL; read by Transf"),
        (("Offset", "AnatomicalOrientation = LPS\nOffset"), "is LPS, TransformMatrix says PSL; read by Transf"),
        (("Element", "ElementSize = 1 1 1\nElement"), "ElementSize 1 x 1 x 1 mm; read by ElementSpacing"),
    ],
)
def test_what_itk_decides_is_noted(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    old, new = change
    path = write(tmp_path / "a.mha", (old, new) if old != "Element" else ("ElementSpacing", f"{new}Spacing"))
    require_oracle(path)
    assert words in " ".join(read_image(path).notes)


def test_units(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mha", ("ElementSpacing", "DistanceUnits = um\nElementSpacing"))
    assert read_image(path).spacing_mm == pytest.approx((0.0005, 0.002, 0.003))
    assert "the header counts in um" in read_image(path).notes[0]
    assert not read_image(write(path, ("ElementSpacing", "DistanceUnits = mm\nElementSpacing"))).notes


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("NDims = 3", "NDims = -1", "expected NDims of 1 to 10, got -1"),
        ("NDims = 3", "NDims = 2", "expected 2 whole numbers as DimSize"),
        ("NDims = 3", "NDims = 3000000000", "expected NDims of 1 to 10"),
        ("NDims = 3\n", "", "header without NDims"),
        ("DimSize = 5 4 3", "DimSize = 5 4 2", "too long: the header promises 80 bytes of voxels, the file has 120"),
        ("DimSize = 5 4 3", "DimSize = 5 4 4", "truncated: the header promises 160 bytes of voxels, the file has 120"),
        ("DimSize = 5 4 3", "DimSize = 5 0 3", "no voxels"),
        ("DimSize = 5 4 3", "DimSize = -5 -4 3", "no voxels"),
        ("DimSize = 5 4 3", "DimSize = 2000000 2000 600", "promises 4800.00 GB of voxels"),
        ("DimSize = 5 4 3", "DimSize = 5 4 3\nDimSize = 3 4 5", "the header gives DimSize twice"),
        ("MET_SHORT", "MET_STRING", "expected one number per voxel"),
        ("ElementType", "ElementNumberOfChannels = 2\nElementType", "got 2 of MET_SHORT"),
        ("BinaryData = True", "BinaryData = perhaps", "expected True or False as BinaryData"),
        ("CompressedData = False", "CompressedData = True", "damaged compressed data"),
        ("CompressedData = False", "CompressedData = True\nCompressedDataSize = 5", "promises 5 compressed bytes"),
        ("0 1 0 0 0 1 1 0 0", "0 2 0 0 0 1 1 0 0", "expected directions of length 1"),
        ("0 1 0 0 0 1 1 0 0", "0 0 0 0 0 0 0 0 0", "expected directions of length 1"),
        ("0 1 0 0 0 1 1 0 0", "0 1 0 0 1 0 1 0 0", "expected an invertible affine"),
        ("0 1 0 0 0 1 1 0 0", "0 1 0 0 0.6 0.8 1 0 0", "sheared by"),
        ("0 1 0 0 0 1 1 0 0", "0 1 0", "expected 9 numbers as TransformMatrix"),
        ("ElementSpacing = 0.5 2 3", "ElementSpacing = 0.5 -2 3", "expected sizes above 0 as ElementSpacing"),
        ("ElementSpacing = 0.5 2 3", "ElementSpacing = 0.5 0 3", "expected sizes above 0 as ElementSpacing"),
        ("ElementSpacing = 0.5 2 3", "ElementSpacing = 0.5 2 nan", "expected 3 numbers as ElementSpacing"),
        ("ElementSpacing = 0.5 2 3", "ElementSpacing = 0.5 2 1e30", "expected voxel sizes of"),
        ("ElementSpacing = 0.5 2 3\n", "", "no ElementSpacing in the header"),
        ("ElementSpacing = 0.5 2 3", "ElementSize = 0.5 -2 3", "expected sizes above 0 as ElementSize"),
        ("ElementSpacing", "DistanceUnits = furlong\nElementSpacing", "expected one unit of length"),
        ("Offset = 1 2 3", "Offset = nan 0 0", "expected 3 numbers as Offset"),
        ("Offset = 1 2 3", "Offset = 1e300 0 0", "beyond 100000 mm"),
        ("Offset = 1 2 3", "Offset = 1 2 3\nPosition = 3 2 1", "the header gives Offset twice"),
        ("ElementDataFile", "HeaderSize = 4\nElementDataFile", "HeaderSize has no meaning"),
        ("ElementDataFile = LOCAL", "Comment = x", "unreadable"),
        ("NDims = 3", "NDims 3", "unreadable MetaImage header line 'NDims 3'"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(InputError, match=r"a\.mha: ") as caught:
        read_image(write(tmp_path / "a.mha", (old, new)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
