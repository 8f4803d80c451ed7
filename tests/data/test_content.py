"""The hash of an image: of all it holds, with detached data, and of nothing else."""

from pathlib import Path

import pytest

from unpaired.data.content import content_hash, image_parts
from unpaired.errors import InputError


def write(folder: Path, **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def test_content_counts_and_name_place_and_time_do_not(tmp_path: Path) -> None:
    write(tmp_path / "a", scan_nii=b"one")
    write(tmp_path / "b", other_nii=b"one", scan_nii=b"two")
    same = content_hash(tmp_path / "a" / "scan.nii")
    assert same == content_hash(tmp_path / "b" / "other.nii")
    assert same != content_hash(tmp_path / "b" / "scan.nii")
    with pytest.raises(InputError, match="expected an image, found none"):
        content_hash(tmp_path / "gone.nii")


@pytest.mark.parametrize(
    ("name", "header", "data"),
    [
        ("a.mhd", b"ObjectType = Image\nElementDataFile = a.raw\n", ["a.raw"]),
        ("a.mhd", b"ElementDataFile = LIST\nb.raw\nc.raw\n", ["b.raw", "c.raw"]),
        ("a.mhd", b"ElementDataFile = s%02d.raw 1 2 1\n", ["s01.raw", "s02.raw"]),
        ("a.nrrd", b"NRRD0004\ntype: short\ndata file: a.raw\n\n", ["a.raw"]),
        ("a.nhdr", b"NRRD0004\ndatafile: a.raw\n", ["a.raw"]),
        ("a.mhd", b"ElementDataFile = ./s%di.raw 1 2 1\n", []),
        ("a.mhd", b"ElementDataFile = LIST\nb.raw\nb.raw\n", ["b.raw"]),
        ("a.mha", b"ElementDataFile = LOCAL\nElementDataFile = a.raw", []),
        ("a.nrrd", b"NRRD0004\nencoding: raw\n\nvoxels", []),
        ("a.nii", b"ElementDataFile = a.raw", []),
    ],
)
def test_data_that_a_header_names_counts_too(tmp_path: Path, name: str, header: bytes, data: list[str]) -> None:
    (tmp_path / name).write_bytes(header)
    for each in ("a.raw", "b.raw", "c.raw", "s01.raw", "s02.raw"):
        (tmp_path / each).write_bytes(b"voxels")
    assert [part.name for part in image_parts(tmp_path / name)] == [name, *data]
    before = content_hash(tmp_path / name)
    for each in ("a.raw", "b.raw", "c.raw", "s01.raw", "s02.raw"):
        (tmp_path / each).write_bytes(b"others")
        assert (content_hash(tmp_path / name) != before) == (each in data)
        (tmp_path / each).write_bytes(b"voxels")


@pytest.mark.parametrize(
    "name",
    ["../a.raw", "{}/a.raw", "{}/%d.raw 1 1 1", "../%d.raw 1 1 1", "**%d.raw 1 1 1", "**/%d.raw 1 1 1", "%", "\0%d"],
)
@pytest.mark.parametrize("text", ["ElementDataFile = {}\n", "ElementDataFile = LIST\n{}\n"])
def test_no_header_names_files_outside_of_its_folder(tmp_path: Path, text: str, name: str) -> None:
    """A name from anywhere is no pattern of folders, and nothing that a reader refuses is looked at."""
    folder = write(tmp_path / "scans", a_mhd=text.format(name.format(tmp_path)).encode())
    for place in (tmp_path, folder / "below"):
        write(place, a_raw=b"voxels")
        (place / "1.raw").write_bytes(b"voxels")
    assert [*image_parts(folder / "a.mhd")] == [folder / "a.mhd"]
    assert content_hash(folder / "a.mhd")


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    write(tmp_path / "series", a_dcm=b"1", b_dcm=b"2")
    before = content_hash(tmp_path / "series")
    write(tmp_path / "series", b_dcm=b"3")
    assert content_hash(tmp_path / "series") != before
