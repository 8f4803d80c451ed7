"""Headers kept in a file: what didn't change isn't read again, and a damaged index is said, never believed."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthetic_dicom import item, lps, save, volume, write_enhanced, write_series
from unpaired.dicom import tree
from unpaired.dicom.index import Index
from unpaired.dicom.tree import list_dicom
from unpaired.errors import InputError, UnwritableError
from unpaired.failures import attempt

Listing = Callable[[], tuple[Index, list[str]]]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A CT, an enhanced MR with keys of all kinds, an object, a text and a broken file, all changed a minute ago."""
    folder = tmp_path / "study"
    write_series(folder, volume((4, 4, 3)), lps())
    weighting = lambda number: {  # noqa: E731
        "MRDiffusionSequence": item(
            DiffusionBValue=float(number % 2),
            DiffusionGradientDirectionSequence=[item(DiffusionGradientOrientation=[0.0, 0.6, 0.8])],
        )
    }
    write_enhanced(folder / "mr.dcm", volume((4, 4, 4)), lps(), "2", weighting, lambda number: number // 2)
    report = item(Modality="SR", SeriesInstanceUID="1.2.9", StudyInstanceUID="1.2", PatientID="1")
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.9.1"
    save(report, folder / "report.dcm")
    (folder / "notes.txt").write_text("no DICOM")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    settle(folder)
    return folder


@pytest.fixture
def listing(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Listing:
    """Lists the study with an index file beside it; the index, and the names of the files that were read for it."""

    def work() -> tuple[Index, list[str]]:
        names: list[str] = []
        read = tree._read
        with monkeypatch.context() as patch:
            patch.setattr(tree, "_read", lambda path: names.append(path.name) or read(path))
            return list_dicom(study, index=tmp_path / "kept.sqlite"), names

    return work


def settle(folder: Path, seconds: float = 60) -> None:
    for path in folder.iterdir():
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_what_is_kept_is_what_was_read(study: Path, listing: Listing) -> None:
    plain = list_dicom(study)
    assert [series.split_by for series in plain.series] == ["", "b 0", "b 1"]
    first, read = listing()
    assert first == plain
    assert len(read) == 7
    again, read = listing()
    assert again == plain
    assert read == ["broken.dcm"]


def test_what_changed_is_read_and_what_is_gone_is_left_out(study: Path, listing: Listing, tmp_path: Path) -> None:
    listing()
    write_series(study, volume((4, 4, 3)), lps(), first=3)
    (study / "notes.txt").unlink()
    index, read = listing()
    assert sorted(read) == ["1-004.dcm", "1-005.dcm", "1-006.dcm", "broken.dcm"]
    assert index == list_dicom(study)
    write_series(study, volume((4, 4, 3)), lps(), PatientID="0815")  # as long as it was
    assert "1-001.dcm" in listing()[1]
    settle(study)
    listing()
    with sqlite3.connect(tmp_path / "kept.sqlite") as database:
        kept = {Path(os.fsdecode(path)).name for (path,) in database.execute("SELECT path FROM files")}
    database.close()
    assert kept == {path.name for path in study.iterdir()} - {"broken.dcm"}


def test_it_goes_on_where_it_was_stopped(study: Path, listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "CHUNK", 2)
    monkeypatch.setattr("unpaired.dicom.kept.WRITE_SECONDS", 0.0)
    plain, read_header = list_dicom(study), tree.read_header
    left = [3]

    def stopping(path: Path) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return read_header(path)

    with monkeypatch.context() as patch:
        patch.setattr(tree, "read_header", stopping)
        with pytest.raises(KeyboardInterrupt):
            listing()
    index, read = listing()
    assert index == plain
    assert read == ["1-003.dcm", "broken.dcm", "mr.dcm", "notes.txt", "report.dcm"]


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_index_is_refused_and_left_alone(study: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "kept.sqlite"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"kept.sqlite: expected an index of unpaired, got a damaged or another file"):
        list_dicom(study, index=file)
    assert file.read_bytes() == content


def test_another_database_is_refused(study: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "kept.sqlite")
    database.execute("CREATE TABLE patients (name TEXT)")
    database.close()
    with pytest.raises(InputError, match="got another database"):
        list_dicom(study, index=tmp_path / "kept.sqlite")


def test_damage_costs_a_line_or_a_second_look_but_no_wrong_word(study: Path, listing: Listing, tmp_path: Path) -> None:
    """Bytes of the index changed at random: refused in one line, or what it says is as it was."""
    plain, _ = listing()
    file = tmp_path / "kept.sqlite"
    sound = file.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(12):
        content = bytearray(sound)
        for place in rng.integers(len(sound), size=20):
            content[place] = rng.integers(256)
        file.write_bytes(bytes(content))
        done, problem = attempt(listing)
        if done is None:
            outcomes.append("refused")
            assert "kept.sqlite" in str(problem)
            assert "\n" not in str(problem)
        else:
            outcomes.append("read again" if len(done[1]) > 1 else "same")
            assert done[0] == plain
    assert {"refused", "read again"} <= set(outcomes)


def test_an_index_of_another_version_is_made_again(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = listing()
    monkeypatch.setattr("unpaired.dicom.kept.made_by", lambda: "another")
    index, read = listing()
    assert index == plain
    assert len(read) == 7


def test_an_index_in_the_tree_is_no_part_of_it(study: Path) -> None:
    plain = list_dicom(study)
    assert list_dicom(study, index=study / "kept.sqlite") == plain
    assert list_dicom(study, index=study / "kept.sqlite") == plain


def test_a_place_that_cannot_be_written_is_said(study: Path) -> None:
    with pytest.raises(UnwritableError, match="can't write"):
        list_dicom(study, index=study)
