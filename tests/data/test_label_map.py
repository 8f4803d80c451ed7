"""Label values: encoded whatever they are, counted whatever the memory order."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from unpaired.data.label_map import count_labels, count_values, encode_label_map
from unpaired.errors import InputError


def test_encoding_knows_negative_and_large_values(tmp_path: Path) -> None:
    label = np.array([[[-1, 0, 100000]]], np.int32)
    np.testing.assert_array_equal(encode_label_map(label, {-1: 2, 0: 0, 100000: 1}, tmp_path), [[[2, 0, 1]]])
    with pytest.raises(InputError, match=r"label value -1 is not .* knows 0, 100000"):
        encode_label_map(label, {0: 0, 100000: 1}, tmp_path)


def test_counting_whatever_the_memory_order() -> None:
    label = np.random.default_rng(0).integers(0, 4, (3, 4, 5)).astype(np.uint8)
    expected = [int((label == value).sum()) for value in range(256)]
    for stored in (label, np.asfortranarray(label), label[::-1].transpose(1, 0, 2)):
        assert count_labels(stored) == expected


def test_counting_holds_no_second_volume_of_eight_bytes() -> None:
    label = np.tile(np.arange(5, dtype=np.uint8), 1_200_000)
    tracemalloc.start()
    try:
        assert count_values(label, 6).tolist() == [1_200_000] * 5 + [0]
        assert tracemalloc.get_traced_memory()[1] < 2 * label.size
    finally:
        tracemalloc.stop()
