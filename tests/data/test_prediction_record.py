"""The record beside a label map comes back, and one that is damaged is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unpaired.data.prediction_record import (
    Record,
    Source,
    Written,
    difference_from_record,
    read_record,
    record_path,
    write_record,
)
from unpaired.errors import InputError

RECORD = Record(
    "p1",
    "ct",
    {"weights": ["0123"], "mirrored": [[]]},
    [{"folder": "runs/a", "weights": "best"}],
    {"background": 0, "liver": 6},
    Source("ct/p1.nii.gz", "ab" * 32),
    {"classes": []},
    Written(5, "cd" * 32),
)


def test_a_record_comes_back(tmp_path: Path) -> None:
    label_map = tmp_path / "p1.nii.gz"
    assert read_record(label_map) is None
    write_record(RECORD, label_map)
    assert record_path(label_map).name == "p1.prediction.json"
    assert read_record(label_map) == RECORD


def test_a_record_of_a_version_that_noted_no_files_is_read(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path / "p1.nii")
    path = record_path(tmp_path / "p1.nii")
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["image"], document["label_map"]
    path.write_text(json.dumps(document), encoding="utf-8")
    record = read_record(tmp_path / "p1.nii")
    assert record is not None
    assert (record.image, record.label_map, record.values) == (None, None, {"background": 0, "liver": 6})


def test_a_label_map_is_held_against_its_record(tmp_path: Path) -> None:
    """SHA-256 of "abc" as FIPS 180-2 has it."""
    path = tmp_path / "p1.nii.gz"
    written = Written.of(b"abc")
    assert written == Written(3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    record = replace(RECORD, label_map=written)
    for content, difference in (
        (b"abc", None),
        (b"abd", "it holds other bytes than its record says"),
        (b"ab", "it has 2 bytes, its record says 3"),
    ):
        path.write_bytes(content)
        assert difference_from_record(record, path) == difference
        assert difference_from_record(replace(RECORD, label_map=None), path) is None
    path.write_bytes(b"abd")
    assert difference_from_record(record, path, written.sha256) is None, "what is known isn't read again"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 9},
        {"values": {}},
        {"values": {"background": 0, "liver": "6"}},
        {"values": {"background": 0, "liver": 0}},
        {"values": {"background": 0, "liver": -(2**31)}},
        {"values": [0, 1]},
        {"values": {"background": False}},
        {"settings": 3},
        {"runs": [1]},
        {"image": "scan.nii"},
        {"image": {"file": "scan.nii"}},
        {"uncertainty": 7},
        {"label_map": "0123"},
        {"label_map": {"size": 5}},
        {"case": None, "runs": None},
    ],
)
def test_a_damaged_record_is_one_line(tmp_path: Path, change: dict) -> None:
    write_record(RECORD, tmp_path / "p1.nii.gz")
    path = record_path(tmp_path / "p1.nii.gz")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(InputError, match=r"p1\.prediction\.json.*predict this case again") as caught:
        read_record(tmp_path / "p1.nii.gz")
    assert "\n" not in str(caught.value)
