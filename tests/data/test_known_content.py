"""A file is hashed once, and again whenever it may have changed."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from unpaired.data import known_content as module
from unpaired.data.content import content_hash
from unpaired.data.known_content import hashed, read_hashes, remember_hashes
from unpaired.errors import InputError


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been written long ago."""
    monkeypatch.setattr(module, "RECENT_NS", -(10**12))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(b"first")
    return path


def test_a_known_file_is_not_read_again(file: Path, at_rest: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hashed(file)
    assert first.sha256 == content_hash(file)
    monkeypatch.setattr(module, "content_hash", lambda path: pytest.fail("read again"))
    assert hashed(file, first) == first
    assert first.is_current(file)


@pytest.mark.skipif(sys.platform == "win32", reason="a file has no time of its directory entry there")
def test_a_replaced_file_is_noticed_even_with_the_size_and_time_of_the_old(file: Path, at_rest: None) -> None:
    first = hashed(file)
    status = file.stat()
    other = file.with_name("other")
    other.write_bytes(b"OTHER")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert not first.is_current(file)
    assert hashed(file, first).sha256 == content_hash(file) != first.sha256


def test_a_detached_data_file_counts(tmp_path: Path, at_rest: None) -> None:
    header = tmp_path / "scan.mhd"
    header.write_text("ObjectType = Image\nElementDataFile = scan.raw\n")
    (tmp_path / "scan.raw").write_bytes(b"voxels")
    first = hashed(header)
    (tmp_path / "scan.raw").write_bytes(b"others")
    assert hashed(header, first).sha256 != first.sha256


def test_what_changed_just_now_is_hashed_again(file: Path, tmp_path: Path) -> None:
    first = hashed(file)
    assert not first.lasting
    remember_hashes(tmp_path / "hashes.json", {}, [first])
    assert read_hashes(tmp_path / "hashes.json") == {}


def test_hashes_are_remembered(file: Path, tmp_path: Path, at_rest: None) -> None:
    store = tmp_path / "hashes.json"
    assert read_hashes(store) == {}
    first = hashed(file)
    remember_hashes(store, {}, [first])
    copy = Path(shutil.copy(file, tmp_path / "copy.nii.gz"))
    remember_hashes(store, read_hashes(store), [hashed(copy)])
    assert set(read_hashes(store)) == {str(file.resolve()), str(copy.resolve())}
    assert read_hashes(store)[str(file.resolve())] == first


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": [[["x", "y"]], "z"]}', "[" * 100])
def test_a_damaged_store_costs_nothing_but_time(tmp_path: Path, text: str) -> None:
    (tmp_path / "hashes.json").write_text(text)
    assert read_hashes(tmp_path / "hashes.json") == {}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a file, found none at .*gone\.nii"):
        hashed(tmp_path / "gone.nii")
