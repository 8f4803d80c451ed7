"""Files appear whole or not at all, and what stands in the way is said in one line."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import temporary_of_a_dead_process
from unpaired.errors import InputError, UnwritableError
from unpaired.export.folder import new_folder
from unpaired.files import (
    atomic,
    clear_leftovers,
    input_error_if_unwritable,
    is_written,
    read_json,
    remove,
    require_replaceable,
    require_writable,
    temporary_beside,
    temporary_folder,
    together,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_text_and_bytes_are_written_into_new_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/text.txt", "µm\n")
    write_bytes(tmp_path / "a/b/bytes", b"\x00\xff")
    assert (tmp_path / "a/b/text.txt").read_bytes() == "µm\n".encode()
    assert (tmp_path / "a/b/bytes").read_bytes() == b"\x00\xff"
    assert names(tmp_path / "a/b") == ["bytes", "text.txt"]


def test_a_document_is_written_as_a_person_reads_it_and_comes_back(tmp_path: Path) -> None:
    document = {"Größe": [1, 2.5, None], "é": {}}
    write_json(tmp_path / "a/tall.json", document)
    write_json(tmp_path / "a/flat.json", document, compact=True)
    assert (tmp_path / "a/tall.json").read_text(encoding="utf-8").startswith('{\n "Größe": [\n  1,\n')
    assert (tmp_path / "a/flat.json").read_text(encoding="utf-8") == '{"Größe": [1, 2.5, null], "é": {}}\n'
    assert read_json(tmp_path / "a/tall.json", "") == read_json(tmp_path / "a/flat.json", "") == document
    assert names(tmp_path / "a") == ["flat.json", "tall.json"]


def test_what_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    """A file's name that is no UTF-8 reaches Python as half a character."""
    name = b"scan\xff.nii.gz".decode("utf-8", "surrogateescape")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match=r"can't write .*list\.json: .*scan\\udcff\.nii\.gz.*; rename the file"):
        write_json(tmp_path / "list.json", {"image": name})
    assert (tmp_path / "list.json").read_text() == "[]"
    assert names(tmp_path) == ["list.json"]


def test_the_temporary_file_lies_beside_with_the_same_suffixes(tmp_path: Path) -> None:
    with atomic(tmp_path / "scan.nii.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("scan.nii.gz")
        temporary.write_bytes(b"x")
        assert not (tmp_path / "scan.nii.gz").exists()
    assert names(tmp_path) == ["scan.nii.gz"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_stops_the_block_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "weights"
    path.write_text("old")

    def stopped() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half of the ne")
            raise error

    with pytest.raises(error):
        stopped()
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["weights"]


def full_disk(path: Path, content: bytes) -> int:
    with path.open("wb") as file:
        file.write(content[:1])
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("write", [lambda path: write_text(path, "new"), lambda path: write_bytes(path, b"new")])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(InputError) as caught:
        write(path)
    assert str(caught.value) == (
        f"can't write {path}: No space left on device; free some space or choose another folder"
    )
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["scores.csv"]


def test_a_full_disk_that_a_library_tells_in_its_own_words(tmp_path: Path) -> None:
    """As pydicom does: an error of the same type without the system's number, whose text is a traceback."""
    said = OSError("With tag (7FE0,0010) got exception\nTraceback (most recent call last):\n")
    with pytest.raises(InputError) as caught, atomic(tmp_path / "a.dcm"):
        raise said from OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == (
        f"can't write {tmp_path / 'a.dcm'}: No space left on device; free some space or choose another folder"
    )
    with pytest.raises(InputError, match=r"whole \(7 items\), as on a full disk"), atomic(tmp_path / "a.npy"):
        raise OSError("7\nitems")


def test_places_that_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        InputError, match=r"can't write .*(File exists|Not a directory); .*/file is a file where a folder"
    ):
        write_text(tmp_path / "file" / "a.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"can't write .*folder: Is a directory"):
        write_text(tmp_path / "folder", "x")
    assert names(tmp_path) == ["file", "folder"]

    def read_only(self: Path, content: bytes) -> int:  # simulated: root may write where permissions say no
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", read_only)
    with pytest.raises(InputError, match=r"can't write .*new/a\.txt: Permission denied; get leave to write there or"):
        write_text(tmp_path / "new" / "a.txt", "x")


def test_what_may_not_be_removed_is_no_failure_of_one_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(UnwritableError, match=r"can't write .*old: Permission denied"):
        remove(tmp_path / "old")
    with pytest.raises(UnwritableError, match=r"can't write .*old: Permission denied"), together():
        remove(tmp_path / "old")


def test_a_folder_or_file_that_is_still_being_made_is_named_as_a_person_knows_it(tmp_path: Path) -> None:
    half = temporary_beside(tmp_path / "run") / "dataset.json"
    with pytest.raises(UnwritableError, match=rf"can't write {tmp_path}/run/dataset\.json: No space"):  # noqa: SIM117
        with input_error_if_unwritable(half):
            raise OSError(28, "No space left on device")


def test_whether_a_file_can_be_written_is_known_before_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "loop").symlink_to("loop")
    for free in ("file", "a.txt", "new/folder/a.txt", "loop"):  # nothing has been made by asking
        require_writable(tmp_path / free)
    assert names(tmp_path) == ["file", "loop"]
    for taken in ("file/a.txt", "file/new/a.txt"):
        with pytest.raises(UnwritableError, match=rf"can't write .*/{taken}: Not a directory; .*/file is a file where"):
            require_writable(tmp_path / taken)
    monkeypatch.setattr(os, "access", lambda place, mode: not (Path(place) == tmp_path and mode == os.W_OK | os.X_OK))
    for closed in ("a.txt", "new/folder/a.txt"):
        with pytest.raises(UnwritableError, match=rf"can't write .*/{closed}: Permission denied; get leave"):
            require_writable(tmp_path / closed)


def test_what_is_written_and_removed_together_is_known_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with together():
        write_text(tmp_path / "new", "new")
        remove(tmp_path / "old")
        assert (is_written(tmp_path / "new"), is_written(tmp_path / "old")) == (True, False)
        assert names(tmp_path)[-1] == "old"
    assert (is_written(tmp_path / "new"), is_written(tmp_path / "old")) == (True, False)
    assert names(tmp_path) == ["new"]


def test_only_what_the_system_says_becomes_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug") as caught, input_error_if_unwritable(tmp_path):
        raise ValueError("a bug")
    assert not isinstance(caught.value, InputError)
    with pytest.raises(InputError, match="strange"), input_error_if_unwritable(tmp_path):
        raise OSError("strange")  # without a number or a text of the system's


def test_only_leftovers_of_the_dead_are_cleared(tmp_path: Path) -> None:
    dead = tmp_path / temporary_of_a_dead_process(tmp_path / "scores.csv")
    folder = tmp_path / temporary_of_a_dead_process(tmp_path / "case1")
    folder.mkdir()
    (folder / "volume.npy").write_bytes(b"half")
    mine = temporary_beside(tmp_path / "weights")
    other_machine = tmp_path / ".tmp-00000000-1-scores.csv"
    for path in (dead, mine, other_machine, tmp_path / ".tmp-of-the-user"):
        path.write_text("half")
    clear_leftovers(tmp_path)
    assert names(tmp_path) == sorted([mine.name, other_machine.name, ".tmp-of-the-user"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "expected JSON, but"),
        ("[" * 51 + "]" * 51, "at most 50 levels"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "at most 50 levels"),
        ("9" * 5000, r"at most 64 bits, got 999999999999\.\.\. of 5000 digits"),
        ('{"a": [-1' + "0" * 400 + "]}", "of 401 digits"),
        ("18446744073709551617", "at most 64 bits"),
        ("[NaN]", "expected finite numbers, got NaN"),
        ('{"a": -Infinity}', "expected finite numbers, got -Infinity"),
        ("1e999", "expected finite numbers, got 1e999"),
        ('[{"a": 1, "b": 2, "a": 3}]', "expected each field once in an object, got 'a' twice"),
        (r'{"a": "\ud800"}', r"expected text, got \\ud800, which is half of a character"),
        (r'{"\udc00": 1}', r"expected text, got \\udc00"),
    ],
    ids=[
        "broken",
        "51 levels",
        "endless levels",
        "endless",
        "larger than a float",
        "65 bits",
        "no number",
        "infinite",
        "rounded to infinity",
        "twice",
        "half a pair",
        "half a pair as a name",
    ],
)
def test_json_that_nobody_can_use_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"file\.json: .*{words}.*; write it again") as caught:
        read_json(tmp_path / "file.json", "write it again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50 + "]" * 50,
        "18446744073709551616",
        "-3",
        "3",
        '"a"',
        "[1.5, null, true]",
        r'["\ud83d\ude00"]',
        r'["\\ud800"]',
    ],
)
def test_json_of_usual_depth_and_size_is_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(text, encoding="utf-8")
    assert read_json(tmp_path / "file.json", "") == json.loads(text)


def test_a_byte_order_mark_is_no_part_of_a_document(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(b'\xef\xbb\xbf{"cases": ["\xc3\xa9"]}')
    assert read_json(file, "") == {"cases": ["é"]}
    require_replaceable(file, "manifest", lambda there: "cases" in there)
    with pytest.raises(InputError, match="is there and is no split file"):
        require_replaceable(file, "split file", lambda there: "train" in there)


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(b'"\xff"')
    with pytest.raises(InputError, match="expected JSON"):
        read_json(tmp_path / "file.json", "")


def test_whoever_writes_into_a_folder_clears_what_the_dead_left_there(tmp_path: Path) -> None:
    """So the same command again leaves nothing over, whatever file it was writing when it was killed."""
    for name in ("scores.json", "other.csv"):
        (tmp_path / temporary_of_a_dead_process(tmp_path / name)).write_text("half")
    own = temporary_beside(tmp_path / "of_a_living_process.json")
    own.write_text("half")
    write_text(tmp_path / "scores.json", "{}")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([own.name, "scores.json"])


def test_files_that_tell_of_each_other_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    for name in ("table.csv", "summary.json", "curve.csv"):
        write_text(tmp_path / name, "old")

    def write_all() -> None:
        with together():
            write_text(tmp_path / "table.csv", "new")
            remove(tmp_path / "curve.csv")
            with together():
                write_text(tmp_path / "a" / "figure.svg", "new")
            with atomic(tmp_path / "summary.json") as temporary:
                temporary.write_text("n")
                raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        write_all()
    assert {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {
        "table.csv": "old",
        "summary.json": "old",
        "curve.csv": "old",
    }
    with together():
        write_text(tmp_path / "table.csv", "new")
        remove(tmp_path / "curve.csv")
        write_text(tmp_path / "table.csv", "newer")
        assert (tmp_path / "table.csv").read_text() == "old"
    write_text(tmp_path / "summary.json", "new")
    assert names(tmp_path) == ["a", "summary.json", "table.csv"]
    assert [(tmp_path / name).read_text() for name in ("table.csv", "summary.json")] == ["newer", "new"]


def test_what_a_killed_process_of_this_number_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """In a container each process is number 1, so the next one is taken for the one that was killed, and alive."""
    left = temporary_beside(tmp_path / "run")
    left.mkdir()
    (left / "half.txt").write_text("half")
    clear_leftovers(tmp_path)
    assert left.is_dir()
    made = temporary_folder(tmp_path / "run")
    assert made == left
    assert not any(made.iterdir())
    left = temporary_beside(tmp_path / "exported")
    left.mkdir()
    with new_folder(tmp_path / "exported") as folder:
        (folder / "model").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {made.name, "exported"}
