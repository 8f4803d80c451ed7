"""Memory maps of prepared arrays: which stay open, and which bytes are asked for before a box is read."""

import os

import numpy as np
import pytest

from unpaired.data import memory_maps
from unpaired.data.memory_maps import KeptMaps, ask_for, spans

stays_open = pytest.mark.skipif(os.name == "nt", reason="a file that is open can't be deleted there: none stays open")


def stored(path, values):
    np.save(path, values)
    return path


@stays_open
def test_a_map_stays_open_until_its_file_is_another(tmp_path):
    maps = KeptMaps()
    file = stored(tmp_path / "a.npy", np.arange(6.0))
    assert maps.open(file) is maps.open(file)
    file.unlink()
    np.testing.assert_array_equal(maps.open(stored(file, np.arange(7.0))), np.arange(7.0))


@stays_open
def test_maps_that_are_used_least_are_closed_above_the_limit(tmp_path):
    maps = KeptMaps(limit=100)
    files = [stored(tmp_path / f"{number}.npy", np.full(5, float(number))) for number in range(3)]  # 40 bytes each
    first, second = (maps.open(file) for file in files[:2])
    assert maps.open(files[0]) is first
    maps.open(files[2])
    assert len(maps) == 2
    assert maps.open(files[0]) is first
    assert maps.open(files[1]) is not second
    np.testing.assert_array_equal(second, np.full(5, 1.0))  # whoever holds one may go on reading


@stays_open
def test_more_small_files_than_a_process_may_open_can_be_read(tmp_path):
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, allowed[1]))
    try:
        maps = KeptMaps()
        for number in range(500):
            assert maps.open(stored(tmp_path / f"{number}.npy", np.array([number])))[0] == number
        assert len(maps) == 100, "a quarter"
        assert maps.open(tmp_path / "450.npy") is maps.open(tmp_path / "450.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)


@stays_open
def test_a_map_above_the_limit_is_open_alone(tmp_path):
    maps = KeptMaps(limit=1)
    for number in range(2):
        maps.open(stored(tmp_path / f"{number}.npy", np.full(5, float(number))))
        assert len(maps) == 1


@pytest.mark.parametrize(
    ("box", "most"),
    [
        ((slice(1, 4), slice(2, 4), slice(3, 5)), False),
        ((slice(0, 5), slice(6, 7), slice(5, 6)), False),
        ((slice(2, 3), slice(0, 7), slice(0, 6)), True),
        ((slice(0, 5), slice(0, 7), slice(0, 6)), True),
    ],
)
def test_what_is_asked_for_begins_and_ends_with_the_box(monkeypatch, box, most):
    volume = np.arange(5 * 7 * 6, dtype=np.int16).reshape(5, 7, 6)  # a value is its own place
    planes = [volume[plane][box[1:]] for plane in range(box[0].start, box[0].stop)]
    expected = [(2 * int(plane.min()), 2 * int(plane.max()) + 2) for plane in planes]
    assert spans(volume, box) == expected
    monkeypatch.setattr(memory_maps, "STRETCH", 0)  # now all are long
    assert spans(volume, box) == ([] if most else expected)


def test_asking_changes_nothing_that_is_read(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 50, 60)).astype(np.float32)
    volume = np.load(stored(tmp_path / "v.npy", values), mmap_mode="r")
    box = (slice(3, 9), slice(30, 50), slice(1, 60))
    for array in (volume, values, volume[1:]):
        ask_for(array, box)
    np.testing.assert_array_equal(volume[box], values[box])
