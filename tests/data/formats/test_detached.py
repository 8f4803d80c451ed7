"""Voxels beside their header: one file, lists, patterns; never outside of the header's folder. SimpleITK as oracle."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from test_metaimage import HEADER as META
from test_nrrd import HEADER as NRRD
from test_nrrd import RAW, VOXELS, require_oracle

from unpaired.data.images import read_image
from unpaired.errors import InputError

SLICES = [RAW[start : start + 40] for start in (0, 40, 80)]


def nhdr(folder: Path, data_file: str, encoding: str = "raw") -> Path:
    text = NRRD.replace("encoding: raw", f"encoding: {encoding}").rstrip("\n")
    (folder / "a.nhdr").write_text(f"{text}\ndata file: {data_file}\n")
    return folder / "a.nhdr"


def mhd(folder: Path, data_file: str, more: str = "") -> Path:
    (folder / "a.mhd").write_text(META.replace("ElementDataFile = LOCAL", f"{more}ElementDataFile = {data_file}"))
    return folder / "a.mhd"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Raw voxels whole, in slices, gzipped, with other bytes before them; a folder below."""
    (tmp_path / "sub").mkdir()
    for name in ("a.raw", "sub/a.raw"):
        (tmp_path / name).write_bytes(RAW)
    for number, content in enumerate(SLICES, start=1):
        (tmp_path / f"slice{number:02}.raw").write_bytes(content)
        (tmp_path / f"slice{number:02}.raw.gz").write_bytes(gzip.compress(content))
    (tmp_path / "late.raw").write_bytes(b"late" + RAW)
    return tmp_path


LIST = "LIST\nslice01.raw\nslice02.raw\nslice03.raw"


@pytest.mark.parametrize(
    ("data_file", "encoding"),
    [
        ("a.raw", "raw"),
        ("sub/a.raw", "raw"),
        (LIST, "raw"),
        (LIST.replace("LIST", "LIST 2"), "raw"),
        (LIST.replace("LIST", "LIST 3"), "raw"),
        (LIST.replace(".raw", ".raw.gz"), "gzip"),
        ("slice%02d.raw 1 3 1", "raw"),
        ("slice%02d.raw 1 3 1 2", "raw"),
    ],
)
def test_nrrd(folder: Path, data_file: str, encoding: str) -> None:
    require_oracle(nhdr(folder, data_file, encoding))


@pytest.mark.parametrize(
    ("data_file", "more"),
    [
        ("a.raw", ""),
        ("sub/a.raw", ""),
        (LIST, ""),
        (LIST.replace("LIST", "LIST 2"), ""),
        ("slice%02d.raw 1 3 1", ""),
        ("late.raw", "HeaderSize = 4\n"),
        ("late.raw", "HeaderSize = -1\n"),
    ],
)
def test_metaimage(folder: Path, data_file: str, more: str) -> None:
    require_oracle(mhd(folder, data_file, more))


def test_slices_may_be_compressed_one_by_one(folder: Path) -> None:
    more = "CompressedData = True\n"
    path = mhd(folder, LIST.replace(".raw", ".raw.gz"), more)
    path.write_text(path.read_text().replace("CompressedData = False\n", ""))
    np.testing.assert_array_equal(read_image(path).array, VOXELS)


@pytest.mark.parametrize("header", [nhdr, mhd])
@pytest.mark.parametrize(
    ("data_file", "words"),
    [
        ("absent.raw", "'absent.raw' is missing"),
        ("sub", "'sub' is missing"),
        ("../outside.raw", "lies outside of the header's folder"),
        ("sub/../../outside.raw", "lies outside of the header's folder"),
        ("sub/../a.raw", "lies outside of the header's folder"),
        ("{outside}", "lies outside of the header's folder"),
        ("link.raw", "lies outside of the header's folder"),
        ("linked/outside.raw", "lies outside of the header's folder"),
        ("circle.raw", "data file"),
        ("a" * 5000, "data file"),
        ("late.raw", "too long: the header promises 120 bytes of voxels, the file has 124"),
        ("slice01.raw", "truncated: the header promises 120 bytes of voxels, the file has 40"),
        ("LIST\nslice01.raw\nslice02.raw", "names 2 data files for sizes [5, 4, 3]"),
        (f"{LIST}\na.raw", "names 4 data files"),
        ("LIST\nslice01.raw\nslice02.raw\nabsent.raw", "'absent.raw' is missing"),
        ("LIST\nslice01.raw\nslice02.raw\n../outside.raw", "outside of the header's folder"),
        ("LIST x\nslice01.raw", "expected 1 whole number as axes of a data file"),
        ("LIST 0\nslice01.raw", "names 1 data files"),
        ("slice%02d.raw 1 2 1", "names 2 data files"),
        ("slice%02d.raw 1 999999999999999 1", "data files, its sizes allow 60"),
        ("slice%02d.raw 1 3 0", "expected one number as %03d"),
        ("slice%s.raw 1 3 1", "expected one number as %03d"),
        ("slice%d%d.raw 1 3 1", "expected one number as %03d"),
        ("slice%99d.raw 1 3 1", "expected one number as %03d"),
        ("../slice%02d.raw 1 3 1", "outside of the header's folder"),
    ],
)
def test_what_is_refused(folder: Path, header, data_file: str, words: str) -> None:
    inside = folder / "inside"
    inside.mkdir()
    for path in folder.glob("*.raw"):
        (inside / path.name).write_bytes(path.read_bytes())
    (inside / "sub").mkdir()
    outside = folder / "outside.raw"
    outside.write_bytes(RAW)
    (inside / "link.raw").symlink_to(outside)
    (inside / "linked").symlink_to(folder)
    (inside / "circle.raw").symlink_to(inside / "circle.raw")
    with pytest.raises(InputError, match=r"raw|nhdr|mhd") as caught:
        read_image(header(inside, data_file.replace("{outside}", str(outside))))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.raw").symlink_to("sub/a.raw")
    for header in (nhdr, mhd):
        np.testing.assert_array_equal(read_image(header(folder, "link.raw")).array, VOXELS)
